package metrics

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A percentile of a sketch is that of the values, to what RelativeError says, in
// whatever parts they were added, and after it was written and read.
func TestPercentiles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.OneOf(rapid.Float64Range(1e-6, 1e9), rapid.Float64Range(-1e9, -1e-6), rapid.Just(0.0)), 1, 300).Draw(t, "values")
		cut := rapid.IntRange(0, len(values)).Draw(t, "cut")
		var all, rest Set
		for i, v := range values {
			if i < cut {
				all.Add(v, 1)
			} else {
				rest.Add(v, 1)
			}
		}
		s, err := decodeSketch(rest.sketch.encode())
		if err != nil {
			t.Fatal(err)
		}
		rest.sketch = s
		all.merge(&rest)
		slices.Sort(values)
		for _, part := range []float64{0, 0.01, 0.5, 0.9, 0.99, 1} {
			got, want := all.Percentile(part), values[int(part*float64(len(values)-1))]
			if math.Abs(got-want) > math.Abs(want)*RelativeError*1.0001 {
				t.Fatalf("p%v of %v is %v, want %v", part*100, values, got, want)
			}
		}
		if all.N != float64(len(values)) || all.Min != values[0] || all.Max != values[len(values)-1] {
			t.Fatalf("%+v of %v", all, values)
		}
	})
}

func TestASketchIsBounded(t *testing.T) {
	var s sketch
	for i := range 100_000 {
		s.add(math.Pow(1.05, float64(i%12000)-6000), 1)
	}
	if len(s.buckets) > maxBuckets {
		t.Errorf("%d buckets", len(s.buckets))
	}
}

func FuzzSketch(f *testing.F) {
	var s sketch
	s.add(1, 2)
	s.add(-3, 0.5)
	f.Add(s.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := decodeSketch(b); err == nil && len(b) > 0 {
			s.percentile(0.5)
			s.encode()
		}
	})
}
