package insights

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // the machine may have no time zones of its own
)

// dated reads parseDate(text, pattern[, zone]) or formatDate(time, pattern[, zone]).
// Pattern and zone have to be there as they are.
func (p *parser) dated(name token, word string) (expr, error) {
	args, err := p.arguments()
	if err != nil {
		return nil, err
	}
	if len(args) != 2 && len(args) != 3 {
		return nil, p.fail(name.start, name.end, "the function %s does not take %d arguments", name.text, len(args))
	}
	zone := time.UTC
	for i, a := range args[1:] {
		v, ok := a.(literal)
		if !ok || v.kind != text {
			return nil, p.fail(name.start, name.end, "argument %d of %s is not a string", i+2, name.text)
		}
		if i == 1 {
			if zone, err = zoneOf(v.s); err != nil {
				return nil, p.fail(name.start, name.end, "%s: there is no time zone %.60s", name.text, v.s)
			}
		}
	}
	pattern := args[1].(literal).s
	c := &call{args: args[:1], weight: 1}
	if word == "parsedate" {
		parts, err := javaPattern(pattern)
		if err != nil {
			return nil, p.fail(name.start, name.end, "the pattern of %s cannot be used: %s", name.text, err)
		}
		c.f = func(a []Value) Value { return parseDate(parts, a[0], zone) }
		return c, nil
	}
	if err := checkStrftime(pattern); err != nil {
		return nil, p.fail(name.start, name.end, "the pattern of %s cannot be used: %s", name.text, err)
	}
	c.f = func(a []Value) Value {
		ms := toMillis(a)
		if ms.kind == missing || ms.n < minYear || ms.n > maxYear {
			return Value{}
		}
		return textValue(strftime(pattern, time.UnixMilli(int64(ms.n)).In(zone)))
	}
	return c, nil
}

// Times from the year 1 to the year 9999 have a text.
const (
	minYear = -62135596800000
	maxYear = 253402300799999
)

var errZone = errors.New("no such time zone")

// zoneOf takes a name of the time zone database, or an offset as +01:00.
func zoneOf(name string) (*time.Location, error) {
	if name == "Z" {
		return time.UTC, nil
	}
	if name == "" || name == "Local" || len(name) > 60 {
		return nil, errZone
	}
	if rest, isUTC := strings.CutPrefix(name, "UTC"); isUTC && rest != "" {
		name = rest
	}
	for _, layout := range []string{"-07:00", "-0700", "-07"} {
		if t, err := time.Parse(layout, name); err == nil {
			_, offset := t.Zone()
			return time.FixedZone("", offset), nil
		}
	}
	return time.LoadLocation(name)
}

// datePart is a part of a pattern of Java's DateTimeFormatter: a letter so many times,
// or text as it is.
type datePart struct {
	letter byte // 0 is text
	count  int
	text   string
}

// javaPattern reads a pattern.
func javaPattern(s string) (parts []datePart, err error) {
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '\'':
			end := strings.IndexByte(s[i+1:], '\'')
			if end < 0 {
				return nil, errors.New("a quotation mark is not closed")
			}
			quoted := s[i+1 : i+1+end]
			if quoted == "" {
				quoted = "'"
			}
			parts = append(parts, datePart{text: quoted})
			i += end + 2
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			n := 1
			for i+n < len(s) && s[i+n] == c {
				n++
			}
			if most, ok := javaLetters[c]; !ok || n > most {
				return nil, fmt.Errorf("%.20s is not known", s[i:i+n])
			}
			parts = append(parts, datePart{letter: c, count: n})
			i += n
		case strings.IndexByte("[]{}#", c) >= 0:
			return nil, fmt.Errorf("%c is not known", c)
		default:
			parts = append(parts, datePart{text: s[i : i+1]})
			i++
		}
	}
	return parts, nil
}

// javaLetters are the letters that are known, and how many may follow each other.
var javaLetters = map[byte]int{'y': 4, 'u': 4, 'M': 4, 'L': 4, 'd': 2, 'H': 2, 'h': 2, 'k': 2, 'm': 2, 's': 2, 'S': 9, 'n': 9, 'a': 1, 'E': 4, 'X': 3, 'x': 3, 'Z': 5, 'z': 4, 'V': 2}

// dateReader takes a text apart.
type dateReader struct {
	rest                       string
	year, month, day           int
	hour, minute, second, nano int
	hasYear, half, afternoon   bool
	zone                       *time.Location
}

func parseDate(parts []datePart, v Value, zone *time.Location) Value {
	s, ok := v.Text()
	if !ok || len(s) > 200 {
		return Value{}
	}
	d := dateReader{rest: s, zone: zone}
	for i, p := range parts {
		next := i+1 < len(parts) && parts[i+1].letter != 0
		if !d.take(p, next) {
			return Value{}
		}
	}
	if d.half {
		d.hour %= 12
		if d.afternoon {
			d.hour += 12
		}
	}
	t := time.Date(d.year, time.Month(d.month), d.day, d.hour, d.minute, d.second, d.nano, d.zone)
	if d.rest != "" || !d.hasYear || t.Month() != time.Month(d.month) || t.Day() != d.day || d.hour > 23 || d.minute > 59 || d.second > 59 {
		return Value{}
	}
	return numberValue(float64(t.UnixMilli()))
}

// take takes a part off the text. packed says that there is nothing between it and the
// next, so that a number has the digits that its letters are.
func (d *dateReader) take(p datePart, packed bool) bool {
	switch p.letter {
	case 0:
		rest, ok := strings.CutPrefix(d.rest, p.text)
		d.rest = rest
		return ok
	case 'a':
		return d.word([]string{"AM", "PM"}, func(i int) { d.half, d.afternoon = true, i == 1 })
	case 'E':
		return d.word(names(p.count, 7, func(i int) string { return time.Weekday(i).String() }), func(int) {})
	case 'X', 'x', 'Z', 'z', 'V':
		return d.offset()
	case 'S':
		return d.fraction(p.count)
	case 'M', 'L':
		if p.count > 2 {
			return d.word(names(p.count, 12, func(i int) string { return time.Month(i + 1).String() }), func(i int) { d.month = i + 1 })
		}
	}
	most := 19
	if p.count > 1 || packed {
		most = p.count
	}
	n := min(digits(d.rest), most)
	if n == 0 || p.count > 1 && n < p.count {
		return false
	}
	value, err := strconv.Atoi(d.rest[:n])
	if err != nil || value > 1e9 {
		return false
	}
	d.rest = d.rest[n:]
	switch p.letter {
	case 'y', 'u':
		if p.count == 2 {
			value += 2000
		}
		d.year, d.hasYear = value, value >= 1 && value <= 9999
	case 'M', 'L':
		d.month = value
	case 'd':
		d.day = value
	case 'H':
		d.hour = value
	case 'k':
		d.hour = value % 24
	case 'h':
		d.hour, d.half = value, true
	case 'm':
		d.minute = value
	case 's':
		d.second = value
	case 'n':
		d.nano = value
	}
	return true
}

// names are the first so many of days or months, in full if there are four letters.
func names(count, n int, of func(int) string) (list []string) {
	for i := range n {
		name := of(i)
		if count < 4 {
			name = name[:3]
		}
		list = append(list, name)
	}
	return list
}

// word takes one of some words, in any case.
func (d *dateReader) word(words []string, is func(i int)) bool {
	for i, w := range words {
		if len(d.rest) >= len(w) && strings.EqualFold(d.rest[:len(w)], w) {
			d.rest = d.rest[len(w):]
			is(i)
			return true
		}
	}
	return false
}

func (d *dateReader) fraction(count int) bool {
	n := min(digits(d.rest), count)
	if n < count {
		return false
	}
	value, err := strconv.Atoi((d.rest[:n] + "000000000")[:9])
	d.rest, d.nano = d.rest[n:], value
	return err == nil
}

// offset takes a time zone: Z, an offset, or a name.
func (d *dateReader) offset() bool {
	n := 0
	for n < len(d.rest) && strings.IndexByte(" ,;)]", d.rest[n]) < 0 {
		n++
	}
	zone, err := zoneOf(d.rest[:n])
	if err != nil {
		return false
	}
	d.zone, d.rest = zone, d.rest[n:]
	return true
}

// directives are what strftime knows, each as Go formats it, or nil where it does not.
var directives = map[byte]string{
	'Y': "2006", 'y': "06", 'm': "01", 'b': "Jan", 'h': "Jan", 'B': "January", 'd': "02", 'e': "_2", 'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM",
	'a': "Mon", 'A': "Monday", 'j': "002", 'z': "-0700", 'Z': "MST", 'F': "2006-01-02", 'T': "15:04:05", 'D': "01/02/06", 'R': "15:04", 'c': "Mon Jan _2 15:04:05 2006",
	'f': "", 'L': "", 's': "", 'n': "", 't': "", '%': "", 'u': "", 'w': "",
}

func checkStrftime(pattern string) error {
	if len(pattern) > 200 {
		return errors.New("it is longer than 200 bytes")
	}
	for i := 0; i < len(pattern); i++ {
		if pattern[i] != '%' {
			continue
		}
		if i++; i == len(pattern) {
			return errors.New("it ends with %")
		}
		if _, ok := directives[pattern[i]]; !ok {
			return fmt.Errorf("%%%c is not known", pattern[i])
		}
	}
	return nil
}

func strftime(pattern string, t time.Time) string {
	var out []byte
	for i := 0; i < len(pattern); i++ {
		if pattern[i] != '%' {
			out = append(out, pattern[i])
			continue
		}
		i++
		switch c := pattern[i]; c {
		case 'f':
			out = fmt.Appendf(out, "%06d", t.Nanosecond()/1000)
		case 'L':
			out = fmt.Appendf(out, "%03d", t.Nanosecond()/1e6)
		case 's':
			out = strconv.AppendInt(out, t.Unix(), 10)
		case 'n':
			out = append(out, '\n')
		case 't':
			out = append(out, '\t')
		case '%':
			out = append(out, '%')
		case 'w':
			out = strconv.AppendInt(out, int64(t.Weekday()), 10)
		case 'u':
			out = strconv.AppendInt(out, int64((t.Weekday()+6)%7+1), 10)
		default:
			out = t.AppendFormat(out, directives[c])
		}
	}
	return string(out)
}
