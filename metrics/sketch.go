package metrics

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
)

// RelativeError is how far a percentile may be from the value that has its rank:
// one part in a hundred of it.
const RelativeError = 0.01

// sketch counts values in buckets whose bounds grow by a constant factor, after
// DDSketch (Masson, Rim, Lee; 2019): sketches of parts add up to the sketch of the
// whole, and a percentile is exact to RelativeError, while there are no more than
// maxBuckets.
type sketch struct {
	buckets map[int32]float64 // how many values, by place; see place
}

const (
	gamma = (1 + RelativeError) / (1 - RelativeError)
	// least is the smallest number that is told from zero.
	least = 1e-9
	// maxBuckets bounds the memory of a sketch; beyond it those nearest to zero
	// become one. Positive values from a microsecond to a day fit in 1,300.
	maxBuckets = 1600
	// zeroPlace is the bucket of zero. Places of positive numbers are above it,
	// places of negative ones below.
	zeroPlace  = 0
	placeShift = 4000
)

var logGamma = math.Log(gamma)

// place is the bucket of a value.
func place(v float64) int32 {
	switch {
	case v > least:
		return int32(math.Ceil(math.Log(v)/logGamma)) + placeShift
	case v < -least:
		return -int32(math.Ceil(math.Log(-v)/logGamma)) - placeShift
	}
	return zeroPlace
}

// valueOf is the value that stands for a bucket.
func valueOf(p int32) float64 {
	switch {
	case p > zeroPlace:
		return 2 * math.Pow(gamma, float64(p-placeShift)) / (gamma + 1)
	case p < zeroPlace:
		return -2 * math.Pow(gamma, float64(-p-placeShift)) / (gamma + 1)
	}
	return 0
}

func (s *sketch) add(v, count float64) {
	if s.buckets == nil {
		s.buckets = make(map[int32]float64, 4)
	}
	s.buckets[place(v)] += count
	if len(s.buckets) > maxBuckets {
		s.collapse()
	}
}

func (s *sketch) merge(o *sketch) {
	if s.buckets == nil {
		s.buckets = make(map[int32]float64, len(o.buckets))
	}
	for p, n := range o.buckets {
		s.buckets[p] += n
	}
	if len(s.buckets) > maxBuckets {
		s.collapse()
	}
}

// collapse puts the buckets nearest to zero together, until there are few enough.
func (s *sketch) collapse() {
	places := s.places()
	slices.SortFunc(places, func(a, b int32) int { return int(abs(a) - abs(b)) })
	over := places[:len(places)-maxBuckets*3/4]
	to := over[len(over)-1]
	for _, p := range over[:len(over)-1] {
		s.buckets[to] += s.buckets[p]
		delete(s.buckets, p)
	}
}

func abs(p int32) int32 {
	if p < 0 {
		return -p
	}
	return p
}

func (s *sketch) places() []int32 {
	list := make([]int32, 0, len(s.buckets))
	for p := range s.buckets {
		list = append(list, p)
	}
	slices.Sort(list)
	return list
}

// percentile gives the value below which that part, from 0 to 1, of all values are.
func (s *sketch) percentile(part float64) float64 {
	var all float64
	for _, n := range s.buckets {
		all += n
	}
	rank := part * (all - 1)
	var below float64
	places := s.places()
	for _, p := range places {
		if below += s.buckets[p]; below > rank {
			return valueOf(p)
		}
	}
	if len(places) == 0 {
		return math.NaN()
	}
	return valueOf(places[len(places)-1])
}

// encode gives the sketch as bytes: for each bucket its place, as the difference to
// the one before, and its count, both as varints; a count that is not whole is eight
// bytes after a zero.
func (s *sketch) encode() []byte {
	var b []byte
	last := int32(0)
	for _, p := range s.places() {
		b = binary.AppendVarint(b, int64(p)-int64(last))
		last = p
		if n := s.buckets[p]; n >= 1 && n < 1<<53 && n == math.Trunc(n) {
			b = binary.AppendUvarint(b, uint64(n))
		} else {
			b = binary.LittleEndian.AppendUint64(append(b, 0), math.Float64bits(n))
		}
	}
	return b
}

var errSketch = errors.New("metrics: damaged sketch")

func decodeSketch(b []byte) (s sketch, err error) {
	s.buckets = make(map[int32]float64, len(b)/3+1)
	last := int64(0)
	for len(b) > 0 {
		d, n := binary.Varint(b)
		if n <= 0 || len(s.buckets) > maxBuckets {
			return s, errSketch
		}
		b = b[n:]
		c, n := binary.Uvarint(b)
		if n <= 0 {
			return s, errSketch
		}
		b = b[n:]
		count := float64(c)
		if c == 0 {
			if len(b) < 8 {
				return s, errSketch
			}
			count = math.Float64frombits(binary.LittleEndian.Uint64(b))
			b = b[8:]
		}
		if last += d; last > math.MaxInt32 || last < math.MinInt32 || !(count > 0) {
			return s, errSketch
		}
		s.buckets[int32(last)] += count
	}
	return s, nil
}
