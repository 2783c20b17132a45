package policy

import (
	"math"
	"time"
)

// StockIdle is how long after the last new tenant a version keeps its floor of
// one environment in stock.
const StockIdle = 10 * time.Minute

// stockSpread is how much more than the mean demand during one creation is kept:
// tenants do not come evenly.
const stockSpread = 2

// Demand is what new tenants ask of a version.
type Demand struct {
	// Rate is how many come in a second, averaged over the last ones.
	Rate float64
	// Make is how long it takes to make an environment.
	Make time.Duration
	// Last is when the last one came; zero if none has.
	Last time.Time
}

// rateWindow is how fast Rate forgets.
const rateWindow = 10 * time.Second

// Arrived is d after a new tenant came at now: an exponentially weighted rate of
// events, each of which weighs 1/rateWindow and fades with that time constant.
func (d Demand) Arrived(now time.Time) Demand {
	d.Rate = d.rateAt(now) + 1/rateWindow.Seconds()
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

func (d Demand) rateAt(now time.Time) float64 {
	if d.Last.IsZero() || d.Rate == 0 {
		return 0
	}
	return d.Rate * math.Exp(-now.Sub(d.Last).Seconds()/rateWindow.Seconds())
}

// Stock is how many environments should wait for tenants nobody knows yet: what
// comes while one is made, with some to spare, at least one while the version is
// in use, at most limit.
func Stock(now time.Time, d Demand, limit int) int {
	if d.Last.IsZero() || now.Sub(d.Last) > StockIdle {
		return 0
	}
	n := 1 + int(math.Ceil(d.rateAt(now)*d.Make.Seconds()*stockSpread))
	return clamp(n, limit)
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
