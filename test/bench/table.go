package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A unit is how a figure is written.
type unit int

const (
	millis unit = iota
	micros
	mebibytes
	perSecond
	count
	ratio
	percent
	times // more is better
)

// figure is one number of one round.
type figure struct {
	what  string
	unit  unit
	value float64 // in the unit
}

func inMillis(what string, d time.Duration) figure {
	return figure{what, millis, float64(d) / 1e6}
}

func inMicros(what string, d time.Duration) figure {
	return figure{what, micros, float64(d) / 1e3}
}

func (f figure) text(v float64) string {
	switch f.unit {
	case millis:
		return fmt.Sprintf("%.2f ms", v)
	case micros:
		return fmt.Sprintf("%.0f µs", v)
	case mebibytes:
		return fmt.Sprintf("%.1f MiB", v)
	case perSecond:
		if v < 100 {
			return fmt.Sprintf("%.1f/s", v)
		}
		return fmt.Sprintf("%.0f/s", v)
	case ratio, times:
		return fmt.Sprintf("%.2f×", v)
	case percent:
		return fmt.Sprintf("%.0f %%", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// upwards says that more is better.
func (u unit) upwards() bool { return u == perSecond || u == count || u == times }

// peerColumn is the column of what ALCOVE_BENCH_PEER names.
const peerColumn = "peer"

// table collects figures by name and column.
type table struct {
	columns []string
	order   []figure
	values  map[string]map[string][]float64 // by figure, by column
}

func (t *table) add(column string, f figure) {
	if t.values == nil {
		t.values = make(map[string]map[string][]float64)
	}
	if t.values[f.what] == nil {
		t.values[f.what] = make(map[string][]float64)
		t.order = append(t.order, f)
	}
	t.values[f.what][column] = append(t.values[f.what][column], f.value)
}

// markdown is the table with its targets, and whether they are reached.
func (t *table) markdown() string {
	columns := slices.Clone(t.columns)
	for _, f := range t.order {
		if t.values[f.what][peerColumn] != nil {
			columns = append(columns, peerColumn)
			break
		}
	}
	var b strings.Builder
	b.WriteString("| |")
	for _, c := range columns {
		b.WriteString(" " + c + " |")
		if c != peerColumn {
			b.WriteString(" target |")
		}
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", strings.Count(b.String(), "|")-2) + "\n")
	for _, f := range t.order {
		b.WriteString("| " + f.what + " |")
		for _, c := range columns {
			b.WriteString(" " + t.cell(f, c) + " |")
			if c != peerColumn {
				b.WriteString(" " + t.target(f, c) + " |")
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

func (t *table) cell(f figure, column string) string {
	if v := t.values[f.what][column]; len(v) > 0 {
		return f.text(median(v))
	}
	return "–"
}

func (t *table) target(f figure, column string) string {
	want, ok := targets[f.what][column]
	if !ok {
		return ""
	}
	sign := "≤ "
	if f.unit.upwards() {
		sign = "≥ "
	}
	text := sign + f.text(want)
	v := t.values[f.what][column]
	switch {
	case len(v) == 0:
		return text
	case f.unit.upwards() && median(v) >= want, !f.unit.upwards() && median(v) <= want:
		return text + ", reached"
	}
	return fmt.Sprintf("%s, not reached (%.2g of it)", text, median(v)/want)
}
