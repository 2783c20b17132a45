package logsapi

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/internal/search"
)

// pattern is a filter pattern of CloudWatch Logs (user guide, "Filter pattern
// syntax"): terms that the text holds, in braces a condition on JSON, or in brackets
// conditions on fields with spaces between them.
type pattern struct {
	// required must all be in the message, none of excluded. Of optional ones
	// (?term) one must be, if there are no required and excluded ones: else AWS
	// leaves optional ones unheeded.
	required, excluded, optional []term
	// json is the condition of a pattern in braces, fields that of one in brackets;
	// else they are nil.
	json   *condition
	fields *spacePattern
	// pause, if it is set to something, is asked in the midst of a long message whether
	// to go on with it.
	pause *func() bool
}

// term is a word, a quoted phrase or a regular expression between %.
type term struct {
	text []byte
	re   *expression
}

// expression is a regular expression of a pattern.
type expression struct {
	*search.Regexp
	pause *func() bool // its pattern's
}

func (e *expression) in(text string) bool { return e.In(text, *e.pause) }

func (t term) in(message []byte) bool {
	if t.re != nil {
		return t.re.in(string(message))
	}
	return bytes.Contains(message, t.text)
}

// compilePattern reads a pattern. Its errors are for the client.
func compilePattern(s string) (*pattern, error) {
	sc := scanner{rest: strings.TrimSpace(s), pause: new(func() bool)}
	if strings.HasPrefix(sc.rest, "{") {
		c, err := parseJSONPattern(sc)
		if err != nil {
			return nil, err
		}
		return &pattern{json: c, pause: sc.pause}, nil
	}
	if strings.HasPrefix(sc.rest, "[") {
		f, err := parseSpacePattern(sc)
		if err != nil {
			return nil, err
		}
		return &pattern{fields: f, pause: sc.pause}, nil
	}
	p := &pattern{pause: sc.pause}
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
	if p.fields != nil {
		return p.fields.match(message)
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
type scanner struct {
	rest    string
	pause   *func() bool // the pattern's
	regexps int          // so many were there
	weight  int          // of them together
}

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

// quoted takes a string in quotes, of the kind that it begins with. A backslash
// takes the next character as it is.
func (s *scanner) quoted() (string, error) {
	var text strings.Builder
	in := s.rest[1:]
	for i := 0; i < len(in); i++ {
		switch c := in[i]; {
		case c == s.rest[0]:
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

// maxRegexps bounds the regular expressions of a pattern, as on AWS.
const maxRegexps = 2

// maxWeight bounds what they weigh together: that many steps may be taken for each of
// the 256 KB that one line may have. Only counted repetitions make a pattern weigh more than it has
// characters, about.
const maxWeight = 1200

// regexp takes a regular expression between percent signs.
func (s *scanner) regexp() (*expression, error) {
	text, rest, ok := strings.Cut(s.rest[1:], "%")
	if !ok {
		return nil, invalidParameter("Invalid filter pattern: a regular expression is not closed with %%")
	}
	s.rest = rest
	if s.regexps++; s.regexps > maxRegexps {
		return nil, invalidParameter("Invalid filter pattern: there are more than %d regular expressions", maxRegexps)
	}
	if r, bad := foreign(text); bad {
		return nil, invalidParameter("Invalid filter pattern: a regular expression cannot have '%c'", r)
	}
	if s.weight += search.Weight(text); s.weight > maxWeight {
		return nil, invalidParameter("Invalid filter pattern: the regular expressions are too large; repeat less often in them")
	}
	re, err := search.Compile(text)
	if err != nil {
		return nil, invalidParameter("Invalid filter pattern: the regular expression is malformed")
	}
	return &expression{re, s.pause}, nil
}

// regexpRunes are what AWS takes in a regular expression beside letters and digits:
// symbols, then operators. A space is ours.
const regexpRunes = ":_#=@/;,- " + `^$?[]{}|\*+.`

// foreign is the first character of a regular expression that AWS does not take:
// parentheses above all. Behind a backslash all of ASCII is good.
func foreign(text string) (rune, bool) {
	escaped := false
	for _, r := range text {
		known := r < utf8.RuneSelf && (escaped || unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(regexpRunes, r))
		if !known {
			return r, true
		}
		escaped = r == '\\' && !escaped
	}
	return 0, false
}
