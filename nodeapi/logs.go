package nodeapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/internal/pump"
	"github.com/alcove-run/alcove/logs"
)

// Record is one log record in an answer: a line of JSON.
type Record struct {
	Time   time.Time `json:"time"`
	Stream string    `json:"stream"`
	// Tenant is whose record it is: empty if it was written before the
	// environment had a tenant, absent for functions without tenant isolation.
	Tenant  *string `json:"tenant,omitempty"`
	Message string  `json:"message"`
	// Cursor is its place, for after.
	Cursor string `json:"cursor,omitempty"`
}

// RecordOf is an event of the log of a function, which is tenant-isolated or not.
func RecordOf(e logs.Event, isolated bool) Record {
	r := Record{Time: e.At, Stream: e.Stream, Message: string(e.Message)}
	if tenant := string(e.Tenant); isolated || tenant != "" {
		r.Tenant = &tenant
	}
	return r
}

// logs answers GET logs?function=F with the records in the order of their times, a
// line each. What else the query may have:
//
//	tenant=T        that tenant's alone; the empty one's are of environments not bound
//	stream=S        one environment's
//	since, until    RFC 3339; since is included, until is not
//	contains=TEXT   whose message has it, in any case
//	after=CURSOR    those behind a record
//	limit=N         no more than that many
//	follow=true     goes on with what is written from then on, until the client leaves
func (c Config) logs(w http.ResponseWriter, r *request) error {
	q := r.URL.Query()
	ref, err := c.Place.ParseRef(q.Get("function"), "")
	if err != nil {
		return err
	}
	v, err := c.Latest(ref)
	if err != nil {
		return err
	}
	query, limit, err := readLogsQuery(q)
	if err != nil {
		return err
	}
	if q.Has("tenant") && !v.Isolated() {
		return alcove.InvalidParameter("%s has no tenant isolation: no record of it is a tenant's. Leave tenant out.", v.Name)
	}
	query.Group = v.Config.Logging.Group
	if !r.scope.All() {
		query.Visible = r.scope.Sees
	}
	var followed *following
	ctx := r.Context()
	if q.Get("follow") == "true" {
		f, end, err := c.beginFollowing(r)
		if err != nil {
			return err
		}
		defer end()
		followed, ctx = f, f.ctx
		if !r.scope.All() {
			query.Visible = f.sees
		}
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	paced := pump.NewPace(w)
	defer paced.Done()
	out := json.NewEncoder(paced)
	flush := http.NewResponseController(w)
	write := func(e logs.Event) error {
		record := RecordOf(e, v.Isolated())
		record.Cursor = string(e.Cursor)
		return out.Encode(record)
	}
	for {
		if limit > 0 {
			query.Limit = limit
		}
		page, err := c.Logs.Query(ctx, query)
		if errors.Is(err, logs.ErrNoGroup) {
			break // it has not written anything yet
		}
		if followed != nil && ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, logs.ErrBadCursor) {
			return alcove.InvalidParameter("after is no cursor of a record.")
		}
		if err != nil {
			return err
		}
		for _, e := range page.Events {
			if err := write(e); err != nil {
				return nil // the client is gone
			}
			query.After = e.Cursor
		}
		if limit > 0 {
			if limit -= len(page.Events); limit == 0 {
				return nil
			}
		}
		if page.Next == "" {
			break
		}
		query.After = page.Next
	}
	if followed == nil {
		return nil
	}
	_ = flush.Flush()
	return c.follow(followed, query, func(e logs.Event) error {
		if err := write(e); err != nil {
			return err
		}
		return flush.Flush()
	})
}

// readLogsQuery reads the query of logs.
func readLogsQuery(q url.Values) (query logs.Query, limit int, err error) {
	if q.Has("tenant") {
		t, err := alcove.ParseTenant(q.Get("tenant"))
		if err != nil {
			return query, 0, err
		}
		query.Tenant = &t
	}
	for name, at := range map[string]*time.Time{"since": &query.Since, "until": &query.Until} {
		if s := q.Get(name); s != "" {
			if *at, err = time.Parse(time.RFC3339, s); err != nil {
				return query, 0, alcove.InvalidParameter("%s is no RFC 3339 time: %s", name, s)
			}
		}
	}
	if s := q.Get("stream"); s != "" {
		query.Streams = []string{s}
	}
	if s := q.Get("contains"); s != "" {
		want := bytes.ToLower([]byte(s))
		query.Match = func(message []byte) bool { return bytes.Contains(bytes.ToLower(message), want) }
	}
	query.After = logs.Cursor(q.Get("after"))
	if s := q.Get("limit"); s != "" {
		if limit, err = strconv.Atoi(s); err != nil || limit < 1 || limit > maxRecords {
			return query, 0, alcove.InvalidParameter("limit has to be a whole number from 1 to %d.", maxRecords)
		}
		if q.Get("follow") == "true" {
			return query, 0, alcove.InvalidParameter("What is followed has no limit: leave limit or follow out.")
		}
	}
	return query, limit, nil
}

// maxRecords bounds limit.
const maxRecords = 10_000
