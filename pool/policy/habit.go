package policy

import (
	"math"
	"time"
)

// habitBins is how many spans of idle time a [Habit] tells apart.
const habitBins = 25

// habitEdges are the upper ends of the spans in seconds, each half as long again
// as the one before: from 0.9 s to 4.3 h, with the default keep-alive among them.
var habitEdges = func() (edges [habitBins]float64) {
	for i := range edges {
		edges[i] = DefaultKeepAlive.Seconds() * math.Pow(habitRatio, float64(i-16))
	}
	return edges
}()

const habitRatio = 1.5

// What is believed of a tenant of whom nothing is known: of the environments
// that have been idle for some time, a quarter is used again before they have
// been for half as long again. It is a heavy-tailed law (Pareto's, of exponent
// 0.7), as arrivals of functions are; with it, an environment is worth the less
// the longer it has been idle.
const (
	priorHazard = 0.25
	// priorWeight is how many observations the belief weighs.
	priorWeight = 1
	// firstHazard is of the first span, which is too short to matter and of which
	// nothing is counted: an environment is worth most right after its use.
	firstHazard = 0.7
)

// Habit is when the environments of one version and tenant were used again after
// they had become idle. For each span it has how many were still idle at its
// beginning and how many of those were used within it: a life table, which learns
// from the long gaps that are rare as well as from the many that are short. The
// zero Habit knows nothing. It is small: there is one for each tenant that came
// lately.
type Habit struct {
	idle, used [habitBins]uint8
}

// habitMemory is how many observations of a span count; beyond it, old ones count
// half.
const habitMemory = 32

// ShortGap is the longest gap that a [Habit] takes no notice of.
var ShortGap = seconds(habitEdges[0])

// Seen is h after an environment was used again that had been idle for gap.
func (h Habit) Seen(gap time.Duration) Habit {
	if gap <= ShortGap {
		return h
	}
	for i, end := range habitEdges {
		if i == 0 {
			continue
		}
		if h.idle[i]++; h.idle[i] >= habitMemory {
			h.idle[i] /= 2
			h.used[i] /= 2
		}
		if gap.Seconds() < end {
			h.used[i]++
			break
		}
	}
	return h
}

// hazard is the probability that an environment which is idle at the beginning of
// span i is used again within it.
func (h Habit) hazard(i int) float64 {
	if i == 0 {
		return firstHazard
	}
	return (float64(h.used[i]) + priorWeight*priorHazard) / (float64(h.idle[i]) + priorWeight)
}

// minusLogStay is the logarithm of the probability that an environment stays idle
// through span i, with its sign turned.
func (h Habit) minusLogStay(i int) float64 {
	if i == 0 {
		return firstRate
	}
	return stayTable[h.idle[i]][h.used[i]]
}

var (
	firstRate = -math.Log1p(-firstHazard)
	// stayTable has all values there are, by what was seen of a span.
	stayTable = func() (table [habitMemory + 1][habitMemory + 1]float64) {
		for idle := range table {
			for used := range idle + 1 {
				var h Habit
				h.idle[1], h.used[1] = uint8(idle), uint8(used)
				table[idle][used] = -math.Log1p(-h.hazard(1))
			}
		}
		return table
	}()
)

// Hope is how much it pays to hold an environment that has been idle for so long:
// the probability that it is used again by the time that it would be held for no
// longer, for each second that it is held until then, with that time at its best.
// (It is the Gittins index of the idle environment: holding pays exactly while Hope
// is more than the price of a second, in restarts.)
func (h Habit) Hope(idle time.Duration) float64 {
	t := max(0, idle.Seconds())
	best, begin := 0.0, 0.0
	used, held, left := 0.0, 0.0, 1.0 // of what is idle now
	for i, end := range habitEdges {
		if end <= t {
			begin = end
			continue
		}
		// Within a span, what is still idle is used at an even rate.
		rate := h.minusLogStay(i) / (end - begin)
		stay := 1 - h.hazard(i)
		if t > begin {
			stay = math.Exp(-rate * (end - t))
		}
		used += left * (1 - stay)
		held += left * (1 - stay) / rate
		left *= stay
		best = max(best, used/held)
		begin = end
	}
	return float64(float32(best)) // so that what is equal but for rounding is equal
}

// DefaultKeepAlive is how long an environment is kept of whose tenant nothing is
// known.
const DefaultKeepAlive = 10 * time.Minute

// KeepAlive says how long idle environments are kept.
type KeepAlive struct {
	// Price is for how long an environment may be held for the sake of one
	// restart.
	Price time.Duration
	// Least and Most are the bounds of what a habit can ask for.
	Least, Most time.Duration
}

// Keeping gives the rule by which an environment is kept for about that long
// while nothing is known of its tenant: exactly so for DefaultKeepAlive, else to
// the nearest end of a habit's spans. A tenant's habit makes of it a tenth to six
// times as much.
func Keeping(unknown time.Duration) KeepAlive {
	return KeepAlive{Price: unknown * 3 / 2, Least: unknown / 10, Most: 6 * unknown}
}

// Holds says whether an environment that has been idle for so long is still worth
// what it holds.
func (k KeepAlive) Holds(h Habit, idle time.Duration) bool {
	switch {
	case idle < k.Least:
		return true
	case idle >= k.Most:
		return false
	}
	return h.Hope(idle)*k.Price.Seconds() >= 1
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
