package main

import (
	"container/heap"
	"slices"
	"time"

	"github.com/alcove-run/alcove/pool/policy"
)

// rule is how long idle environments are kept.
type rule struct {
	name string
	// keeps says whether an environment of a tenant with that habit is still
	// there after it has been idle for so long.
	keeps func(h policy.Habit, idle time.Duration) bool
}

// outcome is what a rule makes of a trace.
type outcome struct {
	invocations, cold int
	// idle is for how long environments were held that did nothing, together,
	// and idleMemory the same weighed by their memory, in MB.
	idle       time.Duration
	idleMemory float64 // MB hours
	// shares are the cold shares of the functions, ascending.
	shares []float64
}

func (o *outcome) share() float64 { return float64(o.cold) / float64(o.invocations) }

// quantile is the cold share that so many of all functions do not exceed.
func (o *outcome) quantile(q float64) float64 { return o.shares[int(q*float64(len(o.shares)-1))] }

// replay runs every function of t by r. Functions share nothing, so each is
// replayed by itself.
func replay(t *trace, r rule) *outcome {
	o := &outcome{}
	end := t.end()
	for i := range t.Functions {
		f := &t.Functions[i]
		s := &tenantRun{rule: r, took: time.Duration(f.Took.Average * float64(time.Millisecond))}
		for _, at := range f.arrivals() {
			s.arrive(at)
		}
		s.finish(end)
		o.invocations += s.invocations
		o.cold += s.cold
		o.idle += s.held
		o.idleMemory += s.held.Hours() * f.Memory.Average
		if s.invocations > 0 {
			o.shares = append(o.shares, float64(s.cold)/float64(s.invocations))
		}
	}
	slices.Sort(o.shares)
	return o
}

// tenantRun is one function of one tenant, as the pool would run it: the most
// recently used environment first, a new one if none is idle.
type tenantRun struct {
	rule  rule
	took  time.Duration
	habit policy.Habit
	idle  []time.Duration // since when, most recently used last
	busy  times           // until when
	rest  time.Duration   // when one last became idle
	ran   bool

	invocations, cold int
	held              time.Duration
}

func (s *tenantRun) arrive(at time.Duration) {
	s.invocations++
	s.release(at)
	switch gap, ok := s.reuse(at); {
	case ok:
		s.habit = s.habit.Seen(gap)
	default:
		s.cold++
		if len(s.busy) == 0 && s.ran {
			s.habit = s.habit.Seen(at - s.rest)
		}
	}
	s.begin(at)
}

// begin runs an invocation.
func (s *tenantRun) begin(at time.Duration) { heap.Push(&s.busy, at+s.took) }

// release makes idle what has finished by now.
func (s *tenantRun) release(now time.Duration) {
	for len(s.busy) > 0 && s.busy[0] <= now {
		s.rest, s.ran = heap.Pop(&s.busy).(time.Duration), true
		s.idle = append(s.idle, s.rest)
	}
}

// reuse takes the most recently used environment that is still there, and tells
// for how long it was idle.
func (s *tenantRun) reuse(now time.Duration) (gap time.Duration, ok bool) {
	n := len(s.idle)
	if n == 0 {
		return 0, false
	}
	gap = now - s.idle[n-1]
	if kept := s.kept(gap); kept < gap {
		// The others have been idle for longer.
		s.expire(now)
		return 0, false
	}
	s.idle = s.idle[:n-1]
	s.held += gap
	return gap, true
}

// kept is for how long of gap an idle environment is kept.
func (s *tenantRun) kept(gap time.Duration) time.Duration {
	const step = 5 * time.Second // the pool looks every second
	for idle := step; idle < gap; idle += step {
		if !s.rule.keeps(s.habit, idle) {
			return idle
		}
	}
	return gap
}

// expire ends all idle environments, each when its time had come.
func (s *tenantRun) expire(now time.Duration) {
	for _, since := range s.idle {
		s.held += s.kept(now - since)
	}
	s.idle = s.idle[:0]
}

// finish ends the trace.
func (s *tenantRun) finish(end time.Duration) {
	s.release(end)
	s.expire(end)
}

// times is a heap of moments, the earliest first.
type times []time.Duration

func (h times) Len() int           { return len(h) }
func (h times) Less(i, j int) bool { return h[i] < h[j] }
func (h times) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *times) Push(x any)        { *h = append(*h, x.(time.Duration)) }
func (h *times) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
