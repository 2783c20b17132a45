package policy

import (
	"strings"
	"unicode/utf8"
)

// elem is one element of a pattern.
type elem struct {
	kind kind
	char rune // of a literal
	// name and fallback are a variable's: ${name} or ${name, 'fallback'}.
	name     *key
	fallback *string
}

type kind uint8

const (
	literal kind = iota
	anyOne       // ?
	anyMany      // *
	variable
)

// pattern is compiled text of a policy: with wildcards, with variables, or with
// neither.
type pattern struct {
	elems     []elem
	variables bool
}

// pattern compiles text. Variables are read as such from version 2012-10-17 on.
func (c *compiler) pattern(text string, wildcards bool) (pattern, error) {
	var p pattern
	for i := 0; i < len(text); {
		if c.variables && strings.HasPrefix(text[i:], "${") {
			end := strings.IndexByte(text[i:], '}')
			if end < 0 {
				return pattern{}, malformed("The policy has a variable without an end: %s", text[i:])
			}
			e, err := c.variable(text[i+2 : i+end])
			if err != nil {
				return pattern{}, err
			}
			p.variables = p.variables || e.kind == variable
			p.elems = append(p.elems, e)
			i += end + 1
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		i += size
		switch {
		case wildcards && r == '*':
			if n := len(p.elems); n == 0 || p.elems[n-1].kind != anyMany {
				p.elems = append(p.elems, elem{kind: anyMany})
			}
		case wildcards && r == '?':
			p.elems = append(p.elems, elem{kind: anyOne})
		default:
			p.elems = append(p.elems, elem{char: r})
		}
	}
	return p, nil
}

// variable reads what stands between ${ and }.
func (c *compiler) variable(text string) (elem, error) {
	switch text {
	case "*", "?", "$":
		return elem{char: rune(text[0])}, nil
	}
	name, fallback, has := strings.Cut(text, ",")
	k, err := c.key(strings.TrimSpace(name))
	if err != nil {
		return elem{}, err
	}
	if k.id == tenantID {
		return elem{}, malformed("lambda:TenantId is a condition key; it is no policy variable")
	}
	e := elem{kind: variable, name: &k}
	if has {
		value := strings.TrimSpace(fallback)
		if len(value) < 2 || value[0] != '\'' || value[len(value)-1] != '\'' {
			return elem{}, malformed("The default value of a policy variable has to stand between single quotes: ${%s}", text)
		}
		value = value[1 : len(value)-1]
		e.fallback = &value
	} else {
		c.needed = append(c.needed, e.name)
	}
	return e, nil
}

// match compares s with the whole pattern; fold ignores the case of ASCII
// letters. A variable without a value matches nothing.
func (p *pattern) match(s string, r *Request, fold bool) bool {
	elems := p.elems
	if p.variables {
		var ok bool
		if elems, ok = resolved(elems, r); !ok {
			return false
		}
	}
	return match(elems, s, fold)
}

// resolved puts the values of variables in their places, as literals.
func resolved(elems []elem, r *Request) ([]elem, bool) {
	var out []elem
	for _, e := range elems {
		if e.kind != variable {
			out = append(out, e)
			continue
		}
		value, ok := r.value(e.name)
		if !ok {
			if e.fallback == nil {
				return nil, false
			}
			value = *e.fallback
		}
		for _, c := range value {
			out = append(out, elem{char: c})
		}
	}
	return out, true
}

func match(p []elem, s string, fold bool) bool {
	at, pos := 0, 0
	star, mark := -1, 0
	for pos < len(s) {
		c, size := utf8.DecodeRuneInString(s[pos:])
		switch {
		case at < len(p) && (p[at].kind == anyOne || p[at].kind == literal && same(p[at].char, c, fold)):
			at++
			pos += size
		case at < len(p) && p[at].kind == anyMany:
			star, mark = at, pos
			at++
		case star >= 0:
			// The last star takes one character more.
			_, size := utf8.DecodeRuneInString(s[mark:])
			mark += size
			at, pos = star+1, mark
		default:
			return false
		}
	}
	for at < len(p) && p[at].kind == anyMany {
		at++
	}
	return at == len(p)
}

func same(a, b rune, fold bool) bool {
	if a == b {
		return true
	}
	return fold && lower(a) == lower(b)
}

func lower(r rune) rune {
	if 'A' <= r && r <= 'Z' {
		return r + 'a' - 'A'
	}
	return r
}

// arnParts is how many parts an ARN has: arn:partition:service:region:account:resource.
const arnParts = 6

// arnPattern is a pattern of ARNs, compared part by part: no wildcard reaches over
// one of the first five colons.
type arnPattern struct {
	all   bool // "*"
	parts [arnParts]pattern
}

// arn compiles a pattern of ARNs; ok says that it is one.
func (c *compiler) arn(text string) (a arnPattern, ok bool, err error) {
	if text == "*" {
		return arnPattern{all: true}, true, nil
	}
	if !strings.HasPrefix(text, "arn:") {
		return a, false, nil
	}
	whole, err := c.pattern(text, true)
	if err != nil {
		return a, false, err
	}
	part := 0
	for _, e := range whole.elems {
		if part < arnParts-1 && e.kind == literal && e.char == ':' {
			part++
			continue
		}
		p := &a.parts[part]
		p.elems = append(p.elems, e)
		p.variables = p.variables || e.kind == variable
	}
	return a, part == arnParts-1 && len(a.parts[part].elems) > 0, nil
}

func (a *arnPattern) match(arn string, r *Request) bool {
	if a.all {
		return true
	}
	for i := range a.parts {
		part, rest, more := arn, "", false
		if i < arnParts-1 {
			if part, rest, more = strings.Cut(arn, ":"); !more {
				return false
			}
		}
		if !a.parts[i].match(part, r, false) {
			return false
		}
		arn = rest
	}
	return true
}
