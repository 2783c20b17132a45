package policy

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestOneBlankWaitsWhileAFunctionMayNeedIt(t *testing.T) {
	called := Demand{}.Took(100 * time.Millisecond).Arrived(epoch)
	for _, c := range []struct {
		d     Demand
		after time.Duration
		limit int
		inUse bool
		want  int
	}{
		{Demand{}, 0, 4, true, 1}, // somebody may call for the first time
		{Demand{}, 0, 4, false, 0},
		{Demand{}, 0, 0, true, 0},
		{called, BlankIdle, 4, false, 1},
		{called, BlankIdle + time.Second, 4, false, 0},
		{called, BlankIdle + time.Second, 4, true, 1},
	} {
		if got := Blanks(epoch.Add(c.after), c.d, c.limit, c.inUse); got != c.want {
			t.Errorf("%s after %+v, limit %d, in use %v: %d, want %d", c.after, c.d, c.limit, c.inUse, got, c.want)
		}
	}
}

// Blank environments and stock are sized by one rule.
func TestBlanksAreAsManyAsAStock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := Demand{}
		now := epoch
		for range rapid.IntRange(1, 50).Draw(t, "calls") {
			now = now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "gap")) * time.Millisecond)
			d = d.Arrived(now).Took(time.Duration(rapid.IntRange(0, 2000).Draw(t, "took")) * time.Millisecond)
		}
		limit := rapid.IntRange(0, 20).Draw(t, "limit")
		now = now.Add(time.Duration(rapid.IntRange(0, 600).Draw(t, "later")) * time.Second)
		inUse := rapid.Bool().Draw(t, "in use")
		if got, want := Blanks(now, d, limit, inUse), Stock(now, d, Bounds{Max: limit}); got != want {
			t.Fatalf("%d blank environments, a stock would be %d", got, want)
		}
	})
}
