package lambdaapi

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/alcove-run/alcove"
)

// failures collects the constraints that a request breaks, to answer with all of
// them at once, in the words of AWS's front end.
type failures struct{ list []string }

// maxEcho is how much of a value a message repeats, in bytes.
const maxEcho = 1 << 10

func (f *failures) add(member, value, failed string) {
	f.list = append(f.list, fmt.Sprintf("Value '%s' at '%s' failed to satisfy constraint: %s", clip(value), member, failed))
}

func (f *failures) null(member string) {
	f.list = append(f.list, fmt.Sprintf("Value null at '%s' failed to satisfy constraint: Member must not be null", member))
}

func clip(s string) string {
	if len(s) <= maxEcho {
		return s
	}
	return strings.ToValidUTF8(s[:maxEcho], "") + "…"
}

const oneDetected = "1 validation error detected: "

// keep takes a ValidationException of one failure into the list; it gives back
// any other error.
func (f *failures) keep(err error) error {
	if err == nil {
		return nil
	}
	e := alcove.AsError(err)
	if e.Code != alcove.CodeValidation || !strings.HasPrefix(e.Message, oneDetected) {
		return err
	}
	f.list = append(f.list, strings.TrimPrefix(e.Message, oneDetected))
	return nil
}

// err is nil if nothing failed.
func (f *failures) err() error {
	switch n := len(f.list); n {
	case 0:
		return nil
	case 1:
		return alcove.ClientError(alcove.CodeValidation, "%s", oneDetected+f.list[0])
	default:
		return alcove.ClientError(alcove.CodeValidation, "%d validation errors detected: %s", n, strings.Join(f.list, "; "))
	}
}

// The words of constraints.

func atLeast(n int) string {
	return "Member must have length greater than or equal to " + strconv.Itoa(n)
}
func atMost(n int) string { return "Member must have length less than or equal to " + strconv.Itoa(n) }

func enumText(values []string) string {
	return "Member must satisfy enum value set: [" + strings.Join(values, ", ") + "]"
}

func (p *pattern) words() string { return "Member must satisfy regular expression pattern: " + p.text }

// text compares a text with c.
func (c *constraint) text(f *failures, member, value string) {
	for _, failed := range c.broken(value) {
		f.add(member, value, failed)
	}
}

// broken gives the words of every constraint that a text breaks.
func (c *constraint) broken(value string) (list []string) {
	length := utf8.RuneCountInString(value)
	if length < c.min {
		list = append(list, atLeast(c.min))
	}
	if c.max > 0 && length > c.max {
		list = append(list, atMost(c.max))
	}
	if c.pattern != nil && !c.pattern.match(value) {
		list = append(list, c.pattern.words())
	}
	if c.enum != nil && !slices.Contains(c.enum, value) {
		list = append(list, enumText(c.enum))
	}
	return list
}

// number compares a number with c.
func (c *constraint) number(f *failures, member string, value int) {
	if value < c.min {
		f.add(member, strconv.Itoa(value), "Member must have value greater than or equal to "+strconv.Itoa(c.min))
	}
	if c.max > 0 && value > c.max {
		f.add(member, strconv.Itoa(value), "Member must have value less than or equal to "+strconv.Itoa(c.max))
	}
}

// texts compares a list with c, and what it holds with c.elem: of those that
// fail, one failure for the whole list.
func (c *constraint) texts(f *failures, member string, list []string) {
	echo := "[" + strings.Join(list, ", ") + "]"
	if len(list) < c.min {
		f.add(member, echo, atLeast(c.min))
	}
	if c.max > 0 && len(list) > c.max {
		f.add(member, echo, atMost(c.max))
	}
	if c.elem != nil && slices.ContainsFunc(list, func(s string) bool { return c.elem.broken(s) != nil }) {
		if c.elem.bare {
			f.add(member, echo, enumText(c.elem.enum))
			return
		}
		f.add(member, echo, "Member must satisfy constraint: ["+c.elem.all()+"]")
	}
}

// weights compares a map of numbers with c.key and c.value.
func (c *constraint) weights(f *failures, member string, m map[string]float64) {
	var all, keys, values []string
	for _, k := range sortedKeys(m) {
		text := strconv.FormatFloat(m[k], 'f', -1, 64)
		if !strings.Contains(text, ".") {
			text += ".0"
		}
		all = append(all, k+"="+text)
		if c.key.broken(k) != nil {
			keys = append(keys, k)
		}
		if m[k] < float64(c.value.min) || m[k] > float64(c.value.max) {
			values = append(values, k)
		}
	}
	echo := "{" + strings.Join(all, ", ") + "}"
	if keys != nil {
		f.add(member, echo, "Map keys must satisfy constraint: ["+strings.TrimSuffix(c.key.all(), ", Member must not be null")+"]")
	}
	if values != nil {
		f.add(member, echo, fmt.Sprintf("Map value must satisfy constraint: [Member must have value less than or equal to %d.0, "+
			"Member must have value greater than or equal to %d.0, Member must not be null]", c.value.max, c.value.min))
	}
}

// all gives the words of everything that c asks of a text, in AWS's order.
func (c *constraint) all() string {
	var words []string
	if c.max > 0 {
		words = append(words, atMost(c.max), atLeast(c.min))
	}
	if c.pattern != nil {
		words = append(words, c.pattern.words())
	}
	if c.enum != nil {
		words = append(words, enumText(c.enum))
	}
	return strings.Join(append(words, "Member must not be null"), ", ")
}
