package expression

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// Point is a value of a series.
type Point struct {
	At    int64 // Unix seconds, the beginning of its period
	Value float64
}

// Series is the points of a query, in the order of time.
type Series struct {
	ID     string
	Label  string
	Period int64 // seconds
	Points []Point
}

// Input is what expressions are worked out over.
type Input struct {
	// Query gives the series that an id names: one, or several of an expression that
	// gives several.
	Query func(id string) ([]Series, error)
	// Metrics are the series of all queries that are no expressions.
	Metrics func() ([]Series, error)
	// From and To bound the time that is asked for.
	From, To int64
	// Budget is how many points may be made yet; it is counted down.
	Budget *int
}

// ErrTooMuch is the answer to what would make too many points.
var ErrTooMuch = errors.New("it has too many data points to work out: ask for longer periods, a shorter time, or fewer metrics")

// value is what a part of an expression comes to: a number, or one or several series.
type value struct {
	number float64
	list   []Series // nil is a number
	many   bool     // of an array, though there may be one
	text   string
}

func (v value) scalar() bool { return v.list == nil }

// Evaluate works an expression out. What it gives are series, several of an expression
// that has an array.
func (e *Expression) Evaluate(in Input) ([]Series, error) {
	v, err := eval(in, &e.root)
	switch {
	case err != nil:
		return nil, err
	case v.scalar():
		return nil, errors.New("it has to give a time series, and gives a number")
	}
	return v.list, nil
}

func eval(in Input, n *node) (value, error) {
	switch n.kind {
	case kindNumber:
		return value{number: n.value}, nil
	case kindText:
		return value{}, fmt.Errorf("the text %q is not expected there", n.text)
	case kindID:
		list, err := in.Query(n.name)
		if err == nil && list == nil {
			list = []Series{}
		}
		return value{list: list, many: len(list) != 1}, err
	}
	switch n.name {
	case "METRICS":
		return in.metrics(n)
	case "FILL":
		return in.fill(n)
	case "IF":
		return in.choose(n)
	}
	args := make([]value, len(n.args))
	for i := range n.args {
		var err error
		if args[i], err = eval(in, &n.args[i]); err != nil {
			return value{}, err
		}
	}
	if f, ok := operators[n.name]; ok {
		return in.combine(args[0], args[1], f)
	}
	return in.call(n.name, args[0])
}

// metrics are all that are no expressions, or those with a part of an id.
func (in Input) metrics(n *node) (value, error) {
	all, err := in.Metrics()
	v := value{list: []Series{}, many: true}
	for _, s := range all {
		if len(n.args) == 0 || strings.Contains(s.ID, n.args[0].text) {
			v.list = append(v.list, s)
		}
	}
	if err == nil && len(v.list) == 0 {
		err = errors.New("METRICS selects no metric")
	}
	return v, err
}

var operators = map[string]func(a, b float64) float64{
	"+": func(a, b float64) float64 { return a + b }, "-": func(a, b float64) float64 { return a - b },
	"*": func(a, b float64) float64 { return a * b }, "/": func(a, b float64) float64 { return a / b },
	"^": math.Pow,
	"<": func(a, b float64) float64 { return truth(a < b) }, ">": func(a, b float64) float64 { return truth(a > b) },
	"<=": func(a, b float64) float64 { return truth(a <= b) }, ">=": func(a, b float64) float64 { return truth(a >= b) },
	"==": func(a, b float64) float64 { return truth(a == b) }, "!=": func(a, b float64) float64 { return truth(a != b) },
	"&&": func(a, b float64) float64 { return truth(a != 0 && b != 0) }, "||": func(a, b float64) float64 { return truth(a != 0 || b != 0) },
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// combine does an operator: of two series, at the times that both have; of an array,
// with each of its series.
func (in Input) combine(a, b value, f func(a, b float64) float64) (value, error) {
	switch {
	case a.scalar() && b.scalar():
		return value{number: f(a.number, b.number)}, nil
	case a.many && b.many:
		return value{}, errors.New("there is no operator between two arrays of time series")
	}
	out := value{many: a.many || b.many, list: []Series{}}
	with := func(x, y []Series, swapped bool) error {
		for i := range x {
			s := x[i]
			s.Points = nil
			if y == nil {
				for _, p := range x[i].Points {
					if !swapped {
						p.Value = f(p.Value, b.number)
					} else {
						p.Value = f(a.number, p.Value)
					}
					s.Points = append(s.Points, p)
				}
			} else {
				for l, r := x[i].Points, y[0].Points; len(l) > 0 && len(r) > 0; {
					switch {
					case l[0].At < r[0].At:
						l = l[1:]
					case l[0].At > r[0].At:
						r = r[1:]
					default:
						v := f(l[0].Value, r[0].Value)
						if swapped {
							v = f(r[0].Value, l[0].Value)
						}
						s.Points = append(s.Points, Point{l[0].At, v})
						l, r = l[1:], r[1:]
					}
				}
			}
			s.Points = finite(s.Points)
			if err := in.spend(len(x[i].Points)); err != nil {
				return err
			}
			out.list = append(out.list, s)
		}
		return nil
	}
	var err error
	switch {
	case b.scalar():
		err = with(a.list, nil, false)
	case a.scalar():
		err = with(b.list, nil, true)
	case b.many:
		err = with(b.list, a.list, true)
	default:
		err = with(a.list, b.list, false)
	}
	return out, err
}

func (in Input) spend(points int) error {
	if *in.Budget -= points + 1; *in.Budget < 0 {
		return ErrTooMuch
	}
	return nil
}

// finite drops what is no number, as what was divided by zero.
func finite(list []Point) []Point {
	out := list[:0]
	for _, p := range list {
		if !math.IsNaN(p.Value) && !math.IsInf(p.Value, 0) {
			out = append(out, p)
		}
	}
	return out
}

// call does a function of one argument.
func (in Input) call(name string, v value) (value, error) {
	switch name {
	case "TIME_SERIES":
		if !v.scalar() {
			return value{}, errors.New("TIME_SERIES takes a number")
		}
		s := Series{Period: 60}
		if (in.To-in.From)/60 > int64(*in.Budget) {
			return value{}, ErrTooMuch
		}
		for at := in.From / 60 * 60; at < in.To; at += 60 {
			s.Points = append(s.Points, Point{at, v.number})
		}
		return value{list: []Series{s}}, in.spend(len(s.Points))
	case "METRIC_COUNT":
		if v.scalar() {
			return value{}, errors.New("METRIC_COUNT takes time series")
		}
		return value{number: float64(len(v.list))}, nil
	case "PERIOD":
		if v.scalar() || len(v.list) != 1 {
			return value{}, errors.New("PERIOD takes one time series")
		}
		return value{number: float64(v.list[0].Period)}, nil
	}
	if f := each[name]; f != nil {
		if v.scalar() {
			return value{number: f(v.number)}, nil
		}
		return in.series(v, func(s Series) []Point {
			out := make([]Point, len(s.Points))
			for i, p := range s.Points {
				out[i] = Point{p.At, f(p.Value)}
			}
			return out
		})
	}
	if v.scalar() {
		return value{}, fmt.Errorf("%s takes time series", name)
	}
	if f := along[name]; f != nil {
		return in.series(v, func(s Series) []Point { return f(s.Points) })
	}
	f := over[name]
	if !v.many { // of one series, the number of all its values
		all := make([]float64, len(v.list[0].Points))
		for i, p := range v.list[0].Points {
			all[i] = p.Value
		}
		if len(all) == 0 {
			return value{number: math.NaN()}, nil
		}
		return value{number: f(all)}, in.spend(len(all))
	}
	return in.across(v, f)
}

// series does what is done to each series by itself.
func (in Input) series(v value, f func(Series) []Point) (value, error) {
	out := value{many: v.many, list: []Series{}}
	for _, s := range v.list {
		if err := in.spend(len(s.Points)); err != nil {
			return out, err
		}
		s.Points = finite(f(s))
		out.list = append(out.list, s)
	}
	return out, nil
}

// across makes one series of several: at each time, of those that have a value then.
func (in Input) across(v value, f func([]float64) float64) (value, error) {
	s := Series{}
	next := make([]int, len(v.list))
	for {
		at := int64(math.MaxInt64)
		for i, one := range v.list {
			if next[i] < len(one.Points) {
				at = min(at, one.Points[next[i]].At)
			}
		}
		if at == math.MaxInt64 {
			break
		}
		if err := in.spend(len(v.list)); err != nil {
			return value{}, err
		}
		var values []float64
		for i, one := range v.list {
			if next[i] < len(one.Points) && one.Points[next[i]].At == at {
				values = append(values, one.Points[next[i]].Value)
				next[i]++
			}
		}
		s.Points = append(s.Points, Point{at, f(values)})
	}
	for _, one := range v.list {
		s.Period = max(s.Period, one.Period)
	}
	s.Points = finite(s.Points)
	return value{list: []Series{s}}, nil
}

// each are functions of a value.
var each = map[string]func(float64) float64{"ABS": math.Abs, "CEIL": math.Ceil, "FLOOR": math.Floor, "LOG": math.Log, "LOG10": math.Log10}

// along are functions of a value and those before it.
var along = map[string]func([]Point) []Point{
	"DIFF": func(list []Point) []Point {
		return steps(list, func(a, b Point) float64 { return b.Value - a.Value })
	},
	"RATE": func(list []Point) []Point {
		return steps(list, func(a, b Point) float64 { return (b.Value - a.Value) / float64(b.At-a.At) })
	},
	"RUNNING_SUM": func(list []Point) []Point {
		sum, out := 0.0, make([]Point, len(list))
		for i, p := range list {
			sum += p.Value
			out[i] = Point{p.At, sum}
		}
		return out
	},
}

func steps(list []Point, f func(a, b Point) float64) (out []Point) {
	for i := 1; i < len(list); i++ {
		out = append(out, Point{list[i].At, f(list[i-1], list[i])})
	}
	return out
}

// over are functions of several values, of which there is one at least.
var over = map[string]func([]float64) float64{
	"SUM": sum,
	"AVG": func(v []float64) float64 { return sum(v) / float64(len(v)) },
	"MAX": func(v []float64) float64 {
		most := v[0]
		for _, x := range v {
			most = max(most, x)
		}
		return most
	},
	"MIN": func(v []float64) float64 {
		least := v[0]
		for _, x := range v {
			least = min(least, x)
		}
		return least
	},
	"STDDEV": func(v []float64) float64 {
		mean, squares := sum(v)/float64(len(v)), 0.0
		for _, x := range v {
			squares += (x - mean) * (x - mean)
		}
		return math.Sqrt(squares / float64(len(v)))
	},
}

func sum(v []float64) (s float64) {
	for _, x := range v {
		s += x
	}
	return s
}

// fill gives series values where they have none: a number's, those of another series,
// the last before, or a line between the last and the next.
func (in Input) fill(n *node) (value, error) {
	v, err := eval(in, &n.args[0])
	if err != nil {
		return v, err
	}
	if v.scalar() {
		return v, errors.New("FILL takes time series")
	}
	var with value
	how := ""
	if n.args[1].kind == kindText {
		how = n.args[1].text
	} else if with, err = eval(in, &n.args[1]); err != nil {
		return v, err
	}
	if n.args[1].kind == kindText && how != "REPEAT" && how != "LINEAR" {
		return v, errors.New("FILL takes a number, REPEAT or LINEAR")
	}
	if !with.scalar() {
		return v, errors.New("FILL takes a number, REPEAT or LINEAR")
	}
	out := value{many: v.many, list: []Series{}}
	for _, s := range v.list {
		period := max(s.Period, 60)
		from := in.From / period * period
		if err := in.spend(int(min((in.To-from)/period, int64(math.MaxInt32)))); err != nil {
			return out, err
		}
		var points []Point
		for at, i := from, 0; at < in.To; at += period {
			for i < len(s.Points) && s.Points[i].At < at {
				i++
			}
			switch {
			case i < len(s.Points) && s.Points[i].At == at:
				points = append(points, s.Points[i])
			case how == "":
				points = append(points, Point{at, with.number})
			case i == 0: // nothing was before
			case how == "REPEAT":
				points = append(points, Point{at, s.Points[i-1].Value})
			case i < len(s.Points):
				a, b := s.Points[i-1], s.Points[i]
				points = append(points, Point{at, a.Value + (b.Value-a.Value)*float64(at-a.At)/float64(b.At-a.At)})
			}
		}
		s.Points = finite(points)
		out.list = append(out.list, s)
	}
	return out, nil
}

// choose takes, at each time, one value or another; without the other, none.
func (in Input) choose(n *node) (value, error) {
	cond, err := eval(in, &n.args[0])
	if err != nil {
		return cond, err
	}
	then, err := eval(in, &n.args[1])
	if err != nil {
		return then, err
	}
	var other value
	if len(n.args) == 3 {
		if other, err = eval(in, &n.args[2]); err != nil {
			return other, err
		}
	}
	if cond.many || then.many || other.many {
		return cond, errors.New("IF takes numbers and single time series")
	}
	if cond.scalar() {
		switch {
		case cond.number != 0:
			return then, nil
		case len(n.args) == 3:
			return other, nil
		case then.scalar():
			return value{number: math.NaN()}, nil
		}
		return value{list: []Series{{Period: then.list[0].Period}}}, nil
	}
	s := Series{Period: cond.list[0].Period}
	if err := in.spend(len(cond.list[0].Points)); err != nil {
		return cond, err
	}
	pick := [2]func(int64) (float64, bool){at(other), at(then)}
	for _, p := range cond.list[0].Points {
		which := int(truth(p.Value != 0))
		if which == 0 && len(n.args) == 2 {
			continue
		}
		if v, ok := pick[which](p.At); ok {
			s.Points = append(s.Points, Point{p.At, v})
		}
	}
	s.Points = finite(s.Points)
	return value{list: []Series{s}}, nil
}

// at gives what a value is at times that come in their order.
func at(v value) func(int64) (float64, bool) {
	if v.scalar() {
		return func(int64) (float64, bool) { return v.number, true }
	}
	rest := v.list[0].Points
	return func(t int64) (float64, bool) {
		for len(rest) > 0 && rest[0].At < t {
			rest = rest[1:]
		}
		if len(rest) > 0 && rest[0].At == t {
			return rest[0].Value, true
		}
		return 0, false
	}
}
