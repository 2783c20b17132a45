package metrics

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/alcove-run/alcove"
)

// Counters count what happened since the node was started, for a reader that comes
// every now and then and remembers the rest (Prometheus). Nothing that it counts ever
// decreases, and what a client makes up costs no memory: the busiest tenants and so
// many functions have counters of their own, the others one together.
type Counters struct {
	mu sync.Mutex
	// Guarded by mu.
	functions map[string]*FunctionCount
	starts    map[alcove.Start]int64
	tenants   busiest
}

const (
	// CountedFunctions bounds the functions that have counters of their own.
	CountedFunctions = 200
	// CountedTenants is how many tenants have.
	CountedTenants = 100
)

// Bounds of the buckets of durations, in seconds.
func Buckets() []float64 {
	return []float64{0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900}
}

// FunctionCount is what was counted of a function.
type FunctionCount struct {
	ByStatus  map[alcove.Status]int64
	Throttles int64
	Seconds   float64 // of all durations
	Durations []int64 // how many are in each of Buckets, and beyond the last
}

// TenantCount is what was counted of a tenant.
type TenantCount struct {
	Invocations, Errors, Throttles int64
	GBMillis                       int64 // MB times milliseconds
}

// function gives the counters of a function. Preconditions: c.mu is held.
func (c *Counters) function(name string) *FunctionCount {
	if c.functions == nil {
		c.functions = make(map[string]*FunctionCount)
	}
	f := c.functions[name]
	if f == nil && len(c.functions) >= CountedFunctions {
		name = Others
		f = c.functions[name]
	}
	if f == nil {
		f = &FunctionCount{ByStatus: make(map[alcove.Status]int64), Durations: make([]int64, len(Buckets())+1)}
		c.functions[name] = f
	}
	return f
}

// Report counts an invocation.
func (c *Counters) Report(r *alcove.Report) {
	seconds := r.Duration.Seconds()
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.function(r.Function)
	f.ByStatus[r.Status]++
	if r.Status == alcove.StatusFailure {
		return
	}
	f.Seconds += seconds
	at, _ := slices.BinarySearch(Buckets(), seconds)
	f.Durations[at]++
	if c.starts == nil {
		c.starts = make(map[alcove.Start]int64)
	}
	c.starts[r.Start]++
	if r.Tenant != "" {
		t := c.tenants.of(r.Tenant, r.Started)
		t.Invocations++
		if r.Status != alcove.StatusSuccess {
			t.Errors++
		}
		t.GBMillis += int64(r.MemorySize) * r.Billed.Milliseconds()
	}
}

// Throttled counts an invocation that was refused. Of a function that is not counted
// yet it is the others': whoever is refused may name whatever function there is.
func (c *Counters) Throttled(function string, tenant alcove.Tenant, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.function(function).Throttles++
	if tenant != "" {
		c.tenants.of(tenant, now).Throttles++
	}
}

// Counted is a copy of what was counted.
type Counted struct {
	Functions map[string]FunctionCount
	Starts    map[alcove.Start]int64
	Tenants   map[alcove.Tenant]TenantCount // Others is the rest
}

// Read gives what was counted.
func (c *Counters) Read() Counted {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := Counted{Functions: make(map[string]FunctionCount, len(c.functions)), Starts: maps.Clone(c.starts), Tenants: make(map[alcove.Tenant]TenantCount)}
	for name, f := range c.functions {
		one := *f
		one.ByStatus, one.Durations = maps.Clone(f.ByStatus), slices.Clone(f.Durations)
		out.Functions[name] = one
	}
	for t, n := range c.tenants.exact {
		out.Tenants[t] = n.TenantCount
	}
	if c.tenants.others != (TenantCount{}) {
		out.Tenants[Others] = c.tenants.others
	}
	return out
}

// Forget drops what was counted of a tenant.
func (c *Counters) Forget(tenant alcove.Tenant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.tenants.exact, tenant)
	delete(c.tenants.candidates, tenant)
}

// busiest has counters for the tenants that come most. A tenant that comes more than
// twice as often as the least of them takes its place, once in a minute at most, and
// its counters begin at zero then; what it did before is among the others'.
type busiest struct {
	exact  map[alcove.Tenant]*counted
	others TenantCount
	// candidates are who of the others comes often lately: the Space-Saving summary
	// (Metwally, Agrawal, El Abbadi; 2005), halved with every minute.
	candidates map[alcove.Tenant]int64
	minute     int64
}

type counted struct {
	TenantCount
	lately int64 // events, halved with every minute
}

const maxCandidates = 1000

// of gives the counters of a tenant that does something now.
func (b *busiest) of(tenant alcove.Tenant, now time.Time) *TenantCount {
	if b.exact == nil {
		b.exact, b.candidates = make(map[alcove.Tenant]*counted), make(map[alcove.Tenant]int64)
	}
	if m := now.Unix() / 60; m > b.minute {
		b.age()
		b.minute = m
	}
	if n := b.exact[tenant]; n != nil {
		n.lately++
		return &n.TenantCount
	}
	if len(b.exact) < CountedTenants {
		n := &counted{lately: 1}
		b.exact[tenant] = n
		return &n.TenantCount
	}
	if _, ok := b.candidates[tenant]; !ok && len(b.candidates) >= maxCandidates {
		least := leastOf(b.candidates, func(n int64) int64 { return n })
		b.candidates[tenant] = b.candidates[least]
		delete(b.candidates, least)
	}
	b.candidates[tenant]++
	return &b.others
}

// age lets the candidate who comes most take the place of the counted tenant who comes
// least, if it comes twice as often, and forgets half of what was before.
func (b *busiest) age() {
	for len(b.exact) >= CountedTenants && len(b.candidates) > 0 {
		least := leastOf(b.exact, func(n *counted) int64 { return n.lately })
		most := leastOf(b.candidates, func(n int64) int64 { return -n })
		if b.candidates[most] <= 2*b.exact[least].lately+1 {
			break
		}
		b.exact[most] = &counted{lately: b.candidates[most]}
		delete(b.exact, least)
		delete(b.candidates, most)
	}
	for _, n := range b.exact {
		n.lately /= 2
	}
	for t := range b.candidates {
		if b.candidates[t] /= 2; b.candidates[t] == 0 {
			delete(b.candidates, t)
		}
	}
}

// leastOf is the key whose value is least.
func leastOf[V any](m map[alcove.Tenant]V, value func(V) int64) (least alcove.Tenant) {
	first := true
	for t, v := range m {
		if first || cmp.Or(cmp.Compare(value(v), value(m[least])), cmp.Compare(t, least)) < 0 {
			least, first = t, false
		}
	}
	return least
}
