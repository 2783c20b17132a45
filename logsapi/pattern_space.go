package logsapi

import (
	"bytes"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// spacePattern is a pattern in brackets, for messages whose fields have spaces
// between them: conditions on fields, by their places.
//
//	pattern   = "[" field { "," field } "]"
//	field     = "..." | name | or
//	or        = and { "||" and }
//	and       = unit { "&&" unit }
//	unit      = "(" or ")" | name ("=" | "!=" | "<" | "<=" | ">" | ">=") value
//
// A field's conditions all have its name. One field may be an ellipsis, which
// stands for any number of fields, none included; without one a message has as many
// fields as the pattern.
type spacePattern struct {
	// before and behind are the fields on either side of the ellipsis; without one
	// all are before.
	before, behind []*condition // nil is any field
	ellipsis       bool
}

func parseSpacePattern(s scanner) (*spacePattern, error) {
	p := &fieldParser{parser: parser{s}}
	p.take("[")
	out := new(spacePattern)
	for {
		p.space()
		if p.take("...") {
			if out.ellipsis {
				return nil, invalidParameter("Invalid filter pattern: there is more than one ellipsis")
			}
			out.ellipsis = true
		} else {
			c, err := p.field()
			if err != nil {
				return nil, err
			}
			if out.ellipsis {
				out.behind = append(out.behind, c)
			} else {
				out.before = append(out.before, c)
			}
		}
		if p.space(); p.take(",") {
			continue
		}
		if !p.take("]") {
			return nil, invalidCharacter(p.rest)
		}
		if p.space(); p.rest != "" {
			return nil, invalidCharacter(p.rest)
		}
		return out, nil
	}
}

// fieldParser reads the conditions of one field after another.
type fieldParser struct {
	parser
	name string // of the field
}

// field reads one field's conditions, nil if it has only a name.
func (p *fieldParser) field() (*condition, error) {
	p.name = ""
	before := p.rest
	if name := p.while(fieldRune); name != "" {
		if p.space(); strings.HasPrefix(p.rest, ",") || strings.HasPrefix(p.rest, "]") {
			return nil, nil
		}
		p.name = name
	}
	p.rest = before
	return p.or(0)
}

// fieldRune says whether r may be in a field's name.
func fieldRune(r rune) bool { return wordRune(r) || r == '-' || r == '$' }

func (p *fieldParser) or(depth int) (*condition, error) {
	return p.chain("||", kindOr, func() (*condition, error) {
		return p.chain("&&", kindAnd, func() (*condition, error) { return p.unit(depth) })
	})
}

func (p *fieldParser) unit(depth int) (*condition, error) {
	p.space()
	if p.take("(") {
		return p.inParentheses(depth, p.or)
	}
	name := p.while(fieldRune)
	if name == "" {
		return nil, invalidCharacter(p.rest)
	}
	if p.name == "" {
		p.name = name
	}
	if name != p.name {
		return nil, invalidParameter("Invalid filter pattern: conditions of one field name both '%s' and '%s'", p.name, name)
	}
	p.space()
	kind, ok := p.operator()
	if !ok {
		return nil, invalidCharacter(p.rest)
	}
	p.space()
	v, err := p.operand()
	if err != nil {
		return nil, err
	}
	if kind != kindEqual && kind != kindUnequal && !v.isNumber {
		return nil, invalidParameter("Invalid filter pattern: only numbers can be compared by size")
	}
	return &condition{kind: kind, value: v}, nil
}

// match says whether a message's fields satisfy the pattern.
func (p *spacePattern) match(message []byte) bool {
	least := len(p.before) + len(p.behind)
	most := least
	if p.ellipsis {
		most = len(message)
	}
	fields, ok := splitFields(message, most)
	if !ok || len(fields) < least {
		return false
	}
	for i, c := range p.before {
		if c != nil && !c.matchField(fields[i]) {
			return false
		}
	}
	fields = fields[len(fields)-len(p.behind):]
	for i, c := range p.behind {
		if c != nil && !c.matchField(fields[i]) {
			return false
		}
	}
	return true
}

// matchField says whether a field satisfies conditions on it.
func (c *condition) matchField(field []byte) bool {
	switch c.kind {
	case kindAnd:
		return c.left.matchField(field) && c.right.matchField(field)
	case kindOr:
		return c.left.matchField(field) || c.right.matchField(field)
	}
	text := string(field)
	switch c.kind {
	case kindEqual:
		return c.value.equalText(text)
	case kindUnequal:
		return !c.value.equalText(text)
	}
	n, ok := number(text)
	return ok && c.compares(n)
}

// equalText compares with a field's text. A number equals what is the same number,
// however it is written.
func (o *operand) equalText(text string) bool {
	if o.re != nil {
		return o.re.in(text)
	}
	if o.isNumber {
		n, ok := number(text)
		return ok && n == o.number
	}
	return wildcard(o.text, text)
}

// number reads a number as JSON and patterns write it: not 0x1p-2, Inf or 1_000,
// which ParseFloat knows, too.
func number(word string) (float64, bool) {
	if strings.Trim(word, "0123456789+-.eE") != "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(word, 64)
	return n, err == nil
}

// splitFields takes a message apart where there are spaces. What is in brackets or
// in quotes is one field, and is given without them. ok is false if there are more
// than most.
func splitFields(message []byte, most int) (fields [][]byte, ok bool) {
	for {
		message = bytes.TrimLeftFunc(message, unicode.IsSpace)
		if len(message) == 0 {
			return fields, true
		}
		if len(fields) == most {
			return nil, false
		}
		field, rest, closed := enclosed(message)
		if !closed {
			end := bytes.IndexFunc(message, unicode.IsSpace)
			if end < 0 {
				end = len(message)
			}
			field, rest = message[:end], message[end:]
		}
		fields, message = append(fields, field), rest
	}
}

// enclosed takes a field in brackets or quotes off the beginning of a message. What
// is not closed, or goes on behind, is no such field.
func enclosed(message []byte) (field, rest []byte, ok bool) {
	last := byte('"')
	switch message[0] {
	case '[':
		last = ']'
	case '"':
	default:
		return nil, nil, false
	}
	end := bytes.IndexByte(message[1:], last)
	if end < 0 {
		return nil, nil, false
	}
	field, rest = message[1:1+end], message[2+end:]
	if r, _ := utf8.DecodeRune(rest); len(rest) > 0 && !unicode.IsSpace(r) {
		return nil, nil, false
	}
	return field, rest, true
}
