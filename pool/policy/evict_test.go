package policy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// crowd draws the idle environments of some holders, most of whom have others at
// work too. Hopes, restarts and sizes are powers of two, so that what is equal is
// so after rounding too.
func crowd(t *rapid.T) []Idle {
	var out []Idle
	for h := range rapid.IntRange(0, 5).Draw(t, "holders") {
		mine := len(out)
		held := int64(rapid.IntRange(0, 64).Draw(t, "at work")) << 20
		for range rapid.IntRange(1, 5).Draw(t, "idle") {
			e := Idle{
				ID:      fmt.Sprintf("%03d", len(out)),
				Since:   epoch.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "since")) * time.Second),
				Memory:  rapid.SampledFrom([]int64{0, 1 << 20, 4 << 20, 8 << 20, 32 << 20}).Draw(t, "memory"),
				Holder:  fmt.Sprint("holder", h),
				Hope:    rapid.SampledFrom([]float64{0, 0.125, 0.25, 1}).Draw(t, "hope"),
				Restart: rapid.SampledFrom([]time.Duration{0, 250 * time.Millisecond, 500 * time.Millisecond}).Draw(t, "restart"),
			}
			held += e.Memory
			out = append(out, e)
		}
		for i := range out[mine:] {
			out[mine+i].Held = held
		}
	}
	if len(out) > 0 {
		out = rapid.Permutation(out).Draw(t, "order")
	}
	return out
}

// naiveVictims looks through everything for each victim.
func naiveVictims(idle []Idle, need int64) []int {
	held := map[string]int64{}
	for _, e := range idle {
		held[e.Holder] = e.Held
	}
	before := func(a, b Idle) bool {
		// Worth is hope times restart by memory and by what is held; multiplied out.
		x := a.Hope * a.Restart.Seconds() * float64(max(1, b.Memory)) * float64(max(1, held[b.Holder]))
		y := b.Hope * b.Restart.Seconds() * float64(max(1, a.Memory)) * float64(max(1, held[a.Holder]))
		switch {
		case x != y:
			return x < y
		case held[a.Holder] != held[b.Holder]:
			return held[a.Holder] > held[b.Holder]
		case a.Holder == b.Holder && a.worth() != b.worth():
			return a.worth() < b.worth()
		case !a.Since.Equal(b.Since):
			return a.Since.Before(b.Since)
		}
		return a.ID < b.ID
	}
	var out []int
	for need > 0 {
		best := -1
		for i, e := range idle {
			if !slices.Contains(out, i) && (best < 0 || before(e, idle[best])) {
				best = i
			}
		}
		if best < 0 {
			return out
		}
		out = append(out, best)
		need -= idle[best].Memory
		held[idle[best].Holder] -= idle[best].Memory
	}
	return out
}

func TestVictimsForAgainstNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		idle := crowd(t)
		need := int64(rapid.IntRange(-1, 200).Draw(t, "need")) << 20
		before := slices.Clone(idle)
		got, want := VictimsFor(idle, need), naiveVictims(idle, need)
		if !slices.Equal(got, want) {
			t.Fatalf("VictimsFor(%d MiB) = %v, want %v, of\n%+v", need>>20, idsAt(idle, got), idsAt(idle, want), idle)
		}
		if !slices.Equal(before, idle) {
			t.Fatal("VictimsFor changed its snapshot")
		}
	})
}

// Whatever the order, a plan frees enough, or everything there is, and the last
// victim was needed.
func TestVictimsForIsEnoughAndNotMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		idle := crowd(t)
		need := int64(rapid.IntRange(0, 200).Draw(t, "need")) << 20
		got := VictimsFor(idle, need)
		freed, last := int64(0), int64(0)
		seen := map[int]bool{}
		for _, i := range got {
			if seen[i] {
				t.Fatalf("%s goes twice", idle[i].ID)
			}
			seen[i] = true
			last = idle[i].Memory
			freed += last
		}
		if freed < need && len(got) < len(idle) {
			t.Fatalf("%d bytes of %d with %d of %d environments", freed, need, len(got), len(idle))
		}
		if len(got) > 0 && freed-last >= need {
			t.Fatalf("%d victims free %d bytes, one less would free the %d that are needed", len(got), freed, need)
		}
	})
}

// Of what promises the same for the same memory, the heaviest's goes.
func TestOfEqualsTheHeaviestGives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		idle := crowd(t)
		held := map[string]int64{}
		left := map[string]int{}
		for i := range idle {
			idle[i].Hope, idle[i].Restart, idle[i].Memory = 0.01, 100*time.Millisecond, 16<<20
			held[idle[i].Holder] += 16 << 20
			left[idle[i].Holder]++
		}
		for h := range held {
			held[h] += int64(rapid.IntRange(0, 64).Draw(t, "at work")) << 20
		}
		for i := range idle {
			idle[i].Held = held[idle[i].Holder]
		}
		for _, i := range VictimsFor(idle, int64(rapid.IntRange(0, 400).Draw(t, "need"))<<20) {
			for other, n := range left {
				if n > 0 && held[other] > held[idle[i].Holder] {
					t.Fatalf("%s with %d bytes gives before %s with %d", idle[i].Holder, held[idle[i].Holder], other, held[other])
				}
			}
			held[idle[i].Holder] -= idle[i].Memory
			left[idle[i].Holder]--
		}
	})
}

func one(id, holder string, change func(*Idle)) Idle {
	e := Idle{ID: id, Since: epoch, Memory: 16 << 20, Holder: holder, Held: 16 << 20, Hope: 0.01, Restart: 100 * time.Millisecond}
	if change != nil {
		change(&e)
	}
	return e
}

// What counts between holders that are alike.
func TestWhatGoesFirst(t *testing.T) {
	base := one("base", "a", nil)
	for name, other := range map[string]Idle{
		"a cheap restart":              one("other", "b", func(e *Idle) { e.Restart = 10 * time.Millisecond }),
		"no hope":                      one("other", "b", func(e *Idle) { e.Hope = 0 }),
		"more memory":                  one("other", "b", func(e *Idle) { e.Memory = 30 << 20; e.Held = 30 << 20 }),
		"used less recently":           one("other", "b", func(e *Idle) { e.Since = epoch.Add(-time.Second) }),
		"heavier by others":            one("other", "b", func(e *Idle) { e.Held = 64 << 20; e.Hope = 0.03 }),
		"heavy, and no hope of either": one("other", "b", func(e *Idle) { e.Held = 64 << 20; e.Hope = 0; e.Since = epoch.Add(time.Hour) }),
		"the same, by its ID":          one("abc", "b", nil),
	} {
		for _, idle := range [][]Idle{{base, other}, {other, base}} {
			if got := VictimsFor(idle, 1); len(got) != 1 || idle[got[0]].ID != other.ID {
				t.Errorf("%s: %v goes first", name, idsAt(idle, got))
			}
		}
	}
	// A tenant of four times the weight keeps what promises five times as much.
	dear := one("dear", "b", func(e *Idle) { e.Held = 64 << 20; e.Hope = 0.05 })
	if got := VictimsFor([]Idle{dear, base}, 1); !slices.Equal(got, []int{1}) {
		t.Errorf("what is called all the time goes before what is hardly called, because its tenant is heavy")
	}
}

// A tenant of ten gives until it is like the others, and no further.
func TestAHeavyTenantIsLevelled(t *testing.T) {
	var idle []Idle
	for i := range 10 {
		idle = append(idle, one(fmt.Sprint("heavy", i), "heavy", func(e *Idle) { e.Held = 160 << 20 }))
	}
	for i := range 10 {
		idle = append(idle, one(fmt.Sprint("light", i), fmt.Sprint("light", i), func(e *Idle) { e.Hope = 0.008 }))
	}
	heavy := 0
	for _, i := range VictimsFor(idle, 9*16<<20) {
		if idle[i].Holder == "heavy" {
			heavy++
		}
	}
	if heavy != 9 {
		t.Errorf("%d of the first 9 victims are the heavy tenant's", heavy)
	}
	rest := VictimsFor(idle, 10*16<<20)
	if last := idle[rest[len(rest)-1]]; last.Holder == "heavy" {
		t.Error("the heavy tenant gives its last before those that promise less")
	}
}

// A plan for a number is the plan for what those hold.
func TestVictimsOfIsInTheOrderOfVictimsFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		idle := crowd(t)
		n := rapid.IntRange(-1, 30).Draw(t, "n")
		all := VictimsFor(idle, 1<<40)
		if got, want := VictimsOf(idle, n), all[:max(0, min(n, len(all)))]; !slices.Equal(got, want) {
			t.Fatalf("VictimsOf(%d) = %v, want %v", n, got, want)
		}
		if len(all) != len(idle) {
			t.Fatalf("%d of %d environments go when everything has to", len(all), len(idle))
		}
	})
}

// Growing what is needed only adds to the plan.
func TestAPlanForMoreBeginsLikeThePlanForLess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		idle := crowd(t)
		a := int64(rapid.IntRange(0, 100).Draw(t, "need")) << 20
		b := a + int64(rapid.IntRange(0, 100).Draw(t, "more"))<<20
		less, more := VictimsFor(idle, a), VictimsFor(idle, b)
		if len(more) < len(less) || !slices.Equal(less, more[:len(less)]) {
			t.Fatalf("for %d bytes %v, for %d %v", a, less, b, more)
		}
	})
}

func BenchmarkVictimsFor(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	idle := make([]Idle, 3000)
	for i := range idle {
		idle[i] = one(fmt.Sprintf("%032d", i), fmt.Sprint("tenant ", i), func(e *Idle) {
			e.Hope = rng.Float64()
			e.Since = epoch.Add(time.Duration(rng.Int64N(1e12)))
		})
	}
	for b.Loop() {
		VictimsFor(idle, 24*16<<20)
	}
}
