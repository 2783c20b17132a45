package invoke

import (
	"sync"

	"github.com/alcove-run/alcove"
)

// gauge counts the invocations under way, against the account's concurrency and
// against what functions have reserved, and those of each tenant.
type gauge struct {
	mu sync.Mutex
	// Guarded by mu.
	reserved   map[string]int // by function id, for functions with reserved concurrency
	unreserved int
	tenants    map[alcove.Tenant]int
	held       map[alcove.Tenant]int // how many hold it
	// functions are those of each function, by name; all and free those of all, and
	// of those without reserved concurrency. See Peaks.
	functions map[string]*level
	all, free level
	// provisioned are those of versions that have provisioned concurrency.
	provisioned provisioned
}

// level is how many there are, and were at once at most.
type level struct{ now, peak int }

func (l *level) add(n int) {
	l.now += n
	l.peak = max(l.peak, l.now)
}

// aside is one of how many places is left to callers that wait for an answer.
const aside = 10

// admit counts an invocation of v in, or answers with TooManyRequestsException
// and AWS's reason. What it gives back counts the invocation out. A run of an event
// leaves some places to calls.
func (i *Invoker) admit(v *alcove.Version, tenant alcove.Tenant, event bool) (release func(), err error) {
	f, err := i.cfg.Catalog.Function(v.Name)
	if err != nil {
		return nil, err
	}
	g := &i.gauge
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held[tenant] > 0 {
		return nil, alcove.BeingPurged()
	}
	places := func(n int) int {
		if event {
			n -= n / aside
		}
		return n
	}
	id := ""
	if f.Reserved == nil {
		if g.unreserved >= places(i.cfg.Catalog.Unreserved()) {
			return nil, alcove.Throttled(alcove.ReasonConcurrency, alcove.LimitConcurrency)
		}
		g.unreserved++
	} else {
		if id = v.FunctionID; g.reserved[id] >= places(*f.Reserved) {
			return nil, alcove.Throttled(alcove.ReasonReservedConcurrency, alcove.LimitReservedConcurrency)
		}
		g.reserved[id]++
	}
	if tenant != "" {
		g.tenants[tenant]++
	}
	g.count(v.Name, id, 1)
	return func() { g.release(v.Name, id, tenant) }, nil
}

// count keeps the levels. Preconditions: g.mu is held.
func (g *gauge) count(function, id string, n int) {
	l := g.functions[function]
	if l == nil {
		l = new(level)
		g.functions[function] = l
	}
	l.add(n)
	g.all.add(n)
	if id == "" {
		g.free.add(n)
	}
}

// Peaks gives how many invocations were under way at once at most since it was called
// last: of each function that had any, of all, and of those without reserved
// concurrency.
func (i *Invoker) Peaks() (functions map[string]int, all, unreserved int) {
	g := &i.gauge
	g.mu.Lock()
	defer g.mu.Unlock()
	functions = make(map[string]int, len(g.functions))
	for name, l := range g.functions {
		functions[name] = l.peak
		if l.peak = l.now; l.now == 0 {
			delete(g.functions, name)
		}
	}
	all, unreserved = g.all.peak, g.free.peak
	g.all.peak, g.free.peak = g.all.now, g.free.now
	return functions, all, unreserved
}

// InProgress is how many invocations are under way.
func (i *Invoker) InProgress() int {
	i.gauge.mu.Lock()
	defer i.gauge.mu.Unlock()
	return i.gauge.all.now
}

// release counts an invocation out. id is empty if it was counted against the
// account.
func (g *gauge) release(function, id string, tenant alcove.Tenant) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.count(function, id, -1)
	if id == "" {
		g.unreserved--
	} else if g.reserved[id]--; g.reserved[id] == 0 {
		delete(g.reserved, id)
	}
	if tenant != "" {
		if g.tenants[tenant]--; g.tenants[tenant] == 0 {
			delete(g.tenants, tenant)
		}
	}
}

// checkHeld refuses what is for a tenant that is held.
func (i *Invoker) checkHeld(tenant alcove.Tenant) error {
	i.gauge.mu.Lock()
	defer i.gauge.mu.Unlock()
	if i.gauge.held[tenant] > 0 {
		return alcove.BeingPurged()
	}
	return nil
}

// Hold refuses the invocations of a tenant from now on, until release is called.
// Those under way go on.
func (i *Invoker) Hold(tenant alcove.Tenant) (release func()) {
	g := &i.gauge
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held[tenant]++
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.held[tenant]--; g.held[tenant] == 0 {
			delete(g.held, tenant)
		}
	})
}

// UnderWay is how many invocations of a tenant are, from their admission to their
// report.
func (i *Invoker) UnderWay(tenant alcove.Tenant) int {
	i.gauge.mu.Lock()
	defer i.gauge.mu.Unlock()
	return i.gauge.tenants[tenant]
}
