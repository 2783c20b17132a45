package console

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// environment is an execution environment as alcove's own API lists it.
type environment struct {
	ID          string    `json:"id"`
	Function    string    `json:"function"`
	Shape       string    `json:"shape"`
	Version     string    `json:"version"`
	Tenant      string    `json:"tenant"`
	Bound       bool      `json:"bound"`
	State       string    `json:"state"`
	Frozen      bool      `json:"frozen"`
	Isolation   string    `json:"isolation"`
	LogGroup    string    `json:"logGroup"`
	LogStream   string    `json:"logStream"`
	Start       string    `json:"start"`
	StartReason string    `json:"startReason"`
	Created     time.Time `json:"created"`
	Invocations int64     `json:"invocations"`
	MemoryBytes int64     `json:"memoryBytes"`
}

// Looks of an environment on the floor: its state, and what it waits for.
const (
	lookInitialising = "initialising"
	lookBlank        = "blank"
	lookStock        = "stock"
	lookBusy         = "busy"
	lookIdle         = "idle"
	lookFrozen       = "frozen"
	lookEnding       = "ending"
)

// look is how an environment looks on the floor.
func (e *environment) look() string {
	switch e.State {
	case "creating", "initialising":
		return lookInitialising
	case "blank":
		return lookBlank
	case "busy", "settling":
		return lookBusy
	case "ended":
		return lookEnding
	}
	switch {
	case !e.Bound && e.Invocations == 0:
		return lookStock
	case e.Frozen:
		return lookFrozen
	}
	return lookIdle
}

// tile is an environment on the floor, as the page's script takes it.
type tile struct {
	ID          string `json:"id"`
	Look        string `json:"look"`
	Tenant      string `json:"tenant,omitempty"`
	Function    string `json:"function,omitempty"`
	Version     string `json:"version,omitempty"`
	Shape       string `json:"shape,omitempty"`
	Stream      string `json:"stream,omitempty"`
	Isolation   string `json:"isolation"`
	Start       string `json:"start,omitempty"`
	Reason      string `json:"reason,omitempty"`
	Created     int64  `json:"created"` // milliseconds
	Invocations int64  `json:"invocations"`
	MemoryKB    int64  `json:"memory"`
}

func (e *environment) tile() tile {
	return tile{ID: e.ID, Look: e.look(), Tenant: e.Tenant, Function: e.Function, Version: e.Version, Shape: e.Shape, Stream: e.LogStream,
		Isolation: e.Isolation, Start: e.Start, Reason: e.StartReason, Created: e.Created.UnixMilli(), Invocations: e.Invocations,
		MemoryKB: e.MemoryBytes >> 10}
}

// differs says whether a page has to hear of a tile again. Memory moves all the
// time: a sixteenth is a change.
func (t tile) differs(old tile) bool {
	if d := t.MemoryKB - old.MemoryKB; d < 0 && -d*16 < old.MemoryKB || d >= 0 && d*16 < old.MemoryKB {
		t.MemoryKB = old.MemoryKB
	}
	return t != old
}

// floorInterval is how often the floor is looked at.
const floorInterval = 400 * time.Millisecond

// floorPage is what the page of the floor shows before its script runs.
type floorPage struct {
	Function  string
	Functions []string
	Isolated  string // one of them that takes tenants, if there is one
	Findings  []finding
}

// finding is something that this machine does not enforce.
type finding struct{ Name, State, Detail, Fix string }

type listing struct {
	Environments []environment `json:"environments"`
	NotEnforced  []finding     `json:"notEnforced"`
}

func (q *request) environments(ctx context.Context, query url.Values) (listing, error) {
	var l listing
	// Everybody's looks together leave processors for what runs.
	if err := enter(ctx, q.con.looks); err != nil {
		return l, err
	}
	defer func() { <-q.con.looks }()
	err := q.api().node(ctx, "environments", query, &l)
	return l, err
}

func (q *request) showFloor() error {
	names, isolated, err := q.functionNames(q.Context())
	if err != nil {
		return err
	}
	function := q.URL.Query().Get("function")
	l, err := q.environments(q.Context(), floorQuery(function))
	if err != nil {
		return err
	}
	return q.render(http.StatusOK, "floor", "Floor", "floor", floorPage{Function: function, Functions: names, Isolated: isolated, Findings: l.NotEnforced})
}

// floorChange is one event of the floor: tiles that are new or changed, and the
// ids of those that are gone. The first has all of them.
type floorChange struct {
	Now  int64    `json:"now"` // the node's clock, milliseconds
	Set  []tile   `json:"set"`
	Gone []string `json:"gone"`
}

// floorQuery is what the floor asks for: a key that may see one function alone sees it.
func floorQuery(function string) url.Values {
	if function == "" {
		return nil
	}
	return url.Values{"function": {function}}
}

// floorEvents tells what changes on the floor.
func (q *request) floorEvents() error {
	query := floorQuery(q.URL.Query().Get("function"))
	return q.events(func(ctx context.Context, s *stream) error {
		var known map[string]tile
		var said time.Time // when the page last heard of anything
		rest := 0          // looks that are left out, since one took long
		return q.every(ctx, floorInterval, func() error {
			if rest > 0 {
				rest--
				return nil
			}
			begun := time.Now()
			l, err := q.environments(ctx, query)
			if err != nil {
				return err
			}
			rest = int(8 * time.Since(begun) / floorInterval)
			there := make(map[string]tile, len(l.Environments))
			for i := range l.Environments {
				t := l.Environments[i].tile()
				there[t.ID] = t
			}
			first := known == nil
			change, now := compare(known, there)
			change.Now = q.con.Now().UnixMilli()
			known = now
			if !first && len(change.Set) == 0 && len(change.Gone) == 0 {
				if time.Since(said) < aliveInterval {
					return nil
				}
				said = time.Now()
				return s.send("alive", struct{}{})
			}
			said = time.Now()
			return s.send("floor", change)
		})
	})
}

// compare gives what a page that knows some tiles has to be told of those that
// there are, and what it knows then.
func compare(known, there map[string]tile) (change floorChange, now map[string]tile) {
	change.Set, change.Gone = []tile{}, []string{}
	now = make(map[string]tile, len(there))
	for id, t := range there {
		if old, ok := known[id]; ok && !t.differs(old) {
			now[id] = old
			continue
		}
		now[id] = t
		change.Set = append(change.Set, t)
	}
	for id := range known {
		if _, ok := there[id]; !ok {
			change.Gone = append(change.Gone, id)
		}
	}
	// In the order in which they came to be.
	slices.SortFunc(change.Set, func(a, b tile) int { return cmp.Or(cmp.Compare(a.Created, b.Created), cmp.Compare(a.ID, b.ID)) })
	slices.Sort(change.Gone)
	return change, now
}
