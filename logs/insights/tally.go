package insights

import (
	"hash/maphash"
	"math"
	"math/bits"
	"slices"
)

// counter counts values.
type counter struct{ n float64 }

func (c *counter) add(Value, int64) int { c.n++; return 0 }
func (c *counter) value() Value         { return numberValue(c.n) }

// moments is what sum, avg and stddev are made of, after Welford: numbers that are
// large and near to each other lose nothing.
type moments struct {
	of             func(m *moments) float64
	n, sum         float64
	mean, distance float64
}

func (m *moments) add(v Value, _ int64) int {
	if x, ok := v.number(); ok {
		m.n++
		m.sum += x
		d := x - m.mean
		m.mean += d / m.n
		m.distance += d * (x - m.mean)
	}
	return 0
}

func (m *moments) value() Value {
	if m.n == 0 {
		return Value{}
	}
	return numberValue(m.of(m))
}

func sumOf(m *moments) float64       { return m.sum }
func averageOf(m *moments) float64   { return m.sum / m.n }
func deviationOf(m *moments) float64 { return math.Sqrt(m.distance / m.n) }

// extremes is min and max: of numbers if there are any, else of texts.
type extremes struct {
	sign  float64
	best  Value
	words Value
}

func (e *extremes) add(v Value, _ int64) int {
	if x, ok := v.number(); ok {
		if e.best.kind == missing || e.sign*x > e.sign*e.best.n {
			e.best = numberValue(x)
		}
		return 0
	}
	if e.words.kind == missing || e.sign*float64(natural(v.s, e.words.s)) > 0 {
		more := len(v.s) - len(e.words.s)
		e.words = v.clone()
		return more
	}
	return 0
}

func (e *extremes) value() Value {
	if e.best.kind != missing {
		return e.best
	}
	return e.words
}

// bySort is sortsFirst and sortsLast.
type bySort struct {
	sign int
	best Value
}

func (b *bySort) add(v Value, _ int64) int {
	if b.best.kind != missing && b.sign*before(v, b.best) <= 0 {
		return 0
	}
	more := len(v.s) - len(b.best.s)
	b.best = v.clone()
	return more
}

// byMoment is earliest and latest: the value of the event with the least, or the
// greatest, time.
type byMoment struct {
	sign int64
	at   int64
	best Value
}

func (b *byMoment) add(v Value, at int64) int {
	if b.best.kind != missing && b.sign*(at-b.at) < 0 {
		return 0
	}
	if b.best.kind != missing && at == b.at && b.sign < 0 {
		return 0
	}
	more := len(v.s) - len(b.best.s)
	b.best, b.at = v.clone(), at
	return more
}

func (b *byMoment) value() Value { return asNumber(b.best) }

func (b *bySort) value() Value { return asNumber(b.best) }

// asNumber gives a time as a number, as AWS's functions of many rows do.
func asNumber(v Value) Value {
	if v.kind == moment {
		return numberValue(v.n)
	}
	return v
}

// exactDistinct is up to how many values are told apart exactly.
const exactDistinct = 4096

// distinct counts different values: by their hashes, and when there are many by an
// estimate from them (HyperLogLog, with the estimator of Ertl, "New cardinality
// estimation algorithms for HyperLogLog sketches", 2017), which is right to about one
// in a hundred.
type distinct struct {
	exact     map[uint64]struct{}
	registers []uint8
}

var hashSeed = maphash.MakeSeed()

const registerBits = 14

func (d *distinct) add(v Value, _ int64) int {
	h := maphash.String(hashSeed, v.string())
	if d.registers != nil {
		d.register(h)
		return 0
	}
	if d.exact == nil {
		d.exact = make(map[uint64]struct{})
	}
	if _, ok := d.exact[h]; ok {
		return 0
	}
	d.exact[h] = struct{}{}
	if len(d.exact) <= exactDistinct {
		return 24
	}
	d.registers = make([]uint8, 1<<registerBits)
	for h := range d.exact {
		d.register(h)
	}
	more := len(d.registers) - 24*exactDistinct
	d.exact = nil
	return more
}

func (d *distinct) register(h uint64) {
	place := h >> (64 - registerBits)
	zeros := uint8(bits.LeadingZeros64(h<<registerBits|1<<(registerBits-1))) + 1
	d.registers[place] = max(d.registers[place], zeros)
}

func (d *distinct) value() Value {
	if d.registers == nil {
		return numberValue(float64(len(d.exact)))
	}
	const most = 64 - registerBits + 1
	var count [most + 1]float64
	for _, r := range d.registers {
		count[r]++
	}
	m := float64(len(d.registers))
	z := m * tau(1-count[most]/m)
	for k := most - 1; k >= 1; k-- {
		z = (z + count[k]) / 2
	}
	return numberValue(math.Round(m * m / (2 * math.Ln2 * (z + m*sigma(count[0]/m)))))
}

// sigma and tau are sums of the estimator: for registers that have seen nothing, and
// for full ones.
func sigma(x float64) float64 {
	for y, z := 1.0, x; ; y *= 2 {
		x *= x
		last := z
		if z += x * y; z == last {
			return z
		}
	}
}

func tau(x float64) float64 {
	if x == 0 || x == 1 {
		return 0
	}
	for y, z := 0.5, 1-x; ; y /= 2 {
		x = math.Sqrt(x)
		last := z
		if z -= (1 - x) * (1 - x) * y; z == last {
			return z / 3
		}
	}
}

// exactValues is up to how many numbers a percentile is one of them.
const exactValues = 2000

// percentile is pct: the number that so large a part of all is not above. Of many
// numbers it is right to one part in a hundred (buckets as in DDSketch).
type percentile struct {
	part    float64
	exact   []float64
	buckets map[int32]float64
	n       float64
}

const (
	growth      = 1.02 // of a bucket's bounds
	leastNumber = 1e-9 // that is told from zero
	bucketShift = 4000
	maxBuckets  = 4000
	bucketCost  = 32
)

var logGrowth = math.Log(growth)

func (p *percentile) add(v Value, _ int64) int {
	x, ok := v.number()
	if !ok {
		return 0
	}
	p.n++
	if p.buckets != nil {
		return p.count(x)
	}
	p.exact = append(p.exact, x)
	if len(p.exact) <= exactValues {
		return 8
	}
	p.buckets = make(map[int32]float64)
	more := -8 * exactValues
	for _, x := range p.exact {
		more += p.count(x)
	}
	p.exact = nil
	return more
}

// count puts a number into its bucket. Of too many buckets those next to zero become
// one.
func (p *percentile) count(x float64) int {
	place := int32(0)
	switch {
	case x > leastNumber:
		place = bucketShift + int32(math.Ceil(math.Log(x)/logGrowth))
	case x < -leastNumber:
		place = -bucketShift - int32(math.Ceil(math.Log(-x)/logGrowth))
	}
	had := len(p.buckets)
	p.buckets[place]++
	if len(p.buckets) > maxBuckets {
		least := int32(math.MaxInt32)
		for at := range p.buckets {
			if at != 0 {
				least = min(least, max(at, -at))
			}
		}
		for _, at := range []int32{least, -least} {
			if n, ok := p.buckets[at]; ok {
				p.buckets[0] += n
				delete(p.buckets, at)
			}
		}
	}
	return (len(p.buckets) - had) * bucketCost
}

func (p *percentile) value() Value {
	if p.n == 0 {
		return Value{}
	}
	rank := max(math.Ceil(p.part*p.n), 1)
	if p.buckets == nil {
		slices.Sort(p.exact)
		return numberValue(p.exact[int(rank)-1])
	}
	places := make([]int32, 0, len(p.buckets))
	for at := range p.buckets {
		places = append(places, at)
	}
	slices.Sort(places)
	for _, at := range places {
		if rank -= p.buckets[at]; rank > 0 {
			continue
		}
		switch {
		case at > 0:
			return numberValue(2 * math.Pow(growth, float64(at-bucketShift)) / (growth + 1))
		case at < 0:
			return numberValue(-2 * math.Pow(growth, float64(-at-bucketShift)) / (growth + 1))
		}
		return numberValue(0)
	}
	return Value{}
}
