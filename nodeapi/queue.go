package nodeapi

import (
	"context"
	"net/http"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/invoke/async"
)

// Events are the events that wait to run.
type Events interface {
	Status(functionID string) []async.Depth
	Purge(functionID string, t alcove.Tenant) (int, error)
	Replay(functionID string, t alcove.Tenant) (int, error)
}

// Queue is what waits of a function in an answer.
type Queue struct {
	Function string `json:"function"`
	// What all tenants have together that the caller sees.
	Events      int     `json:"events"`
	DeadLetters int     `json:"deadLetters"`
	OldestAge   float64 `json:"oldestAgeSeconds"`
	Tenants     []Depth `json:"tenants"`
}

// Depth is what waits of one tenant, which is empty for a function without them.
type Depth struct {
	Tenant      string  `json:"tenant"`
	Waiting     int     `json:"waiting"`
	Delayed     int     `json:"delayed"`
	Running     int     `json:"running"`
	Delivering  int     `json:"delivering"`
	DeadLetters int     `json:"deadLetters"`
	Bytes       int64   `json:"bytes"`
	OldestAge   float64 `json:"oldestAgeSeconds"`
}

// ofTenant is the function of the path, for the tenant of the query.
func ofTenant(c Config, r *http.Request) (auth.Operation, error) {
	o, err := function(c, r)
	o.OfTenant = true
	if t := r.URL.Query().Get("tenant"); err == nil && t != "" {
		o.Tenant, err = alcove.ParseTenant(t)
	}
	return o, err
}

// queued gives the function of a path, which has to be one.
func (c Config) queued(r *request) (*alcove.Function, error) {
	ref, err := c.Place.ParseRef(r.PathValue("name"), "")
	if err == nil && ref.Qualifier != "" {
		err = alcove.InvalidParameter("A queue is a function's, not a version's or an alias's.")
	}
	if err != nil {
		return nil, err
	}
	return c.Function(ref.Name)
}

// queue answers GET functions/F/queue[?tenant=T].
func (c Config) queue(r *request) (any, error) {
	f, err := c.queued(r)
	if err != nil {
		return nil, err
	}
	q := Queue{Function: f.Name, Tenants: []Depth{}}
	var oldest time.Duration
	for _, d := range c.Events.Status(f.ID) {
		if !r.scope.Sees(d.Tenant) || r.URL.Query().Has("tenant") && string(d.Tenant) != r.URL.Query().Get("tenant") {
			continue
		}
		q.Tenants = append(q.Tenants, Depth{string(d.Tenant), d.Waiting, d.Delayed, d.Running, d.Delivering, d.DeadLetters, d.Bytes, d.Oldest.Seconds()})
		q.Events += d.Waiting + d.Delayed + d.Running + d.Delivering
		q.DeadLetters += d.DeadLetters
		oldest = max(oldest, d.Oldest)
	}
	q.OldestAge = oldest.Seconds()
	return q, nil
}

// oneTenant is whose events a request changes. It has to be said, so that nobody
// does it to all by leaving something out.
func (c Config) oneTenant(r *request) (*alcove.Function, alcove.Tenant, error) {
	f, err := c.queued(r)
	if err != nil {
		return nil, "", err
	}
	v, err := c.Latest(alcove.Ref{Name: f.Name})
	if err != nil {
		return nil, "", err
	}
	text := r.URL.Query().Get("tenant")
	if (text != "") != v.Isolated() {
		return nil, "", alcove.InvalidParameter("Say whose events are meant: tenant=ID for a function with tenant isolation, none for any other.")
	}
	if text == "" {
		return f, "", nil
	}
	t, err := alcove.ParseTenant(text)
	return f, t, err
}

// purgeQueue answers DELETE functions/F/queue?tenant=T when the tenant's events and
// dead letters are gone, but for those that run.
func (c Config) purgeQueue(r *request) (any, error) {
	f, t, err := c.oneTenant(r)
	if err != nil {
		return nil, err
	}
	n, err := c.Events.Purge(f.ID, t)
	return map[string]int{"purged": n}, err
}

// replayQueue answers POST functions/F/queue/replay?tenant=T: the tenant's dead
// letters run again.
func (c Config) replayQueue(r *request) (any, error) {
	f, t, err := c.oneTenant(r)
	if err != nil {
		return nil, err
	}
	if err := context.Cause(r.Context()); err != nil {
		return nil, err
	}
	n, err := c.Events.Replay(f.ID, t)
	return map[string]int{"replayed": n}, err
}
