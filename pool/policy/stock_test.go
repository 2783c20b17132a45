package policy

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestStockOfAVersionInUseIsAtLeastOne(t *testing.T) {
	d := Demand{}.Arrived(epoch)
	for after, want := range map[time.Duration]int{0: 1, 9 * time.Minute: 1, 11 * time.Minute: 0} {
		if got := Stock(epoch.Add(after), d, 4); got != want {
			t.Errorf("stock %s after one new tenant = %d, want %d", after, got, want)
		}
	}
	if got := Stock(epoch, Demand{}, 4); got != 0 {
		t.Errorf("stock of a version nobody uses = %d", got)
	}
}

// The stock covers twice what a steady stream brings while one is made.
func TestStockFollowsASteadyStream(t *testing.T) {
	d := Demand{}.Took(100 * time.Millisecond)
	now := epoch
	for range 1000 { // 50 a second for 20 s
		now = now.Add(20 * time.Millisecond)
		d = d.Arrived(now)
	}
	if got := Stock(now, d, 100); got < 8 || got > 13 {
		t.Errorf("stock for 50 tenants a second, 100 ms each = %d, want about 2*5+1", got)
	}
}

func TestStockKeepsItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := Demand{}
		now := epoch
		for range rapid.IntRange(0, 50).Draw(t, "arrivals") {
			now = now.Add(time.Duration(rapid.IntRange(0, 5000).Draw(t, "gap")) * time.Millisecond)
			d = d.Arrived(now).Took(time.Duration(rapid.IntRange(0, 3000).Draw(t, "took")) * time.Millisecond)
		}
		limit := rapid.IntRange(0, 20).Draw(t, "limit")
		later := now.Add(time.Duration(rapid.IntRange(0, 1200).Draw(t, "later")) * time.Second)
		n := Stock(later, d, limit)
		if n < 0 || n > limit {
			t.Fatalf("stock %d beyond its bounds 0 and %d", n, limit)
		}
		if n > Stock(now, d, limit) {
			t.Fatalf("stock grows while nobody comes")
		}
	})
}

func TestBackoffGrowsToFiveMinutes(t *testing.T) {
	last := time.Duration(0)
	for n := range 100 {
		b := Backoff(n)
		if b < last || b > 5*time.Minute || n > 0 && b < time.Second {
			t.Errorf("Backoff(%d) = %s after %s", n, b, last)
		}
		last = b
	}
}
