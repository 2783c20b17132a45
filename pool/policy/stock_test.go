package policy

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestStockOfAVersionInUseIsAtLeastOne(t *testing.T) {
	d := Demand{}.Arrived(epoch)
	for after, want := range map[time.Duration]int{0: 1, 9 * time.Minute: 1, 11 * time.Minute: 0} {
		if got := Stock(epoch.Add(after), d, Bounds{Max: 4}); got != want {
			t.Errorf("stock %s after one new tenant = %d, want %d", after, got, want)
		}
	}
	if got := Stock(epoch, Demand{}, Bounds{Max: 4}); got != 0 {
		t.Errorf("stock of a version nobody uses = %d", got)
	}
}

// 5 tenants come on average while one environment is made. Of a Poisson variable
// of mean 5, 12 or more have a probability of 0.55 %, 11 or more of 1.37 %.
func TestStockFollowsASteadyStream(t *testing.T) {
	d := Demand{}.Took(100 * time.Millisecond)
	now := epoch
	for range 5000 { // 50 a second for 100 s
		now = now.Add(20 * time.Millisecond)
		d = d.Arrived(now)
	}
	if rate := d.Rate(now); math.Abs(rate-50) > 0.1 {
		t.Errorf("the rate of 50 a second is %v", rate)
	}
	if got := Stock(now, d, Bounds{Max: 100}); got != 12 {
		t.Errorf("stock for 50 tenants a second, 100 ms each = %d, want 12", got)
	}
	if got := Stock(now.Add(2*time.Minute), d, Bounds{Max: 100}); got < 3 || got > 6 {
		t.Errorf("two minutes after the stream = %d, want some to remember it by", got)
	}
}

// The stock is the least that random arrivals exhaust once in a hundred times,
// by the definition of the Poisson distribution.
func TestEnoughAgainstNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mean := rapid.Float64Range(0, 40).Draw(t, "mean")
		limit := rapid.IntRange(1, 80).Draw(t, "limit")
		exactly := func(k int) float64 {
			lg, _ := math.Lgamma(float64(k + 1))
			if mean == 0 {
				return map[bool]float64{true: 1}[k == 0]
			}
			return math.Exp(float64(k)*math.Log(mean) - mean - lg)
		}
		want := 1
		for want < limit {
			reached := 1.0
			for k := range want {
				reached -= exactly(k)
			}
			if math.Abs(reached-stockMisses) < 1e-9 {
				t.Skip("too close to call")
			}
			if reached <= stockMisses {
				break
			}
			want++
		}
		if got := enough(mean, limit); got != want {
			t.Fatalf("enough(%v, %d) = %d, want %d", mean, limit, got, want)
		}
	})
}

// What the rates are made of, against all arrivals there ever were.
func TestRateAgainstNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d Demand
		var all []time.Time
		now := epoch
		for range rapid.IntRange(0, 60).Draw(t, "arrivals") {
			now = now.Add(time.Duration(rapid.IntRange(0, 20_000).Draw(t, "gap")) * time.Millisecond)
			d = d.Arrived(now)
			all = append(all, now)
		}
		now = now.Add(time.Duration(rapid.IntRange(0, 90_000).Draw(t, "later")) * time.Millisecond)
		want := 0.0
		for _, window := range []float64{10, 60} {
			rate := 0.0
			for _, at := range all {
				rate += math.Exp(-now.Sub(at).Seconds()/window) / window
			}
			want = max(want, rate)
		}
		if got := d.Rate(now); math.Abs(got-want) > 1e-9*(1+want) {
			t.Fatalf("Rate = %v, want %v", got, want)
		}
	})
}

func TestBoundsHoldWhetherAnybodyComesOrNot(t *testing.T) {
	used := Demand{}.Arrived(epoch)
	for _, c := range []struct {
		b            Bounds
		unused, used int
	}{
		{Bounds{}, 0, 0}, {Bounds{Max: 3}, 0, 1}, {Bounds{Min: 2, Max: 3, Standing: true}, 2, 2}, {Bounds{Min: 2, Max: 3}, 0, 2},
		{Bounds{Min: 5, Max: 3, Standing: true}, 3, 3}, {Bounds{Min: 5, Standing: true}, 0, 0}, {Bounds{Min: -1, Max: -1, Standing: true}, 0, 0},
	} {
		if got := Stock(epoch, Demand{}, c.b); got != c.unused {
			t.Errorf("%+v of a version nobody uses = %d, want %d", c.b, got, c.unused)
		}
		if got := Stock(epoch, used, c.b); got != c.used {
			t.Errorf("%+v of a version in use = %d, want %d", c.b, got, c.used)
		}
	}
}

func TestSteadyIsAboutOneAtATime(t *testing.T) {
	d := Demand{}.Took(100 * time.Millisecond)
	now := epoch
	for range 3000 {
		now = now.Add(250 * time.Millisecond)
		d = d.Arrived(now)
	}
	if d.Steady(now) {
		t.Error("4 a second of 100 ms each are steady")
	}
	for range 3000 {
		now = now.Add(150 * time.Millisecond)
		d = d.Arrived(now)
	}
	if !d.Steady(now) {
		t.Error("7 a second of 100 ms each are not steady")
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
		b := Bounds{Min: rapid.IntRange(0, limit).Draw(t, "min"), Max: limit, Standing: true}
		later := now.Add(time.Duration(rapid.IntRange(0, 1200).Draw(t, "later")) * time.Second)
		n := Stock(later, d, b)
		if n < b.Min || n > limit {
			t.Fatalf("stock %d beyond its bounds %+v", n, b)
		}
		if n > Stock(now, d, b) {
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
