package nodeapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/alcove-run/alcove"
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
}

// RecordOf is an event of the log of a function, which is tenant-isolated or not.
func RecordOf(e logs.Event, isolated bool) Record {
	r := Record{Time: e.At, Stream: e.Stream, Message: string(e.Message)}
	if tenant := string(e.Tenant); isolated || tenant != "" {
		r.Tenant = &tenant
	}
	return r
}

// logs answers GET logs?function=F[&tenant=T][&since=RFC3339][&follow=true] with
// the records in the order of their times, a line each. With follow it goes on
// with what is written from then on, until the client leaves.
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
	query := logs.Query{Group: v.Config.Logging.Group}
	if !r.scope.All() {
		query.Visible = r.scope.Sees
	}
	if q.Has("tenant") {
		t, err := alcove.ParseTenant(q.Get("tenant"))
		if err != nil {
			return err
		}
		query.Tenant = &t
	}
	if s := q.Get("since"); s != "" {
		if query.Since, err = time.Parse(time.RFC3339, s); err != nil {
			return alcove.InvalidParameter("since is no RFC 3339 time: %s", s)
		}
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := json.NewEncoder(w)
	flush := http.NewResponseController(w)
	write := func(e logs.Event) error {
		return out.Encode(RecordOf(e, v.Isolated()))
	}
	for {
		page, err := c.Logs.Query(r.Context(), query)
		if errors.Is(err, logs.ErrNoGroup) {
			break // it has not written anything yet
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
		if page.Next == "" {
			break
		}
		query.After = page.Next
	}
	if q.Get("follow") != "true" {
		return nil
	}
	_ = flush.Flush()
	// What goes on ends with the key that it was begun with.
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	revoked := c.Revoked(r.caller)
	go func() {
		select {
		case <-revoked:
			cancel()
		case <-ctx.Done():
		}
	}()
	err = c.Logs.Follow(ctx, query, func(e logs.Event) error {
		if err := write(e); err != nil {
			return err
		}
		return flush.Flush()
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}
