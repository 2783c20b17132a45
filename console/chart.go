package console

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A chart is drawn by the node, as SVG: lines over time, one unit. Its numbers stand
// in a table below it, for who cannot see it.

type point struct {
	At    time.Time
	Value float64
}

type series struct {
	Name   string
	Points []point // in the order of their times
	// Line is the path, drawn by newChart; Class says which colour it has.
	Line, Area, Class string
	// Summed says that the points together are a number of their own; Whole is that
	// number in words, else the highest point: "24 in all", "118 at most".
	Summed bool
	Whole  string
}

// chart is what the template of charts is given.
type chart struct {
	Title, Unit    string
	Series         []series
	Ticks          []tick
	Days           []tick
	Width, Height  int
	Left, Base     int
	Summary        string
	Empty          bool
	format         func(float64) string
	Rows           [][]string
	RowsBegin      string
	RowsEnd        string
	AreaUnderLines bool
}

// tick is a line of the grid and what stands at it.
type tick struct {
	At     int
	Text   string
	Anchor string // of those on the axis of time: the first and the last stay within the drawing
}

// The size of a chart's drawing, and of its margins.
const (
	chartWidth  = 640
	chartHeight = 200
	chartLeft   = 64
	chartRight  = 12
	chartTop    = 12
	chartBase   = 172
)

// maxTableRows bounds the table below a chart.
const maxTableRows = 60

func newChart(title, unit string, format func(float64) string, all []series) *chart {
	c := &chart{Title: title, Unit: unit, Width: chartWidth, Height: chartHeight, Left: chartLeft, Base: chartBase, format: format,
		AreaUnderLines: len(all) == 1}
	var from, to time.Time
	top := 0.0
	for _, s := range all {
		for _, p := range s.Points {
			if from.IsZero() || p.At.Before(from) {
				from = p.At
			}
			if p.At.After(to) {
				to = p.At
			}
			if !math.IsNaN(p.Value) && !math.IsInf(p.Value, 0) {
				top = max(top, p.Value)
			}
		}
	}
	if from.IsZero() {
		c.Empty = true
		return c
	}
	step := niceStep(top / 4)
	if top >= 1 && step < 1 && (format(step) == format(0) || format(step) == format(2*step)) {
		step = 1 // of what is counted: no lines between whole numbers
	}
	top = math.Max(step, math.Ceil(top/step)*step)
	x := func(at time.Time) float64 {
		if !to.After(from) {
			return chartLeft
		}
		return chartLeft + float64(at.Sub(from))/float64(to.Sub(from))*(chartWidth-chartLeft-chartRight)
	}
	y := func(v float64) float64 { return chartBase - v/top*(chartBase-chartTop) }
	for v := 0.0; v <= top+step/2; v += step {
		c.Ticks = append(c.Ticks, tick{At: int(y(v)), Text: format(v)})
	}
	layout := "15:04"
	if to.Sub(from) > 36*time.Hour {
		layout = "Jan 2"
	}
	for i := range 4 {
		at := from.Add(to.Sub(from) * time.Duration(i) / 3)
		c.Days = append(c.Days, tick{int(x(at)), at.UTC().Format(layout), []string{"start", "middle", "middle", "end"}[i]})
		if !to.After(from) {
			break
		}
	}
	for i, s := range all {
		s.Class = "line-" + strconv.Itoa(i%6)
		s.Line, s.Area = draw(s.Points, x, y)
		s.Whole = s.whole(format)
		c.Series = append(c.Series, s)
	}
	c.table(from, to)
	return c
}

// whole says what all points of a line come to: its last would be of the minute that is
// not over yet.
func (s *series) whole(format func(float64) string) string {
	sum, most, any := 0.0, 0.0, false
	for _, p := range s.Points {
		if math.IsNaN(p.Value) {
			continue
		}
		any = true
		sum += p.Value
		most = max(most, p.Value)
	}
	switch {
	case !any:
		return "not measured"
	case s.Summed:
		return format(sum) + " in all"
	}
	return format(most) + " at most"
}

// draw makes paths of points: the line, and the area below it. A value that is no
// number is a gap.
func draw(points []point, x func(time.Time) float64, y func(float64) float64) (line, area string) {
	var l, a strings.Builder
	begun, last := false, 0.0
	for i, p := range points {
		if math.IsNaN(p.Value) {
			if begun {
				fmt.Fprintf(&a, "L%.1f %dZ", last, chartBase)
			}
			begun = false
			continue
		}
		px, py := x(p.At), y(p.Value)
		if begun {
			fmt.Fprintf(&l, "L%.1f %.1f", px, py)
			fmt.Fprintf(&a, "L%.1f %.1f", px, py)
		} else {
			fmt.Fprintf(&l, "M%.1f %.1f", px, py)
			if i+1 == len(points) || math.IsNaN(points[i+1].Value) {
				l.WriteString("m-4 0l4-4l4 4l-4 4z") // a point without neighbours
			}
			fmt.Fprintf(&a, "M%.1f %dL%.1f %.1f", px, chartBase, px, py)
		}
		begun, last = true, px
	}
	if begun {
		fmt.Fprintf(&a, "L%.1f %dZ", last, chartBase)
	}
	return l.String(), a.String()
}

// table is the newest points in words.
func (c *chart) table(from, to time.Time) {
	layout := "2006-01-02 15:04"
	if to.Sub(from) > 36*time.Hour && len(c.Series) > 0 && len(c.Series[0].Points) < 400 && from.Hour() == 0 {
		layout = time.DateOnly
	}
	c.RowsBegin, c.RowsEnd = from.UTC().Format(layout), to.UTC().Format(layout)
	at := map[time.Time]int{}
	for i, s := range c.Series {
		points := s.Points[max(0, len(s.Points)-maxTableRows):]
		for _, p := range points {
			n, ok := at[p.At]
			if !ok {
				n = len(c.Rows)
				at[p.At] = n
				row := make([]string, len(c.Series)+1)
				row[0] = p.At.UTC().Format(layout)
				c.Rows = append(c.Rows, row)
			}
			if !math.IsNaN(p.Value) {
				c.Rows[n][i+1] = c.format(p.Value)
			}
		}
	}
}

// niceStep is 1, 2 or 5 times a power of ten, at least v.
func niceStep(v float64) float64 {
	if !(v > 0) || math.IsInf(v, 0) {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= v*(1-1e-9) {
			return m * power
		}
	}
	return 10 * power
}
