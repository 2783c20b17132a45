package policy

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// until is how long an environment of habit h stays when nobody comes, to the
// second, as a pool that looks every second finds out.
func until(k KeepAlive, h Habit) time.Duration {
	idle := time.Duration(0)
	for k.Holds(h, idle) {
		idle += time.Second
	}
	return idle
}

// often is a habit of so many gaps of one length.
func often(n int, gap time.Duration) (h Habit) {
	for range n {
		h = h.Seen(gap)
	}
	return h
}

func TestNothingKnownIsKeptForTheDefault(t *testing.T) {
	if got := until(Keeping(DefaultKeepAlive), Habit{}); got != DefaultKeepAlive {
		t.Errorf("kept for %s, want %s", got, DefaultKeepAlive)
	}
	// Others are kept for about what they are given.
	for _, given := range []time.Duration{5 * time.Second, time.Minute, 3 * time.Minute, 20 * time.Minute, 30 * time.Minute} {
		if got := until(Keeping(given), Habit{}); got < given*3/4 || got > given*5/4+time.Second {
			t.Errorf("given %s, kept for %s", given, got)
		}
	}
}

// What a tenant that comes like clockwork is kept for, after so many visits.
func TestClockwork(t *testing.T) {
	k := Keeping(DefaultKeepAlive)
	for _, c := range []struct {
		every       time.Duration
		visits      int
		least, most time.Duration
	}{
		// If it does not come when it always does, nothing is known again.
		{30 * time.Second, 5, 10 * time.Minute, 10 * time.Minute},
		{5 * time.Minute, 5, 10 * time.Minute, 10 * time.Minute},
		// Worth waiting for: kept until it comes.
		{12 * time.Minute, 3, 12 * time.Minute, 16 * time.Minute},
		{14 * time.Minute, 20, 14 * time.Minute, 16 * time.Minute},
		// Not worth it: given up soon, the sooner the surer.
		{30 * time.Minute, 1, 3 * time.Minute, 10 * time.Minute},
		{30 * time.Minute, 4, time.Minute, 5 * time.Minute},
		{30 * time.Minute, 20, time.Minute, 90 * time.Second},
		{3 * time.Hour, 20, time.Minute, 90 * time.Second},
		{9 * time.Hour, 20, time.Minute, 90 * time.Second},
	} {
		if got := until(k, often(c.visits, c.every)); got < c.least || got > c.most {
			t.Errorf("every %s, %d visits: kept for %s, want %s to %s", c.every, c.visits, got, c.least, c.most)
		}
	}
}

// A burst of calls each hour: the many gaps within bursts say nothing of those
// between them.
func TestShortGapsDoNotHideLongOnes(t *testing.T) {
	k := Keeping(DefaultKeepAlive)
	var h Habit
	for range 12 {
		for range 1000 {
			h = h.Seen(2 * time.Second)
		}
		h = h.Seen(time.Hour)
	}
	if got := until(k, h); got > 90*time.Second {
		t.Errorf("bursts an hour apart: kept for %s", got)
	}
	h = Habit{}
	for range 12 {
		for range 1000 {
			h = h.Seen(2 * time.Second)
		}
		h = h.Seen(11 * time.Minute)
	}
	if got := until(k, h); got < 11*time.Minute || got > 16*time.Minute {
		t.Errorf("bursts eleven minutes apart: kept for %s", got)
	}
}

func TestAHabitChangesWithItsTenant(t *testing.T) {
	k := Keeping(DefaultKeepAlive)
	h := often(1000, time.Hour)
	for range 2 * habitMemory {
		h = h.Seen(8 * time.Minute)
	}
	if got := until(k, h); got < 8*time.Minute {
		t.Errorf("an hour a thousand times, then eight minutes: kept for %s", got)
	}
	for range 2 * habitMemory {
		h = h.Seen(2 * time.Hour)
	}
	if got := until(k, h); got > 2*time.Minute {
		t.Errorf("then two hours: kept for %s", got)
	}
}

func drawGap(t *rapid.T, name string) time.Duration {
	// As many of each order of magnitude, beyond both ends of what is told apart.
	return seconds(math.Exp(rapid.Float64Range(math.Log(0.1), math.Log(50_000)).Draw(t, name)))
}

func drawHabit(t *rapid.T) (h Habit) {
	for i := range rapid.IntRange(0, 30).Draw(t, "kinds") {
		gap := drawGap(t, fmt.Sprint("gap", i))
		for range rapid.IntRange(1, 12).Draw(t, "times") {
			h = h.Seen(gap)
		}
	}
	return h
}

// The life table against the list of all gaps, while none is forgotten.
func TestSeenAgainstNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h Habit
		var gaps []time.Duration
		for i := range rapid.IntRange(0, habitMemory-1).Draw(t, "n") {
			gap := drawGap(t, fmt.Sprint("gap", i))
			h = h.Seen(gap)
			if gap > ShortGap {
				gaps = append(gaps, gap)
			}
		}
		begin := 0.0
		for i, end := range habitEdges {
			idle, used := 0, 0
			for _, gap := range gaps {
				if gap.Seconds() >= begin {
					idle++
				}
				if gap.Seconds() >= begin && gap.Seconds() < end {
					used++
				}
			}
			if i == 0 {
				idle, used = 0, 0 // of which nothing is counted
			}
			if int(h.idle[i]) != idle || int(h.used[i]) != used {
				t.Fatalf("span %d, %.1f to %.1f s, of gaps %v: %d of %d used, want %d of %d", i, begin, end, gaps, h.used[i], h.idle[i], used, idle)
			}
			begin = end
		}
	})
}

// However much is seen, the counts stay what they mean, and below their limit.
func TestALifeTableStaysOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h Habit
		for i := range rapid.IntRange(0, 40).Draw(t, "kinds") {
			gap := drawGap(t, fmt.Sprint("gap", i))
			for range rapid.IntRange(1, 300).Draw(t, "times") {
				h = h.Seen(gap)
			}
		}
		for i := range habitEdges {
			if h.used[i] > h.idle[i] || h.idle[i] > habitMemory {
				t.Fatalf("span %d: %d of %d used", i, h.used[i], h.idle[i])
			}
			if p := h.hazard(i); p <= 0 || p >= 1 {
				t.Fatalf("span %d: probability %v", i, p)
			}
		}
	})
}

// survival is what a habit believes, written out: the share of environments that
// are still idle after so many seconds. Within a span an even part of them is used
// each moment.
func survival(h Habit, s float64) float64 {
	left, begin := 1.0, 0.0
	for i, end := range habitEdges {
		if s < end {
			return left * math.Pow(1-h.hazard(i), (s-begin)/(end-begin))
		}
		left *= 1 - h.hazard(i)
		begin = end
	}
	return left
}

// heldUntil is for how long an environment is held on average from s on, if it is
// given up at e: the area below the survival curve, by Simpson's rule.
func heldUntil(h Habit, s, e float64) float64 {
	points := []float64{s, e}
	for _, edge := range habitEdges {
		if edge > s && edge < e {
			points = append(points, edge)
		}
	}
	slices.Sort(points)
	area := 0.0
	const steps = 16
	for i := range points[1:] {
		a, b := points[i], points[i+1]
		d := (b - a) / steps
		for j := range steps {
			x := a + float64(j)*d
			area += d / 6 * (survival(h, x) + 4*survival(h, x+d/2) + survival(h, x+d))
		}
	}
	return area
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-6*(math.Abs(a)+math.Abs(b))+1e-12 }

func TestHopeAgainstNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHabit(t)
		idle := drawGap(t, "idle")
		want := 0.0
		for _, e := range habitEdges {
			if s := idle.Seconds(); e > s {
				used := survival(h, s) - survival(h, e)
				want = max(want, used/heldUntil(h, s, e))
			}
		}
		if got := h.Hope(idle); !near(got, want) {
			t.Fatalf("Hope(%s) of %+v = %v, want %v", idle, h, got, want)
		}
	})
}

// No time to give up at costs less than the rule's, if a restart costs Price and
// every second that is held one: neither an end of a span nor any other.
func TestNoFixedTimeIsBetterThanTheRule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHabit(t)
		k := Keeping(time.Duration(rapid.IntRange(30, 3600).Draw(t, "keep")) * time.Second)
		cost := func(at float64) float64 {
			return survival(h, at)*k.Price.Seconds() + heldUntil(h, 0, at)
		}
		stop := until(k, h).Seconds()
		tries := append([]float64{rapid.Float64Range(1, 20_000).Draw(t, "try")}, habitEdges[:]...)
		for _, at := range tries {
			if at < k.Least.Seconds() || at > k.Most.Seconds() {
				continue
			}
			// The pool looks every second, and may see the end of a span so late.
			if c := cost(at); cost(stop) > c*1.001+1 {
				t.Fatalf("giving up after %.0f s costs %.1f s, after %.0f s %.1f s", stop, cost(stop), at, c)
			}
		}
	})
}

func TestKeepAliveKeepsItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHabit(t)
		given := time.Duration(rapid.IntRange(1, 7200).Draw(t, "keep")) * time.Second
		k := Keeping(given)
		if k.Least > given || k.Most < given || k.Least <= 0 {
			t.Fatalf("Keeping(%s) = %+v", given, k)
		}
		idle := drawGap(t, "idle")
		switch holds := k.Holds(h, idle); {
		case idle < k.Least && !holds:
			t.Fatalf("given up after %s, less than %s", idle, k.Least)
		case idle >= k.Most && holds:
			t.Fatalf("held after %s, more than %s", idle, k.Most)
		}
	})
}

// A dearer restart never makes an environment go sooner.
func TestADearerRestartIsWaitedForLonger(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHabit(t)
		a := time.Duration(rapid.IntRange(1, 3600).Draw(t, "a")) * time.Second
		b := a + time.Duration(rapid.IntRange(0, 3600).Draw(t, "more"))*time.Second
		k := func(price time.Duration) KeepAlive {
			return KeepAlive{Price: price, Least: time.Minute, Most: time.Hour}
		}
		if x, y := until(k(a), h), until(k(b), h); x > y {
			t.Fatalf("for a restart of %s it is held for %s, for one of %s for %s", a, x, b, y)
		}
	})
}

// Of tenants of whom nothing is known, the one that was idle for longer is worth
// less: without habits, eviction is by the least recent use.
func TestWithoutHabitsTheLongerIdleIsWorthLess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawGap(t, "a"), drawGap(t, "b")
		if x, y := (Habit{}).Hope(min(a, b)), (Habit{}).Hope(max(a, b)); x < y {
			t.Fatalf("idle for %s it is worth %v, for %s %v", min(a, b), x, max(a, b), y)
		}
	})
}

// The time of day is not an argument, and neither are moments before now.
func TestHopeOfNoTimeAtAll(t *testing.T) {
	h := often(10, time.Minute)
	if got, want := h.Hope(-time.Hour), h.Hope(0); got != want {
		t.Errorf("Hope(-1h) = %v, Hope(0) = %v", got, want)
	}
	if got := h.Hope(24 * time.Hour); got != 0 {
		t.Errorf("Hope beyond everything that is told apart = %v", got)
	}
	if got := often(10, -time.Hour); got != (Habit{}) {
		t.Errorf("gaps below zero were taken note of: %+v", got)
	}
}

func BenchmarkHope(b *testing.B) {
	h := often(10, 5*time.Minute)
	for b.Loop() {
		h.Hope(2 * time.Minute)
	}
}

func BenchmarkSeen(b *testing.B) {
	var h Habit
	for b.Loop() {
		h = h.Seen(5 * time.Minute)
	}
}
