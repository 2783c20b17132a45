package main

import (
	"testing"
	"time"

	"github.com/alcove-run/alcove/pool/policy"
)

// TestEvictionIsBetterThanLRU holds what docs/benchmarks.md says of a node whose
// memory is short, on all but the busiest functions: half of the cold starts, and
// far fewer for the function in the middle.
func TestEvictionIsBetterThanLRU(t *testing.T) {
	tr := quiet(t, 5_000)
	arrivals := tr.merged()
	by := map[string]*budgeted{}
	var names []string
	for _, e := range evictions() {
		by[e.name] = replayOn(tr, arrivals, 15e9, e.eviction)
		names = append(names, e.name)
		t.Logf("%s: %d cold, median %.3f, %d evicted, %d refused", e.name, by[e.name].cold, by[e.name].median(), by[e.name].evicted, by[e.name].refused)
	}
	ours, anybody, lru := by[names[0]], by[names[1]], by[names[2]]
	if lru.evicted == 0 || ours.evicted == 0 {
		t.Fatal("memory was not short")
	}
	if ours.cold > lru.cold*6/10 || ours.median() > lru.median()/2 {
		t.Errorf("%d cold starts, median %.3f; by least recent use %d and %.3f", ours.cold, ours.median(), lru.cold, lru.median())
	}
	// What fairness costs all of them together, and gives the one in the middle.
	if ours.cold > anybody.cold*5/4 || ours.median() >= anybody.median() {
		t.Errorf("%d cold starts, median %.3f; without regard to owners %d and %.3f", ours.cold, ours.median(), anybody.cold, anybody.median())
	}
}

func TestBudgetByHand(t *testing.T) {
	// Two functions of 100 MB, each once a minute, of which one fits at a time.
	a, b := made(time.Second, map[string]int{"0": 1, "1": 1, "2": 1}), made(time.Second, map[string]int{"0": 1, "1": 1, "2": 1})
	b.Functions[0].ID = 2
	a.Functions = append(a.Functions, b.Functions...)
	lru := eviction{rule{keeps: fixed(time.Hour)}, func(*resident, time.Duration) policy.Idle { return policy.Idle{} }}
	for _, c := range []struct {
		mb                     int64
		cold, evicted, refused int
	}{{200, 2, 0, 0}, {100, 6, 5, 0}, {99, 6, 0, 6}} {
		o := replayOn(a, a.merged(), c.mb*1e6, lru)
		if o.invocations != 6 || o.cold != c.cold || o.evicted != c.evicted || o.refused != c.refused {
			t.Errorf("with %d MB: %+v, want %d cold, %d evicted, %d refused", c.mb, *o, c.cold, c.evicted, c.refused)
		}
	}
	// Kept for half a minute, nothing has to be evicted.
	short := lru
	short.rule = rule{keeps: fixed(10 * time.Second)}
	if o := replayOn(a, a.merged(), 100e6, short); o.cold != 6 || o.evicted > 2 {
		t.Errorf("kept for ten seconds: %+v", *o)
	}
}
