package policy

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestCapIsTwoAndAHalfTimesTheConcurrencyRoundedDown(t *testing.T) {
	for reserved, want := range map[int]int{0: 0, 1: 2, 2: 5, 3: 7, 1000: 2500} {
		if got := Cap(&reserved, 7); got != want {
			t.Errorf("Cap(reserved %d) = %d, want %d", reserved, got, want)
		}
	}
	if got := Cap(nil, 1000); got != 2500 {
		t.Errorf("Cap of an account of 1000 = %d, want 2500", got)
	}
}

var epoch = time.Unix(1_700_000_000, 0)

func idleSet(t *rapid.T) []Idle {
	n := rapid.IntRange(0, 12).Draw(t, "n")
	out := make([]Idle, n)
	for i := range out {
		out[i] = Idle{
			ID:     string(rune('a' + i)),
			Since:  epoch.Add(time.Duration(rapid.IntRange(0, 8).Draw(t, "since")) * time.Second),
			Memory: int64(rapid.IntRange(0, 5).Draw(t, "memory")),
		}
	}
	rapid.Permutation(out).Draw(t, "order")
	return out
}

// naiveOldest repeatedly takes the environment that nothing precedes.
func naiveOldest(idle []Idle, ok func(Idle) bool, more func(taken []Idle) bool) []string {
	left := slices.Clone(idle)
	var taken []Idle
	for more(taken) {
		best := -1
		for i, e := range left {
			if !ok(e) {
				continue
			}
			if best < 0 || e.Since.Before(left[best].Since) || e.Since.Equal(left[best].Since) && e.ID < left[best].ID {
				best = i
			}
		}
		if best < 0 {
			break
		}
		taken = append(taken, left[best])
		left = slices.Delete(left, best, best+1)
	}
	return ids(taken)
}

func ids(es []Idle) []string {
	out := make([]string, len(es))
	for i, e := range es {
		out[i] = e.ID
	}
	return out
}

func idsAt(idle []Idle, places []int) []string {
	out := make([]string, len(places))
	for i, p := range places {
		out[i] = idle[p].ID
	}
	return out
}

func TestVictimsAgainstNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		idle := idleSet(t)
		now := epoch.Add(10 * time.Second)
		n := rapid.IntRange(-1, 14).Draw(t, "want")
		min := time.Duration(rapid.IntRange(0, 10).Draw(t, "min")) * time.Second
		before := slices.Clone(idle)
		got := idsAt(idle, Victims(now, idle, n, min))
		want := naiveOldest(idle, func(e Idle) bool { return now.Sub(e.Since) >= min },
			func(taken []Idle) bool { return len(taken) < n })
		if !slices.Equal(got, want) {
			t.Fatalf("Victims(%v, %d, %s) = %v, want %v", idle, n, min, got, want)
		}
		if !slices.Equal(before, idle) {
			t.Fatal("Victims changed its snapshot")
		}
	})
}

// One tenant has what share promises, and never keeps everybody else out.
func TestTenantCapLeavesRoomForOthers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(0, 5000).Draw(t, "limit")
		share := rapid.Float64Range(0.001, 1).Draw(t, "share")
		own := TenantCap(limit, share)
		switch {
		case share == 1 || limit <= 1:
			if own != limit {
				t.Fatalf("TenantCap(%d, %v) = %d where nothing is to be bounded", limit, share, own)
			}
		case own < 1 || own >= limit:
			t.Fatalf("TenantCap(%d, %v) = %d: none for the tenant, or none for others", limit, share, own)
		case own < limit-1 && float64(own) < float64(limit)*share:
			t.Fatalf("TenantCap(%d, %v) = %d is less than the share", limit, share, own)
		case float64(own-1) >= float64(limit)*share && own > 1:
			t.Fatalf("TenantCap(%d, %v) = %d is more than the share", limit, share, own)
		}
	})
}

// At the default of a half, a tenant alone may use all of the concurrency.
func TestHalfTheCapIsAllTheConcurrency(t *testing.T) {
	for concurrency := 1; concurrency < 3000; concurrency++ {
		if own := TenantCap(Cap(nil, concurrency), 0.5); own < concurrency {
			t.Fatalf("concurrency %d: one tenant may have %d environments", concurrency, own)
		}
	}
}
