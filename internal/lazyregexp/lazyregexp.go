// Package lazyregexp has regular expressions that are compiled when they are first used.
// A program that compiles all it may need when it starts takes longer to start, and
// alcove is started for every command. It owns nothing and may import nothing of alcove.
package lazyregexp

import (
	"os"
	"regexp"
	"strings"
	"sync"
)

// Regexp is a regular expression. It is safe for concurrent use.
type Regexp struct{ compiled func() *regexp.Regexp }

// New makes one of an expression, which must be a constant, as a wrong one panics
// when it is used. In a test, that is at once.
func New(expression string) Regexp {
	l := Regexp{sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })}
	if strings.HasSuffix(os.Args[0], ".test") {
		l.compiled()
	}
	return l
}

// MatchString says whether a text has a match.
func (l Regexp) MatchString(text string) bool { return l.compiled().MatchString(text) }
