package policy

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// market is a stock that is run by the rule: tenants come, take one if there is
// one, and whatever is lacking is ordered and arrives after a while.
type market struct {
	now     time.Time
	demand  Demand
	bounds  Bounds
	makes   time.Duration
	shelf   int
	ordered []time.Time // when what is being made arrives

	came, missed int
}

// come is a new tenant after so long.
func (m *market) come(after time.Duration) {
	m.now = m.now.Add(after)
	for len(m.ordered) > 0 && !m.ordered[0].After(m.now) {
		m.ordered = m.ordered[1:]
		m.shelf++
	}
	m.came++
	if m.shelf == 0 {
		m.missed++
	} else {
		m.shelf--
	}
	m.demand = m.demand.Arrived(m.now).Took(m.makes)
	for m.shelf+len(m.ordered) < Stock(m.now, m.demand, m.bounds) {
		m.ordered = append(m.ordered, m.now.Add(m.makes))
	}
}

// poisson has tenants come at random, so many a second, for a while.
func (m *market) poisson(rng *rand.Rand, rate float64, d time.Duration) {
	for end := m.now.Add(d); m.now.Before(end); {
		m.come(seconds(rng.ExpFloat64() / rate))
	}
}

// The rule promises that one in a hundred finds the stock empty. It knows neither
// the rate nor the time, has to estimate both, and holds whole environments.
func TestOneInAHundredFindsTheStockEmpty(t *testing.T) {
	for _, c := range []struct {
		rate  float64 // a second
		makes time.Duration
	}{
		{0.5, 20 * time.Millisecond}, {1, 100 * time.Millisecond}, {1, time.Second}, {10, 100 * time.Millisecond},
		{10, 500 * time.Millisecond}, {50, 40 * time.Millisecond}, {250, 8 * time.Millisecond}, {250, 40 * time.Millisecond},
	} {
		rng := rand.New(rand.NewPCG(uint64(c.rate*10), uint64(c.makes)))
		m := &market{now: epoch, bounds: Bounds{Max: 100}, makes: c.makes}
		m.poisson(rng, c.rate, time.Minute) // it learns
		m.came, m.missed = 0, 0
		m.poisson(rng, c.rate, max(2*time.Minute, seconds(5000/c.rate)))
		if share := float64(m.missed) / float64(m.came); share > 0.015 {
			t.Errorf("%g a second, %s to make: %.2f %% of %d found the stock empty", c.rate, c.makes, 100*share, m.came)
		}
		if n, most := m.shelf+len(m.ordered), 3+3*c.rate*c.makes.Seconds()+4*math.Sqrt(c.rate*c.makes.Seconds()); float64(n) > most {
			t.Errorf("%g a second, %s to make: %d in stock or on order, more than %.0f", c.rate, c.makes, n, most)
		}
	}
}

// A rate that rises a hundredfold is followed within seconds.
func TestTheStockFollowsARise(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	m := &market{now: epoch, bounds: Bounds{Max: 100}, makes: 40 * time.Millisecond}
	m.poisson(rng, 1, 10*time.Minute)
	m.came, m.missed = 0, 0
	m.poisson(rng, 100, 10*time.Second)
	if m.missed > 200 {
		t.Errorf("%d of the first %d after the rise found the stock empty", m.missed, m.came)
	}
	m.came, m.missed = 0, 0
	m.poisson(rng, 100, 20*time.Second)
	if m.missed > m.came/30 {
		t.Errorf("%d of the next %d found the stock empty", m.missed, m.came)
	}
}

// gapLaw draws the time between two visits of a tenant.
type gapLaw struct {
	name string
	draw func(*rand.Rand) float64 // seconds
}

var gapLaws = []gapLaw{
	{"every 5 minutes", func(*rand.Rand) float64 { return 300 }},
	{"every 12 minutes", func(*rand.Rand) float64 { return 720 }},
	{"every 30 minutes", func(*rand.Rand) float64 { return 1800 }},
	{"every 4 hours", func(*rand.Rand) float64 { return 14_000 }},
	{"at random, 2 minutes", func(r *rand.Rand) float64 { return r.ExpFloat64() * 120 }},
	{"at random, 10 minutes", func(r *rand.Rand) float64 { return r.ExpFloat64() * 600 }},
	{"at random, an hour", func(r *rand.Rand) float64 { return r.ExpFloat64() * 3600 }},
	{"heavy-tailed", func(r *rand.Rand) float64 { return 20 * math.Pow(r.Float64(), -1/0.7) }},
	{"very heavy-tailed", func(r *rand.Rand) float64 { return 5 * math.Pow(r.Float64(), -1/0.4) }},
	{"in bursts, an hour apart", func(r *rand.Rand) float64 {
		if r.IntN(20) > 0 {
			return 1 + 10*r.Float64()
		}
		return 3600
	}},
	{"in two ways", func(r *rand.Rand) float64 {
		if r.IntN(2) > 0 {
			return 250 + 60*r.Float64()
		}
		return 3000 + 600*r.Float64()
	}},
}

// Whatever the law by which a tenant comes, the rule that has to find out costs not
// much more than the fixed time that would have been the best, known afterwards;
// a restart costs the price, a second of holding one.
func TestTheRuleAgainstHindsight(t *testing.T) {
	k := Keeping(DefaultKeepAlive)
	for i, law := range gapLaws {
		rng := rand.New(rand.NewPCG(uint64(i), 7))
		gaps := make([]float64, 1000)
		for i := range gaps {
			gaps[i] = law.draw(rng)
		}
		cost := func(kept func(i int) float64) (sum float64) {
			for i, gap := range gaps {
				if at := kept(i); at < gap {
					sum += at + k.Price.Seconds()
				} else {
					sum += gap
				}
			}
			return sum
		}
		best, bestAt := math.Inf(1), 0.0
		for at := k.Least.Seconds(); at <= k.Most.Seconds(); at += 10 {
			if c := cost(func(int) float64 { return at }); c < best {
				best, bestAt = c, at
			}
		}
		var h Habit
		known, when := h, until(k, h)
		ours := cost(func(i int) float64 {
			if h != known {
				known, when = h, until(k, h)
			}
			h = h.Seen(seconds(gaps[i]))
			return when.Seconds()
		})
		if ours > best*1.1 {
			t.Errorf("%s: %.0f s a visit, the best fixed time (%.0f s) costs %.0f", law.name, ours/1000, bestAt, best/1000)
		}
		// Ten minutes for everybody are never much better.
		if fixed := cost(func(int) float64 { return DefaultKeepAlive.Seconds() }); ours > fixed*1.1 {
			t.Errorf("%s: %.0f s a visit, ten minutes for everybody %.0f", law.name, ours/1000, fixed/1000)
		}
		t.Logf("%-26s ours %5.0f s a visit, the best %5.0f s, at %4.0f s", law.name, ours/1000, best/1000, bestAt)
	}
}
