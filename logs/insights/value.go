package insights

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// kind is what a value is.
type kind uint8

const (
	missing kind = iota // no such field, or nothing that a function could give
	text
	number
	truth     // 1 or 0
	moment    // Unix milliseconds
	structure // a map or a list, as JSON
)

// Value is a field's value. Text may be a number all the same: what parse takes
// out of a message is text.
type Value struct {
	kind kind
	n    float64
	s    string // of text, and of a number how it was written, if it was
}

func textValue(s string) Value { return Value{kind: text, s: s} }

func momentValue(ms int64) Value { return Value{kind: moment, n: float64(ms)} }

func truthValue(b bool) Value {
	if b {
		return Value{kind: truth, n: 1}
	}
	return Value{kind: truth}
}

// numberValue is missing for what is no number: the result of a division by zero.
func numberValue(n float64) Value {
	if math.IsNaN(n) || math.IsInf(n, 0) {
		return Value{}
	}
	return Value{kind: number, n: n}
}

// maxDigits bounds the text that is read as a number.
const maxDigits = 64

// parseNumber reads a decimal number; hexadecimal ones, underscores, infinities and
// white space are none.
func parseNumber(s string) (float64, bool) {
	if s == "" || len(s) > maxDigits {
		return 0, false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9', c == '.', c == '-', c == '+', c == 'e', c == 'E':
		default:
			return 0, false
		}
	}
	n, err := strconv.ParseFloat(s, 64)
	return n, err == nil
}

// scalar says whether it is there and no structure.
func (v Value) scalar() bool { return v.kind != missing && v.kind != structure }

// shown is a value as results show it: Text, or a structure's JSON.
func (v Value) shown() (s string, ok bool) {
	if v.kind == structure {
		return v.s, true
	}
	return v.Text()
}

// number gives the number that a value is, if it is one.
func (v Value) number() (float64, bool) {
	switch v.kind {
	case number, truth, moment:
		return v.n, true
	case text:
		return parseNumber(v.s)
	}
	return 0, false
}

// true says whether a value holds as a condition: numbers do that are not zero.
func (v Value) true() bool {
	switch v.kind {
	case number, truth, moment:
		return v.n != 0
	case text:
		n, ok := parseNumber(v.s)
		return ok && n != 0 || strings.EqualFold(v.s, "true")
	}
	return false
}

// timeLayout is how results show times, in UTC.
const timeLayout = "2006-01-02 15:04:05.000"

// Text is a value as functions of text take it; a missing one has none, nor has a
// structure.
func (v Value) Text() (s string, ok bool) {
	switch v.kind {
	case text:
		return v.s, true
	case number:
		if v.s != "" {
			return v.s, true
		}
		return formatNumber(v.n), true
	case truth:
		return strconv.Itoa(int(v.n)), true
	case moment:
		return time.UnixMilli(int64(v.n)).UTC().Format(timeLayout), true
	}
	return "", false
}

// string is the text, empty if the value is missing.
func (v Value) string() string {
	s, _ := v.Text()
	return s
}

// formatNumber writes a number that was computed: with four decimals at most, or
// four digits if it is nearer to zero.
func formatNumber(n float64) string {
	switch a := math.Abs(n); {
	case n == math.Trunc(n) && a < 1e15:
		return strconv.FormatInt(int64(n), 10)
	case a >= 1e15 || a < 1e-3:
		return strings.Replace(strings.ToUpper(strconv.FormatFloat(n, 'g', 4, 64)), "E+", "E", 1)
	}
	s := strings.TrimRight(strconv.FormatFloat(n, 'f', 4, 64), "0")
	return strings.TrimSuffix(s, ".")
}

// parseMoment reads a time as results show it, or in RFC 3339.
func parseMoment(s string) (int64, bool) {
	for _, layout := range []string{timeLayout, time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UnixMilli(), true
		}
	}
	return 0, false
}

// order compares two values as <, = and > do; ok is false if they have no order: one
// is missing, or a number and text that is none. Text is compared as numbers with
// numbers only.
func order(a, b Value) (c int, ok bool) {
	switch {
	case a.kind == missing || b.kind == missing:
		return 0, false
	case a.kind == text && b.kind == text:
		return strings.Compare(a.s, b.s), true
	case a.kind == moment && b.kind == text, a.kind == text && b.kind == moment:
		return orderMoments(a, b)
	case a.kind == truth && b.kind == text, a.kind == text && b.kind == truth:
		a, b = truthOf(a), truthOf(b)
	}
	x, ok1 := a.number()
	y, ok2 := b.number()
	if !ok1 || !ok2 {
		return 0, false
	}
	switch {
	case x < y:
		return -1, true
	case x > y:
		return 1, true
	}
	return 0, true
}

// orderMoments compares a time with text, which has to be one too.
func orderMoments(a, b Value) (int, bool) {
	if a.kind == text {
		c, ok := orderMoments(b, a)
		return -c, ok
	}
	at, ok := parseMoment(b.s)
	if !ok {
		n, isNumber := parseNumber(b.s)
		if !isNumber {
			return 0, false
		}
		at = int64(n)
	}
	return order(a, momentValue(at))
}

// truthOf takes the words true and false for what they say.
func truthOf(v Value) Value {
	if v.kind == text {
		switch {
		case strings.EqualFold(v.s, "true"):
			return truthValue(true)
		case strings.EqualFold(v.s, "false"):
			return truthValue(false)
		}
	}
	return v
}

func equal(a, b Value) bool {
	c, ok := order(a, b)
	return ok && c == 0
}

// before is the order of sort: first what is missing, then what is no number, in
// natural order, then numbers.
func before(a, b Value) int {
	if c := rank(a) - rank(b); c != 0 {
		return c
	}
	x, ok := a.number()
	switch {
	case !a.scalar():
		return 0
	case !ok:
		return natural(a.s, b.s)
	}
	y, _ := b.number()
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

func rank(v Value) int {
	if !v.scalar() {
		return 0
	}
	if _, ok := v.number(); ok {
		return 2
	}
	return 1
}

// natural compares text chunk by chunk: digits by the number that they are, the rest
// by its characters.
func natural(a, b string) int {
	for a != "" && b != "" {
		x, y := digits(a), digits(b)
		if x == 0 || y == 0 {
			if a[0] != b[0] {
				return int(a[0]) - int(b[0])
			}
			a, b = a[1:], b[1:]
			continue
		}
		m, n := strings.TrimLeft(a[:x], "0"), strings.TrimLeft(b[:y], "0")
		if c := len(m) - len(n); c != 0 {
			return c
		}
		if c := strings.Compare(m, n); c != 0 {
			return c
		}
		a, b = a[x:], b[y:]
	}
	return len(a) - len(b)
}

// digits is how many digits a text begins with.
func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

// clone gives a value that shares no memory with what it came from.
func (v Value) clone() Value {
	v.s = strings.Clone(v.s)
	return v
}

// valueCost is about what a value takes of memory, its text aside.
const valueCost = 48

func (v Value) cost() int { return valueCost + len(v.s) }
