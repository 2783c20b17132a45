package console

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alcove-run/alcove/telemetry"
)

// logLine is one record of a log as a page shows it.
type logLine struct {
	Time    time.Time `json:"time"`
	Level   string    `json:"level"` // one of levels, empty if the record has none
	Tenant  string    `json:"tenant,omitempty"`
	Stream  string    `json:"stream"`
	Message string    `json:"message"` // what a reader looks for: a JSON record's own message, or the line
	// Fields is the record unfolded, if it is JSON.
	Fields string `json:"fields,omitempty"`
	Cursor string `json:"cursor"`
}

// logsPage is the page of logs.
type logsPage struct {
	Functions                                     []string
	Function, Tenant, Level, Search, Since, Until string
	Stream                                        string
	Lines                                         []logLine
	Next                                          string // a cursor
	Live                                          string // where the script gets what comes next
	Searched                                      bool
	More                                          string // the query of the next page
	Problem                                       *problem
	size                                          int     // of Lines, in bytes
	reached                                       logLine // the last that was looked at, wanted or not
}

// levels are the application's log levels, lowest first.
var levels = []string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"}

// sinces are the choices of how far back a search goes.
var sinces = map[string]time.Duration{"15m": 15 * time.Minute, "1h": time.Hour, "6h": 6 * time.Hour, "24h": 24 * time.Hour, "7d": 7 * 24 * time.Hour}

// maxLines is how many records a page shows, maxLinesSize in how many bytes, and
// searchTime how long it is looked for them; the next page goes on.
const (
	maxLines     = 200
	maxLinesSize = 1 << 20
	searchTime   = 10 * time.Second
)

func (q *request) showLogs() error {
	v := q.URL.Query()
	p := logsPage{Function: v.Get("function"), Tenant: v.Get("tenant"), Level: strings.ToUpper(v.Get("level")), Search: v.Get("search"),
		Since: v.Get("since"), Until: v.Get("until"), Stream: v.Get("stream")}
	if p.Since == "" {
		p.Since = "1h"
	}
	var err error
	if p.Functions, _, err = q.functionNames(q.Context()); err != nil {
		return err
	}
	if p.Function == "" && len(p.Functions) == 1 {
		p.Function = p.Functions[0]
	}
	if p.Function == "" {
		return q.render(http.StatusOK, "logs", "Logs", "logs", p)
	}
	now := q.con.Now()
	err = q.search(&p, v.Get("after"))
	p.Searched = err == nil
	status := refuse(&p.Problem, err)
	// What is followed goes on where the page ends.
	from := now
	switch {
	case p.Until != "" || p.Next != "": // the page has not what was of late
	case p.reached.Cursor != "":
		from = p.reached.Time.Add(-overlap)
	default:
		from = now.Add(-overlap)
	}
	live := url.Values{"function": {p.Function}, "since": {from.UTC().Format(time.RFC3339Nano)}}
	for name, value := range map[string]string{"tenant": p.Tenant, "level": p.Level, "search": p.Search, "stream": p.Stream} {
		if value != "" {
			live.Set(name, value)
		}
	}
	p.Live = Prefix + "logs/events?" + live.Encode()
	if p.Next != "" {
		more := url.Values{}
		for name := range v {
			more.Set(name, v.Get(name))
		}
		more.Set("function", p.Function)
		more.Set("after", p.Next)
		p.More = more.Encode()
	}
	return q.render(status, "logs", "Logs", "logs", p)
}

// search finds records, with alcove's own API: what tenant a record is of is
// there what the node knows, and not what the record says.
func (q *request) search(p *logsPage, after string) error {
	query := p.query()
	since, err := parseSince(p.Since, q.con.Now())
	if err != nil {
		return err
	}
	query.Set("since", since.UTC().Format(time.RFC3339Nano))
	if p.Until != "" {
		if _, err := time.Parse(time.RFC3339, p.Until); err != nil {
			return badInput("The end of the time has to be as 2026-01-02T15:04:05Z.")
		}
		query.Set("until", p.Until)
	}
	query.Set("limit", strconv.Itoa(maxLines))
	ctx, cancel := context.WithTimeout(q.Context(), apiTimeout)
	defer cancel()
	for begun := time.Now(); time.Since(begun) < searchTime; {
		if after != "" {
			query.Set("after", after)
		}
		n, err := q.records(ctx, query, p)
		if err != nil {
			return err
		}
		if n < maxLines && p.size < maxLinesSize {
			return nil
		}
		after = p.reached.Cursor
		if len(p.Lines) >= maxLines/2 || p.size >= maxLinesSize {
			break
		}
	}
	p.Next = after
	return nil
}

// records adds to a page what a request of the API gives, as it comes, as far as there
// is room: functions write these, so nothing holds all of them. n is how many it looked at.
func (q *request) records(ctx context.Context, query url.Values, p *logsPage) (n int, err error) {
	body, err := q.api().open(ctx, call{service: "lambda", method: http.MethodGet, path: "/alcove/v1/logs", query: query})
	if err != nil {
		return 0, err
	}
	defer body.Close()
	scan := recordScanner(body)
	for p.size < maxLinesSize && scan.Scan() {
		line, err := readRecord(scan.Bytes())
		if err != nil {
			return n, err
		}
		n, p.reached = n+1, line
		if p.wants(line) {
			p.Lines = append(p.Lines, line)
			p.size += len(line.Message) + len(line.Fields)
		}
	}
	return n, scan.Err()
}

// recordScanner reads lines of the API, which are a record of 256 KiB each at most: six
// times as many bytes in JSON, if all of them are such as it escapes.
func recordScanner(r io.Reader) *bufio.Scanner {
	scan := bufio.NewScanner(r)
	scan.Buffer(nil, 4<<20)
	return scan
}

// query is what the API is asked for.
func (p *logsPage) query() url.Values {
	query := url.Values{"function": {p.Function}}
	for name, value := range map[string]string{"tenant": p.Tenant, "contains": p.Search, "stream": p.Stream} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return query
}

// wants says whether a record has the level that the page is about.
func (p *logsPage) wants(l logLine) bool {
	least := slices.Index(levels, p.Level)
	return least < 0 || slices.Index(levels, l.Level) >= least
}

// readRecord reads a record of the API.
func readRecord(b []byte) (logLine, error) {
	var r struct {
		Time                    time.Time
		Stream, Message, Cursor string
		Tenant                  string
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return logLine{}, err
	}
	line := readLine(r.Time, r.Stream, r.Tenant, r.Message)
	line.Cursor = r.Cursor
	return line, nil
}

// parseSince reads how far back, or a time.
func parseSince(text string, now time.Time) (time.Time, error) {
	if d, ok := sinces[text]; ok {
		return now.Add(-d), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, badInput("The beginning of the time has to be one of the choices, or as 2026-01-02T15:04:05Z.")
	}
	return at, nil
}

// readLine makes of a record what a page shows.
func readLine(at time.Time, stream, tenant, message string) logLine {
	message = strings.TrimRight(strings.ToValidUTF8(message, "\uFFFD"), "\n")
	line := logLine{Time: at, Stream: stream, Tenant: tenant, Message: beginning(message, maxLineShown)}
	var record map[string]json.RawMessage
	if !strings.HasPrefix(message, "{") || json.Unmarshal([]byte(message), &record) != nil {
		return line
	}
	line.Fields = beginning(pretty([]byte(message), maxLineShown), maxLineShown)
	var text string
	if json.Unmarshal(record["level"], &text) == nil {
		line.Level = telemetry.ParseLevel(text).String()
	}
	switch {
	case json.Unmarshal(record["message"], &text) == nil:
		line.Message = beginning(text, maxSummary)
	case json.Unmarshal(record["type"], &text) == nil:
		line.Message = beginning(text+" "+summary(record["record"]), maxSummary)
	}
	return line
}

// summary is what of a platform record fits on a line.
func summary(record json.RawMessage) string {
	var r struct {
		Status  string
		Metrics struct{ DurationMs, InitDurationMs float64 }
	}
	if json.Unmarshal(record, &r) != nil {
		return ""
	}
	out := r.Status
	if d := r.Metrics.DurationMs; d > 0 {
		out += " in " + duration(time.Duration(d*float64(time.Millisecond)))
	}
	return strings.TrimSpace(out)
}

// logEvents sends records as they are written, from now on.
func (q *request) logEvents() error {
	v := q.URL.Query()
	p := logsPage{Function: v.Get("function"), Tenant: v.Get("tenant"), Level: strings.ToUpper(v.Get("level")), Search: v.Get("search"), Stream: v.Get("stream")}
	return q.events(func(ctx context.Context, s *stream) error {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		query := p.query()
		query.Set("follow", "true")
		from := q.begin(v)
		for name, value := range from {
			query[name] = value
		}
		body, err := q.api().open(ctx, call{service: "lambda", method: http.MethodGet, path: "/alcove/v1/logs", query: query})
		if err != nil {
			return err
		}
		defer body.Close()
		// The stream ends with the session, and a silent one tells the browser that
		// it lives.
		lines := make(chan logLine)
		go func() {
			cancel(scanLines(ctx, body, p.wants, lines))
		}()
		// A connection that was lost begins again some time before the last that
		// arrived: see overlap.
		s.id = from.Encode()
		if err := s.send("begin", struct{}{}); err != nil {
			return err
		}
		return q.every(ctx, aliveInterval, func() error {
			deadline := time.NewTimer(aliveInterval - time.Second)
			defer deadline.Stop()
			var full <-chan time.Time // when what was written has to go out
			for {
				select {
				case line := <-lines:
					s.id = url.Values{"since": {line.Time.Add(-overlap).UTC().Format(time.RFC3339Nano)}}.Encode()
					if err := s.write("line", line); err != nil {
						return err
					}
					if full == nil {
						full = time.After(gather)
					}
				case <-full:
					full = nil
					if err := s.flush.Flush(); err != nil {
						return err
					}
				case <-deadline.C:
					return s.send("alive", struct{}{})
				case <-ctx.Done():
					if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, io.EOF) {
						return err
					}
					return nil
				}
			}
		})
	})
}

// gather is how long a record may wait for others, which go out with it: functions write
// thousands in a second, and each has a cost of its own on its way to a browser.
const gather = 20 * time.Millisecond

// overlap is how far before the last record a log is followed that was followed, or
// looked at, before: environments write at the same time, and what of that is stored
// later may have the earlier time. The page leaves out what it has.
const overlap = 5 * time.Second

// begin is where what is followed begins: where the last event that the browser got
// says, else where its page ended, else now.
func (q *request) begin(v url.Values) url.Values {
	if last, err := url.ParseQuery(q.Header.Get("Last-Event-ID")); err == nil && last.Has("since") {
		v = last
	}
	if since := v.Get("since"); since != "" {
		return url.Values{"since": {since}}
	}
	return url.Values{"since": {q.con.Now().UTC().Format(time.RFC3339Nano)}}
}

// scanLines reads records, a line of JSON each, and passes on those wanted.
func scanLines(ctx context.Context, body io.Reader, want func(logLine) bool, lines chan<- logLine) error {
	scan := recordScanner(body)
	for scan.Scan() {
		line, err := readRecord(scan.Bytes())
		if err != nil {
			return err
		}
		if !want(line) {
			continue
		}
		select {
		case lines <- line:
		case <-ctx.Done():
			return nil
		}
	}
	if err := scan.Err(); err != nil {
		return err
	}
	return io.EOF
}
