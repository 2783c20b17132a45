package metrics

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/alcove-run/alcove"
)

// LambdaNamespace is where what the node measures is, as on AWS.
const LambdaNamespace = "AWS/Lambda"

// Dimension is one name and value that a metric is told by.
type Dimension struct{ Name, Value string }

// Metric names what is measured. Its dimensions are in the order of their names.
type Metric struct {
	Namespace, Name string
	Dimensions      []Dimension
}

// series is a metric in one unit, and whose it is: the tenant whose environment
// measured it, empty if it is of several or of none.
type series struct {
	metric Metric
	unit   string
	tenant alcove.Tenant
	class  string // what its number is bounded with; see limits.go
}

// key tells series apart. Names have no NUL (checked where they come in).
func (s *series) key() string {
	var b strings.Builder
	b.WriteString(s.metric.Namespace + "\x00" + s.metric.Name + "\x00" + s.unit + "\x00" + string(s.tenant))
	for _, d := range s.metric.Dimensions {
		b.WriteString("\x00" + d.Name + "\x00" + d.Value)
	}
	return b.String()
}

// hash is a key of one length.
func hashOf(key string) [16]byte {
	sum := sha256.Sum256([]byte(key))
	return [16]byte(sum[:16])
}

func sortDimensions(list []Dimension) {
	slices.SortFunc(list, func(a, b Dimension) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Value, b.Value)) })
}

func encodeDimensions(list []Dimension) string {
	pairs := make([][2]string, len(list))
	for i, d := range list {
		pairs[i] = [2]string{d.Name, d.Value}
	}
	b, err := json.Marshal(pairs)
	if err != nil { // strings
		panic(err)
	}
	return string(b)
}

func decodeDimensions(text string) ([]Dimension, error) {
	var pairs [][2]string
	if err := json.Unmarshal([]byte(text), &pairs); err != nil {
		return nil, fmt.Errorf("metrics: dimensions: %w", err)
	}
	list := make([]Dimension, len(pairs))
	for i, p := range pairs {
		list[i] = Dimension{p[0], p[1]}
	}
	return list, nil
}

// Set is what is known of some values: how many, and their statistics.
type Set struct {
	N, Sum, Min, Max float64
	sketch           sketch
}

// Add adds a value, so many times.
func (s *Set) Add(v, count float64) {
	if s.N == 0 || v < s.Min {
		s.Min = v
	}
	if s.N == 0 || v > s.Max {
		s.Max = v
	}
	s.N += count
	s.Sum += v * count
	s.sketch.add(v, count)
}

// AddStatistics adds values of which only these are known. For percentiles they are
// taken to be at their mean, but for the least and the greatest.
func (s *Set) AddStatistics(n, sum, low, high float64) {
	o := Set{N: n, Sum: sum, Min: low, Max: high}
	switch {
	case n >= 3:
		o.sketch.add(low, 1)
		o.sketch.add(high, 1)
		o.sketch.add((sum-low-high)/(n-2), n-2)
	default:
		o.sketch.add(sum/n, n)
	}
	s.merge(&o)
}

func (s *Set) merge(o *Set) {
	if o.N == 0 {
		return
	}
	if s.N == 0 || o.Min < s.Min {
		s.Min = o.Min
	}
	if s.N == 0 || o.Max > s.Max {
		s.Max = o.Max
	}
	s.N += o.N
	s.Sum += o.Sum
	s.sketch.merge(&o.sketch)
}

// Percentile gives a percentile, part being from 0 to 1, to RelativeError.
func (s *Set) Percentile(part float64) float64 {
	switch {
	case part <= 0 || s.Min == s.Max:
		return s.Min
	case part >= 1:
		return s.Max
	}
	return math.Min(math.Max(s.sketch.percentile(part), s.Min), s.Max)
}

// Resolutions of points, in seconds, and how long they are kept: those of AWS.
var resolutions = []struct {
	seconds int64
	kept    time.Duration
}{
	{60, 15 * 24 * time.Hour},
	{300, 63 * 24 * time.Hour},
	{3600, 455 * 24 * time.Hour},
}
