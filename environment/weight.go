package environment

import (
	"math/bits"
	"time"

	"github.com/alcove-run/alcove/sandbox"
)

// When processors are short, tenants are to have equal parts of them, whatever the
// number of environments that each has at work. Each environment is a group of its
// own for the kernel, so that of a tenant with many at work counts for less.

// lightly is for how long an environment counts for as little as one of many did.
const lightly = time.Second

// partsOf is the part of an environment's processor share that it has while its
// tenant has so many invocations: one in how many. Powers of two change seldom, and
// the usual few change nothing.
func partsOf(beside int) int {
	if beside < 4 {
		return 1
	}
	return 1 << (min(bits.Len(uint(beside)), 7) - 1)
}

// weight is how much an environment counts for. It has no clock of its own.
type weight struct {
	parts int       // 0 is 1
	seen  time.Time // when it last was one of so many
}

// next tells whether it is to count for one part in so many from now on.
func (w *weight) next(now time.Time, beside int) (parts int, changed bool) {
	parts, had := partsOf(beside), max(w.parts, 1)
	switch {
	case parts >= had:
		w.seen = now
	case now.Sub(w.seen) < lightly:
		return had, false // the first of the next burst, as a rule
	}
	w.parts = parts
	return parts, parts != had
}

// weigh has the sandbox count for as much as becomes its tenant.
func (e *Environment) weigh(beside int) {
	box, ok := e.box.(sandbox.Weigher)
	if !ok {
		return
	}
	if parts, changed := e.weight.next(time.Now(), beside); changed {
		if err := box.Weigh(parts); err != nil {
			e.cfg.Log.Debug("environment cannot be weighed", "environment", e.cfg.ID, "error", err)
		}
	}
}
