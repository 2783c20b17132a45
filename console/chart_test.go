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
	if line := c.Series[0].Line; !strings.Contains(line, "m-2.5 0l") {
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
