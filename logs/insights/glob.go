package insights

import (
	"errors"
	"strings"

	"github.com/alcove-run/alcove/internal/search"
)

// glob is a pattern of parse: text between what is taken out, a * for each.
type glob struct{ parts []string }

var errGlob = errors.New("the pattern has two * with nothing between them")

func compileGlob(pattern string) (glob, error) {
	g := glob{strings.Split(pattern, "*")}
	for _, part := range g.parts[1:max(len(g.parts)-1, 1)] {
		if part == "" {
			return g, errGlob
		}
	}
	return g, nil
}

func (g glob) fields() int { return len(g.parts) - 1 }

// find takes out what stands for the *, each as short as it can be; the last one, at
// the end of the pattern, takes all that is left. The pattern may begin anywhere.
func (g glob) find(s string, to []Value, _ func() bool) bool {
	i := strings.Index(s, g.parts[0])
	if i < 0 {
		return false
	}
	s = s[i+len(g.parts[0]):]
	for n, part := range g.parts[1:] {
		if part == "" { // the pattern ends
			to[n] = textValue(strings.TrimRight(s, "\r\n"))
			return true
		}
		end := strings.Index(s, part)
		if end < 0 {
			return false
		}
		to[n], s = textValue(s[:end]), s[end+len(part):]
	}
	return true
}

// matcher takes out what the groups of an expression match: those with names, if any
// has one.
func matcher(re *search.Regexp) func(s string, to []Value, pause func() bool) bool {
	return func(s string, to []Value, pause func() bool) bool {
		at := re.Find(s, pause)
		if at == nil {
			return false
		}
		for i := range to {
			to[i] = Value{}
			if from := at[2*i+2]; from >= 0 {
				to[i] = textValue(s[from:at[2*i+3]])
			}
		}
		return true
	}
}
