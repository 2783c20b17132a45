package console

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestChartShowsALonePointAndWholeNumbers(t *testing.T) {
	at := time.Date(2026, 11, 27, 19, 0, 0, 0, time.UTC)
	gap := math.NaN()
	c := newChart("c", "", whole, []series{{Points: []point{{at, gap}, {at.Add(time.Minute), 1}, {at.Add(2 * time.Minute), gap}}}})
	if line := c.Series[0].Line; !strings.Contains(line, "m-4 0l") {
		t.Errorf("a point without neighbours is drawn as %q", line)
	}
	seen := map[string]bool{}
	for _, tick := range c.Ticks {
		if seen[tick.Text] {
			t.Errorf("two lines of the grid are called %q", tick.Text)
		}
		seen[tick.Text] = true
	}
}

// TestLegendsSayWhatTheWholeLineIs, since its last point is of a minute that is not over.
func TestLegendsSayWhatTheWholeLineIs(t *testing.T) {
	at := time.Date(2026, 11, 27, 19, 0, 0, 0, time.UTC)
	points := func(values ...float64) (all []point) {
		for i, v := range values {
			all = append(all, point{at.Add(time.Duration(i) * time.Minute), v})
		}
		return all
	}
	c := newChart("c", "", whole, []series{{Summed: true, Points: points(20, 4, 0)}, {Points: points(7, 118, math.NaN())}, {Points: points(math.NaN(), math.NaN())}})
	for i, want := range []string{"24 in all", "118 at most", "not measured"} {
		if got := c.Series[i].Whole; got != want {
			t.Errorf("line %d is %q, want %q", i, got, want)
		}
	}
}
