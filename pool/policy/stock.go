package policy

import (
	"math"
	"time"
)

// How long environments wait in stock.
const (
	// StockIdle is how long after the last new tenant a version keeps its floor
	// of one environment in stock.
	StockIdle = 10 * time.Minute
	// StockAge is how long an environment waits for a tenant before it is ended:
	// what its Init found out about the world ages.
	StockAge = time.Hour
	// StockRenewal is how long before that its successor is made.
	StockRenewal = time.Minute
)

// stockMisses is the share of new tenants that may find the stock empty while
// they come steadily.
const stockMisses = 0.01

// Bounds are how many environments of a version wait for tenants nobody knows
// yet: at least Min, and at most Max.
type Bounds struct {
	Min, Max int
	// Standing says that Min holds whether anybody comes or not.
	Standing bool
}

// Kept is how many are kept of a version that nobody uses.
func (b Bounds) Kept() int {
	if !b.Standing {
		return 0
	}
	return clamp(b.Min, b.Max)
}

// Demand is what new tenants ask of a version.
type Demand struct {
	// fast and slow are how many came in a second, averaged over the last ones:
	// fast sees that more come, slow remembers that they did.
	fast, slow float64
	// Make is how long it takes to make an environment, from the moment that it
	// is wanted.
	Make time.Duration
	// Last is when the last one came; zero if none has.
	Last time.Time
}

// How fast the rates forget.
const (
	fastWindow = 10 * time.Second
	slowWindow = time.Minute
)

// Arrived is d after a new tenant came at now: an exponentially weighted rate of
// events, each of which weighs one by the window and fades with that time constant.
func (d Demand) Arrived(now time.Time) Demand {
	d.fast = d.faded(d.fast, now, fastWindow) + 1/fastWindow.Seconds()
	d.slow = d.faded(d.slow, now, slowWindow) + 1/slowWindow.Seconds()
	d.Last = now
	return d
}

// Took is d after it took so long to make an environment.
func (d Demand) Took(made time.Duration) Demand {
	if d.Make == 0 {
		d.Make = made
	} else {
		d.Make += (made - d.Make) / 8
	}
	return d
}

// Rate is how many new tenants come in a second.
func (d Demand) Rate(now time.Time) float64 {
	return max(d.faded(d.fast, now, fastWindow), d.faded(d.slow, now, slowWindow))
}

func (d Demand) faded(rate float64, now time.Time, window time.Duration) float64 {
	if d.Last.IsZero() || rate == 0 {
		return 0
	}
	return rate * math.Exp(-now.Sub(d.Last).Seconds()/window.Seconds())
}

// pending is how many new tenants come, on average, while one environment is made.
func (d Demand) pending(now time.Time) float64 { return d.Rate(now) * d.Make.Seconds() }

// Steady says that new tenants come about as fast as environments are made one
// after another, or faster: a stock that waited for a pause would stay empty.
func (d Demand) Steady(now time.Time) bool { return d.pending(now) >= 0.5 }

// Stock is how many environments should wait for tenants nobody knows yet, within
// b: so many that of tenants who come at random at d's rate only one in a hundred
// comes when all are taken and not yet replaced; at least one while the version
// is in use.
//
// What is on order replaces what was taken, so the stock lasts unless as many as
// it holds come while one is made, and how many do is Poisson distributed (the
// base-stock rule of inventory theory, orders of one).
func Stock(now time.Time, d Demand, b Bounds) int {
	if d.Last.IsZero() || now.Sub(d.Last) > StockIdle {
		return b.Kept()
	}
	return clamp(max(b.Min, enough(d.pending(now), b.Max)), b.Max)
}

// enough is the least number that a Poisson variable of that mean reaches with a
// probability of stockMisses at most; one at least, and limit at most.
func enough(mean float64, limit int) int {
	if mean >= float64(limit) {
		return limit
	}
	p := math.Exp(-mean) // of exactly n-1
	below := p           // of less than n
	n := 1
	for ; n < limit && 1-below > stockMisses; n++ {
		p *= mean / float64(n)
		below += p
	}
	return n
}

// Backoff is how long to wait before a stock is tried again after so many
// failures of Init in a row: a second, doubled each time, five minutes at most.
func Backoff(failures int) time.Duration {
	const most = 5 * time.Minute
	if failures < 1 {
		return 0
	}
	if failures > 9 {
		return most
	}
	return min(time.Second<<(failures-1), most)
}
