package nodeapi

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/internal/pump"
	"github.com/alcove-run/alcove/usage"
)

// usageParameters are all that the routes of usage take: a misspelt one would be a
// wrong bill.
var usageParameters = []string{"by", "from", "to", "tenant", "function", "format", "after", "limit"}

// usage answers GET usage[?by=tenant,function,day][&from=2026-11-01][&to=2026-12-01]
// [&tenant=T][&function=F][&format=json|csv]: what was used from a day of UTC on and
// before another, by default this month, and what it costs. JSON ends with the
// total; an answer that is cut off has none. CSV has no total.
func (c Config) usage(w http.ResponseWriter, r *request) error {
	q, err := c.usageQuery(r)
	if err != nil {
		return err
	}
	switch format := r.URL.Query().Get("format"); format {
	case "", "json":
		return c.usageJSON(w, r, q)
	case "csv":
		return c.usageCSV(w, r, q)
	default:
		return alcove.InvalidParameter("format is json or csv, not %q", format)
	}
}

func (c Config) usageJSON(w http.ResponseWriter, r *request, q usage.Query) error {
	head, err := json.Marshal(UsageHead{From: q.From.Format(time.DateOnly), To: q.To.Format(time.DateOnly), By: q.By, Prices: c.Usage.Prices()})
	if err != nil {
		return err
	}
	out := &begun{w: w, contentType: "application/json", head: strings.TrimSuffix(string(head), "}") + `,"rows":[`}
	comma := ""
	total, err := c.Usage.Query(r.Context(), q, func(row *usage.Row) error {
		b, err := json.Marshal(row)
		if err != nil {
			return err
		}
		_, err = io.WriteString(out, comma+string(b))
		comma = ",\n"
		return err
	})
	if err == nil {
		head, err = json.Marshal(total)
	}
	if err == nil {
		_, err = io.WriteString(out, `],"total":`+string(head)+"}\n")
	}
	return out.end(err)
}

// UsageHead is what an answer of usage begins with. Rows and the total follow.
type UsageHead struct {
	From   string       `json:"from"`
	To     string       `json:"to"` // not included
	By     []usage.By   `json:"by"`
	Prices usage.Prices `json:"prices"`
}

// Usage is an answer of usage.
type Usage struct {
	UsageHead
	Rows  []usage.Row `json:"rows"`
	Total usage.Row   `json:"total"`
}

func (c Config) usageCSV(w http.ResponseWriter, r *request, q usage.Query) error {
	out := &begun{w: w, contentType: "text/csv; charset=utf-8"}
	w.Header().Set("Content-Disposition", `attachment; filename="usage.csv"`)
	table, err := usage.NewCSV(out, q.By)
	if err == nil {
		currency := c.Usage.Prices().Currency
		_, err = c.Usage.Query(r.Context(), q, func(row *usage.Row) error { return table.Write(row, currency) })
	}
	if err == nil {
		err = table.Flush()
	}
	return out.end(err)
}

// usageEntries answers GET usage/entries, with the parameters of usage but by and
// format, and [&after=ID][&limit=N]: the single entries after one of that id, a line
// of JSON each (usage.Entry).
func (c Config) usageEntries(w http.ResponseWriter, r *request) error {
	q, err := c.usageQuery(r)
	if err != nil {
		return err
	}
	after, limit := int64(0), usage.DefaultEntryLimit
	v := r.URL.Query()
	if s := v.Get("after"); s != "" {
		if after, err = strconv.ParseInt(s, 10, 64); err != nil {
			return alcove.InvalidParameter("after has to be the id of an entry.")
		}
	}
	if s := v.Get("limit"); s != "" {
		if limit, err = strconv.Atoi(s); err != nil || limit < 1 || limit > usage.MaxEntryLimit {
			return alcove.InvalidParameter("limit has to be a number from 1 to %d.", usage.MaxEntryLimit)
		}
	}
	out := &begun{w: w, contentType: "application/x-ndjson"}
	lines := json.NewEncoder(out)
	return out.end(c.Usage.Entries(r.Context(), q, after, limit, func(e *usage.Entry) error { return lines.Encode(e) }))
}

func (c Config) usageQuery(r *request) (q usage.Query, err error) {
	v := r.URL.Query()
	for name := range v {
		if !slices.Contains(usageParameters, name) {
			return q, alcove.InvalidParameter("There is no parameter %q: give %s", name, strings.Join(usageParameters, ", "))
		}
	}
	q.By = []usage.By{}
	if s := v.Get("by"); s != "" {
		for b := range strings.SplitSeq(s, ",") {
			switch b := usage.By(b); b {
			case usage.ByTenant, usage.ByFunction, usage.ByDay:
				q.By = append(q.By, b)
			default:
				return q, alcove.InvalidParameter("by is tenant, function or day, or several with commas between them, not %q", s)
			}
		}
	}
	now := time.Now().UTC()
	q.From = time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	q.To = q.From.AddDate(0, 1, 0)
	for name, to := range map[string]*time.Time{"from": &q.From, "to": &q.To} {
		if s := v.Get(name); s != "" {
			if *to, err = time.Parse(time.DateOnly, s); err != nil {
				return q, alcove.InvalidParameter("%s is no day, such as 2026-11-27: %s", name, s)
			}
		}
	}
	if v.Get("from") != "" && v.Get("to") == "" && !q.To.After(q.From) {
		q.To = q.From.AddDate(0, 1, 0)
	}
	if !q.To.After(q.From) {
		return q, alcove.InvalidParameter("to, which is not included, has to be after from.")
	}
	if v.Has("tenant") {
		t := alcove.Tenant(v.Get("tenant"))
		if t != "" {
			if t, err = alcove.ParseTenant(string(t)); err != nil {
				return q, err
			}
		}
		q.Tenant = &t
	}
	if name := v.Get("function"); name != "" {
		ref, err := c.Place.ParseRef(name, "")
		if err != nil {
			return q, err
		}
		q.Function = ref.Name
	}
	if !r.scope.All() {
		q.Sees = r.scope.Sees
	}
	return q, nil
}

// begun is an answer that begins with its first byte. An error before is answered
// as any other; after it the connection is cut, so that nobody takes a part for
// the whole.
type begun struct {
	w           http.ResponseWriter
	contentType string
	head        string
	written     bool
	pace        *pump.Pace
}

// Write implements io.Writer.
func (b *begun) Write(p []byte) (int, error) {
	if b.pace == nil {
		b.pace = pump.NewPace(b.w)
	}
	if !b.written {
		b.written = true
		b.w.Header().Set("Content-Type", b.contentType)
		if _, err := b.pace.Write([]byte(b.head)); err != nil {
			return 0, err
		}
	}
	return b.pace.Write(p)
}

func (b *begun) end(err error) error {
	if err != nil && b.written {
		panic(http.ErrAbortHandler)
	}
	if err == nil && !b.written {
		_, err = b.Write(nil)
	}
	if err == nil {
		b.pace.Done()
	}
	return err
}
