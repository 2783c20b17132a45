package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/alcove-run/alcove/pool/policy"
)

// eviction is what goes when the memory of a node is full.
type eviction struct {
	rule
	// see shows an idle environment to policy.VictimsFor.
	see func(f *resident, idle time.Duration) policy.Idle
}

// budgeted is what becomes of a trace on a node with so much memory.
type budgeted struct {
	invocations, cold, evicted int
	refused                    int // nothing could go
	// shares are the cold shares of the functions, ascending.
	shares []float64
}

func (o *budgeted) median() float64 { return o.shares[len(o.shares)/2] }

// arrival is one invocation of a trace.
type arrival struct {
	at time.Duration
	fn int
}

// merged gives the arrivals of all functions, in order.
func (t *trace) merged() []arrival {
	var all []arrival
	for i := range t.Functions {
		for _, at := range t.Functions[i].arrivals() {
			all = append(all, arrival{at, i})
		}
	}
	slices.SortStableFunc(all, func(a, b arrival) int { return int(a.at - b.at) })
	return all
}

// resident is one function on the node.
type resident struct {
	tenantRun
	owner  *owner
	memory int64
}

// owner is the tenant of some functions.
type owner struct {
	name string
	held int64 // bytes
}

// machine is the node.
type machine struct {
	e         eviction
	budget    int64
	used      int64
	functions []*resident
	out       budgeted
	swept     time.Duration
}

// sweepStep is how often idle environments are looked through; the pool does it
// every second.
const sweepStep = 10 * time.Second

// replayOn runs the arrivals of t on a node with so many bytes.
func replayOn(t *trace, arrivals []arrival, budget int64, e eviction) *budgeted {
	m := &machine{e: e, budget: budget}
	owners := make(map[int]*owner)
	for i := range t.Functions {
		f := &t.Functions[i]
		if owners[f.Owner] == nil {
			owners[f.Owner] = &owner{name: fmt.Sprint(f.Owner)}
		}
		r := &resident{owner: owners[f.Owner], memory: int64(f.Memory.Average * 1e6)}
		r.took = time.Duration(f.Took.Average * float64(time.Millisecond))
		m.functions = append(m.functions, r)
	}
	for _, a := range arrivals {
		if a.at-m.swept >= sweepStep {
			m.sweep(a.at)
		}
		m.arrive(m.functions[a.fn], a.at)
	}
	for _, f := range m.functions {
		if f.invocations > 0 {
			m.out.shares = append(m.out.shares, float64(f.cold)/float64(f.invocations))
		}
	}
	slices.Sort(m.out.shares)
	return &m.out
}

func (m *machine) arrive(f *resident, at time.Duration) {
	m.out.invocations++
	f.invocations++
	f.release(at)
	if n := len(f.idle); n > 0 {
		f.habit = f.habit.Seen(at - f.idle[n-1])
		f.idle = f.idle[:n-1]
	} else {
		m.out.cold++
		f.cold++
		if len(f.busy) == 0 && f.ran {
			f.habit = f.habit.Seen(at - f.rest)
		}
		if !m.makeRoom(f.memory, at) {
			m.out.refused++
			return
		}
		m.hold(f, f.memory)
	}
	f.begin(at)
}

// hold charges f for an environment, or gives back what one was charged.
func (m *machine) hold(f *resident, bytes int64) {
	m.used += bytes
	f.owner.held += bytes
}

// sweep ends what the rule keeps no longer.
func (m *machine) sweep(now time.Duration) {
	m.swept = now
	for _, f := range m.functions {
		f.release(now)
		f.idle = slices.DeleteFunc(f.idle, func(since time.Duration) bool {
			gone := !m.e.keeps(f.habit, now-since)
			if gone {
				m.hold(f, -f.memory)
			}
			return gone
		})
	}
}

// makeRoom evicts until bytes more fit, and tells whether they do.
func (m *machine) makeRoom(bytes int64, now time.Duration) bool {
	over := m.used + bytes - m.budget
	if over <= 0 {
		return true
	}
	var idle []policy.Idle
	var whose []*resident
	for _, f := range m.functions {
		f.release(now)
		for _, since := range f.idle {
			e := m.e.see(f, now-since)
			e.ID, e.Since, e.Memory = fmt.Sprint(len(idle)), time.Unix(0, int64(since)), f.memory
			idle = append(idle, e)
			whose = append(whose, f)
		}
	}
	for _, i := range policy.VictimsFor(idle, over) {
		f := whose[i]
		since := time.Duration(idle[i].Since.UnixNano())
		at := slices.Index(f.idle, since)
		f.idle = slices.Delete(f.idle, at, at+1)
		m.hold(f, -f.memory)
		m.out.evicted++
	}
	return m.used+bytes <= m.budget
}

// evictions are what is compared.
func evictions() []struct {
	name string
	eviction
} {
	const restart = 100 * time.Millisecond // of all alike; the trace does not tell
	lru := func(*resident, time.Duration) policy.Idle { return policy.Idle{} }
	worth := func(f *resident, idle time.Duration) policy.Idle {
		return policy.Idle{Hope: f.habit.Hope(idle), Restart: restart, Held: 1}
	}
	fair := func(f *resident, idle time.Duration) policy.Idle {
		return policy.Idle{Hope: f.habit.Hope(idle), Restart: restart, Holder: f.owner.name, Held: f.owner.held}
	}
	habit, ten := rule{keeps: byHabit(policy.DefaultKeepAlive)}, rule{keeps: fixed(policy.DefaultKeepAlive)}
	return []struct {
		name string
		eviction
	}{
		{"by habit; what is worth least, by what its owner holds", eviction{habit, fair}},
		{"by habit; what is worth least, whosever it is", eviction{habit, worth}},
		{"fixed, 10m; the least recently used", eviction{ten, lru}},
	}
}
