package logsapi

import (
	"bytes"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/alcove-run/alcove"
)

// pattern is a filter pattern of CloudWatch Logs (user guide, "Filter pattern
// syntax"): terms that the text holds, or in braces a condition on JSON.
// Patterns for space-delimited logs, in brackets, are not here.
type pattern struct {
	// required must all be in the message, none of excluded. Of optional ones
	// (?term) one must be, if there are no required and excluded ones: else AWS
	// leaves optional ones unheeded.
	required, excluded, optional []term
	// json is the condition of a pattern in braces, else nil.
	json *condition
}

// term is a word, a quoted phrase or a regular expression between %.
type term struct {
	text []byte
	re   *regexp.Regexp
}

func (t term) in(message []byte) bool {
	if t.re != nil {
		return t.re.Match(message)
	}
	return bytes.Contains(message, t.text)
}

// compilePattern reads a pattern. Its errors are for the client.
func compilePattern(s string) (*pattern, error) {
	if strings.HasPrefix(strings.TrimSpace(s), "{") {
		c, err := parseJSONPattern(strings.TrimSpace(s))
		if err != nil {
			return nil, err
		}
		return &pattern{json: c}, nil
	}
	p := new(pattern)
	sc := scanner{rest: s}
	for {
		sc.space()
		if sc.rest == "" {
			return p, nil
		}
		list := &p.required
		switch {
		case sc.take("?"):
			list = &p.optional
		case sc.take("-"):
			list = &p.excluded
		}
		t, err := sc.term()
		if err != nil {
			return nil, err
		}
		*list = append(*list, t)
	}
}

// match says whether a message satisfies the pattern. An empty pattern is
// satisfied by every message.
func (p *pattern) match(message []byte) bool {
	if p.json != nil {
		return p.json.matchMessage(message)
	}
	for _, t := range p.required {
		if !t.in(message) {
			return false
		}
	}
	for _, t := range p.excluded {
		if t.in(message) {
			return false
		}
	}
	if len(p.optional) == 0 || len(p.required)+len(p.excluded) > 0 {
		return true
	}
	for _, t := range p.optional {
		if t.in(message) {
			return true
		}
	}
	return false
}

// tenants are the tenant ids that a message must name in $.tenantId or
// $.record.tenantId, one of them, to satisfy the pattern; ok is false if it may
// satisfy it otherwise.
func (p *pattern) tenants() (ids []string, ok bool) {
	if p.json == nil {
		return nil, false
	}
	return p.json.tenants()
}

// scanner cuts a pattern into its parts.
type scanner struct{ rest string }

func (s *scanner) space() { s.rest = strings.TrimLeftFunc(s.rest, unicode.IsSpace) }

// take takes what, if it comes next.
func (s *scanner) take(what string) bool {
	rest, ok := strings.CutPrefix(s.rest, what)
	s.rest = rest
	return ok
}

// term takes a term of a plain pattern.
func (s *scanner) term() (term, error) {
	switch {
	case strings.HasPrefix(s.rest, `"`):
		text, err := s.quoted()
		return term{text: []byte(text)}, err
	case strings.HasPrefix(s.rest, "%"):
		re, err := s.regexp()
		return term{re: re}, err
	}
	end := strings.IndexFunc(s.rest, func(r rune) bool { return !wordRune(r) })
	if end < 0 {
		end = len(s.rest)
	}
	word := s.rest[:end]
	s.rest = s.rest[end:]
	if r, _ := utf8.DecodeRuneInString(s.rest); word == "" || s.rest != "" && !unicode.IsSpace(r) {
		return term{}, invalidCharacter(s.rest)
	}
	return term{text: []byte(word)}, nil
}

// wordRune says whether r may be in a term without quotes.
func wordRune(r rune) bool {
	return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r)
}

func invalidCharacter(rest string) *alcove.Error {
	r, _ := utf8.DecodeRuneInString(rest)
	if rest == "" {
		return invalidParameter("Invalid filter pattern: it ends too early")
	}
	return invalidParameter("Invalid character(s) in term '%c'", r)
}

// quoted takes a string in double quotes. A backslash takes the next character
// as it is.
func (s *scanner) quoted() (string, error) {
	var text strings.Builder
	in := s.rest[1:]
	for i := 0; i < len(in); i++ {
		switch c := in[i]; {
		case c == '"':
			s.rest = in[i+1:]
			return text.String(), nil
		case c == '\\' && i+1 < len(in):
			i++
			text.WriteByte(in[i])
		default:
			text.WriteByte(c)
		}
	}
	return "", invalidParameter("Invalid filter pattern: a quotation mark is not closed")
}

// regexp takes a regular expression between percent signs.
func (s *scanner) regexp() (*regexp.Regexp, error) {
	text, rest, ok := strings.Cut(s.rest[1:], "%")
	if !ok {
		return nil, invalidParameter("Invalid filter pattern: a regular expression is not closed with %%")
	}
	s.rest = rest
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, invalidParameter("Invalid filter pattern: the regular expression is malformed")
	}
	return re, nil
}
