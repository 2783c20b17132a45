// Package search looks for regular expressions in long texts without holding a
// processor: a search of a large expression in a line of 256 KB takes seconds, and
// regexp has no way to break one off.
package search

import (
	"io"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// Regexp is a regular expression with what it weighs.
type Regexp struct {
	*regexp.Regexp
	weight int
	// literal is the text that it is, if it is no more than that.
	literal string
	whole   bool
}

// Compile reads an expression.
func Compile(source string) (*Regexp, error) {
	re, err := regexp.Compile(source)
	if err != nil {
		return nil, err
	}
	r := &Regexp{Regexp: re, weight: max(Weight(source), 1)}
	r.literal, r.whole = re.LiteralPrefix()
	return r, nil
}

// Weight is about how many instructions a regular expression has, at each of which a
// search may be for every character of a text.
func Weight(source string) int {
	re, err := syntax.Parse(source, syntax.Perl)
	if err != nil {
		return 0 // it will not be compiled
	}
	return weigh(re)
}

func weigh(re *syntax.Regexp) int {
	n := 1
	if re.Op == syntax.OpLiteral {
		n = len(re.Rune)
	} else {
		n += len(re.Rune) / 16 // a class is searched, not gone through
	}
	for _, sub := range re.Sub {
		n += weigh(sub)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min, re.Max, 1)
	}
	return min(n, 1<<20)
}

// Step is how much is searched from one pause to the next, in bytes times weight: some
// milliseconds' worth.
const Step = 1 << 19

// Cost is what a search of a text of so many bytes may cost, of which Step is some
// milliseconds.
func (r *Regexp) Cost(bytes int) int { return bytes * r.weight }

// In says whether a text matches. A long search asks pause now and then whether it
// shall go on; it says no if it does not.
func (r *Regexp) In(text string, pause func() bool) bool {
	switch {
	case r.whole:
		return strings.Contains(text, r.literal)
	case r.Cost(len(text)) <= Step || pause == nil:
		return r.MatchString(text)
	}
	in := r.reader(text, pause)
	return r.MatchReader(in) && !in.stopped
}

// Find is FindStringSubmatchIndex, with a pause as In has.
func (r *Regexp) Find(text string, pause func() bool) []int {
	if r.Cost(len(text)) <= Step || pause == nil {
		return r.FindStringSubmatchIndex(text)
	}
	in := r.reader(text, pause)
	at := r.FindReaderSubmatchIndex(in)
	if in.stopped {
		return nil
	}
	return at
}

func (r *Regexp) reader(text string, pause func() bool) *reader {
	return &reader{text: text, pause: pause, every: Step/r.weight + 1, left: Step/r.weight + 1}
}

// reader gives a text's characters one by one, as regexp takes them out of a string.
type reader struct {
	text        string
	pause       func() bool
	every, left int // characters from one pause to the next
	stopped     bool
}

func (r *reader) ReadRune() (c rune, size int, err error) {
	if r.left--; r.left < 0 {
		r.left = r.every
		r.stopped = r.stopped || !r.pause()
	}
	if r.text == "" || r.stopped {
		return 0, 0, io.EOF
	}
	c, size = utf8.DecodeRuneInString(r.text)
	r.text = r.text[size:]
	return c, size, nil
}
