package environment

import (
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// TestPartsOf: twice as many at work, half as much each, and the usual few as always.
func TestPartsOf(t *testing.T) {
	for beside, want := range map[int]int{0: 1, 1: 1, 2: 1, 3: 1, 4: 4, 7: 4, 8: 8, 20: 16, 64: 64, 100_000: 64} {
		if got := partsOf(beside); got != want {
			t.Errorf("of %d: %d, want %d", beside, got, want)
		}
	}
}

// TestWeightOfBursts: the environments of a tenant that sends many at once are light
// soon, stay so between its bursts, and are heavy again when it sends few.
func TestWeightOfBursts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w weight
		changes := 0
		next := func(beside int) int {
			parts, changed := w.next(time.Now(), beside)
			if changed {
				changes++
			}
			return parts
		}
		if next(1) != 1 || next(3) != 1 || changes != 0 {
			t.Errorf("few: %d changes", changes)
		}
		for range 100 {
			next(20)
			if next(1) != 16 {
				t.Error("heavy between two bursts")
			}
			time.Sleep(lightly / 2)
		}
		if changes != 1 {
			t.Errorf("%d changes in a hundred bursts", changes)
		}
		time.Sleep(lightly)
		if next(1) != 1 || changes != 2 {
			t.Errorf("light after the last burst, %d changes", changes)
		}
	})
}

// Whatever comes: what is said to have changed has, and never does an environment count
// for more than its tenant's invocations at the time let it.
func TestWeightIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w weight
		now, had := time.Unix(1, 0), 1
		for range rapid.IntRange(1, 50).Draw(t, "calls") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(2*lightly)).Draw(t, "later")))
			beside := rapid.IntRange(0, 200).Draw(t, "beside")
			parts, changed := w.next(now, beside)
			if changed != (parts != had) || parts < partsOf(beside) || parts > max(had, partsOf(beside)) {
				t.Fatalf("with %d beside: %d in place of %d, changed %v", beside, parts, had, changed)
			}
			had = parts
		}
	})
}
