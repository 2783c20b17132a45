package invoke

import (
	"sync"

	"github.com/alcove-run/alcove"
)

// gauge counts the invocations under way, against the account's concurrency and
// against what functions have reserved.
type gauge struct {
	mu sync.Mutex
	// Guarded by mu.
	reserved   map[string]int // by function id, for functions with reserved concurrency
	unreserved int
}

// admit counts an invocation of v in, or answers with TooManyRequestsException
// and AWS's reason. What it gives back counts the invocation out.
func (i *Invoker) admit(v *alcove.Version) (release func(), err error) {
	f, err := i.cfg.Catalog.Function(v.Name)
	if err != nil {
		return nil, err
	}
	g := &i.gauge
	g.mu.Lock()
	defer g.mu.Unlock()
	if f.Reserved == nil {
		if g.unreserved >= i.cfg.Catalog.Unreserved() {
			return nil, alcove.Throttled(alcove.ReasonConcurrency, alcove.LimitConcurrency)
		}
		g.unreserved++
		return g.releaseUnreserved, nil
	}
	id := v.FunctionID
	if g.reserved[id] >= *f.Reserved {
		return nil, alcove.Throttled(alcove.ReasonReservedConcurrency, alcove.LimitReservedConcurrency)
	}
	g.reserved[id]++
	return func() { g.releaseReserved(id) }, nil
}

func (g *gauge) releaseUnreserved() {
	g.mu.Lock()
	g.unreserved--
	g.mu.Unlock()
}

func (g *gauge) releaseReserved(id string) {
	g.mu.Lock()
	if g.reserved[id]--; g.reserved[id] == 0 {
		delete(g.reserved, id)
	}
	g.mu.Unlock()
}
