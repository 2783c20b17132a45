package pool

import (
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/pool/policy"
)

// maxHabits bounds of how many tenants the pool remembers when they come; those
// that came longest ago are forgotten.
const maxHabits = 1 << 15

// habitKey leaves the generation out: a tenant comes as it came, whatever code
// its function has.
type habitKey struct {
	functionID, number string
	tenant             alcove.Tenant
}

// habit is when one tenant comes to one version.
type habit struct {
	policy.Habit
	key        habitKey
	rested     time.Time // when its environments last became idle; zero if that was taken note of
	prev, next *habit    // in the order of the last touch
}

// habits are those of tenants that came lately, a group's own and many more.
type habits struct {
	by map[habitKey]*habit
	// ring is where the order begins and ends: ring.next was touched last.
	ring habit
	most int
}

func newHabits(most int) *habits {
	hs := &habits{by: make(map[habitKey]*habit), most: most}
	hs.ring.prev, hs.ring.next = &hs.ring, &hs.ring
	return hs
}

// of finds or makes a tenant's habit.
func (hs *habits) of(k habitKey) *habit {
	h := hs.by[k]
	if h == nil {
		h = &habit{key: k}
	}
	hs.touch(h)
	return h
}

// touch makes h the one that is forgotten last, and remembers it again if it was
// forgotten while in use.
func (hs *habits) touch(h *habit) {
	if hs.by[h.key] == h {
		h.unlink()
	}
	hs.by[h.key] = h
	h.prev, h.next = &hs.ring, hs.ring.next
	h.prev.next, h.next.prev = h, h
	if len(hs.by) > hs.most {
		coldest := hs.ring.prev
		coldest.unlink()
		delete(hs.by, coldest.key)
	}
}

func (h *habit) unlink() {
	h.prev.next, h.next.prev = h.next, h.prev
	h.prev, h.next = nil, nil
}

// woken takes note of an environment that was used again at now.
func (h *habit) woken(e *entry, now time.Time) {
	h.Habit = h.Seen(now.Sub(e.since))
	h.rested = time.Time{}
}

// missed takes note of a call at now that found no environment at all.
func (h *habit) missed(now time.Time) {
	if h.rested.IsZero() {
		return
	}
	h.Habit = h.Seen(now.Sub(h.rested))
	h.rested = time.Time{}
}
