// Package policy holds the pool's decisions as pure functions: a snapshot and a
// moment in, a plan out. It imports the standard library only, reads no clock
// and starts no goroutine; the effects are the pool's.
package policy

import (
	"math"
	"slices"
	"strings"
	"time"
)

// Cap is how many tenant environments, active or idle, a function may have: 2.5
// times its reserved concurrency, or the account's if it has none, rounded down.
// AWS allows 2,500 for every 1,000 (developer guide, "Tenant isolation", limits).
func Cap(reserved *int, account int) int {
	n := account
	if reserved != nil {
		n = *reserved
	}
	return n * 5 / 2
}

// TenantCap is how many of a function's limit environments one tenant may have,
// whatever they are doing: its share of them, rounded up, at least one, and never
// the last, which is left for somebody else. A share of 1 bounds nothing.
func TenantCap(limit int, share float64) int {
	if share >= 1 || limit <= 1 {
		return limit
	}
	return min(max(1, int(math.Ceil(float64(limit)*share))), limit-1)
}

// Idle is an environment that waits for work, as the decisions see it.
type Idle struct {
	ID    string
	Since time.Time // when it was last used
	// Memory is what it holds, in bytes.
	Memory int64
	// Holder is for whom it is held, and Held the bytes that are held for the
	// same, at work or idle.
	Holder string
	Held   int64
	// Hope is its habit's, and Restart how long its caller would wait for another.
	Hope    float64
	Restart time.Duration
}

// Victims picks n environments to end so that others can be made, by their
// places in idle: those idle for at least min, least recently used first; ties
// go by ID, so that a plan depends on the snapshot alone. It answers with fewer
// than n if there are no more.
//
// The minimum is what keeps a spray of tenant ids from driving everybody else's
// warm environment out.
func Victims(now time.Time, idle []Idle, n int, min time.Duration) []int {
	var old []int
	for i, e := range idle {
		if now.Sub(e.Since) >= min {
			old = append(old, i)
		}
	}
	sortLRU(idle, old)
	return old[:clamp(n, len(old))]
}

func sortLRU(idle []Idle, places []int) {
	slices.SortFunc(places, func(a, b int) int {
		if c := idle[a].Since.Compare(idle[b].Since); c != 0 {
			return c
		}
		return strings.Compare(idle[a].ID, idle[b].ID)
	})
}

func clamp(n, most int) int { return max(0, min(n, most)) }
