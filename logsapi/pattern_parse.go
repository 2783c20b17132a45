package logsapi

import (
	"strconv"
	"strings"
	"unicode"
)

// condition is a node of a JSON pattern.
type condition struct {
	kind        conditionKind
	left, right *condition // of and, or
	path        []step     // of a comparison
	value       operand
}

type conditionKind int

const (
	kindAnd conditionKind = iota
	kindOr
	kindEqual
	kindUnequal
	kindLess
	kindLessEqual
	kindGreater
	kindGreaterEqual
	kindIsNull
	kindIsTrue
	kindIsFalse
	kindNotExists
)

// step is one step of a selector: a member by its name or an element by its
// place.
type step struct {
	name  string
	place int // used if name is empty and array is set
	array bool
	any   bool // every element of an array
}

// A JSON pattern in the grammar of CloudWatch Logs:
//
//	pattern    = "{" or "}"
//	or         = and { "||" and }
//	and        = unit { "&&" unit }
//	unit       = "(" or ")" | selector comparison
//	comparison = ("=" | "!=" | "<" | "<=" | ">" | ">=") value
//	           | "IS" ("NULL" | "TRUE" | "FALSE") | "NOT" "EXISTS"
//	selector   = "$" { "." name | [ "." ] "[" ( number | "*" | string ) "]" }
//	value      = number | word | string | "%" expression "%"
type parser struct{ scanner }

// maxDepth bounds parentheses.
const maxDepth = 64

func parseJSONPattern(s scanner) (*condition, error) {
	p := &parser{s}
	p.take("{")
	c, err := p.or(0)
	if err != nil {
		return nil, err
	}
	if p.space(); !p.take("}") {
		return nil, invalidCharacter(p.rest)
	}
	if p.space(); p.rest != "" {
		return nil, invalidCharacter(p.rest)
	}
	return c, nil
}

func (p *parser) or(depth int) (*condition, error) {
	return p.chain("||", kindOr, func() (*condition, error) {
		return p.chain("&&", kindAnd, func() (*condition, error) { return p.unit(depth) })
	})
}

// chain reads conditions of the next level with operator between them.
func (p *parser) chain(operator string, kind conditionKind, next func() (*condition, error)) (*condition, error) {
	left, err := next()
	if err != nil {
		return nil, err
	}
	for p.space(); p.take(operator); p.space() {
		right, err := next()
		if err != nil {
			return nil, err
		}
		left = &condition{kind: kind, left: left, right: right}
	}
	return left, nil
}

// inParentheses reads what or reads, and the parenthesis that ends it.
func (p *parser) inParentheses(depth int, or func(depth int) (*condition, error)) (*condition, error) {
	if depth >= maxDepth {
		return nil, invalidParameter("Invalid filter pattern: too many parentheses")
	}
	c, err := or(depth + 1)
	if err != nil {
		return nil, err
	}
	if p.space(); !p.take(")") {
		return nil, invalidCharacter(p.rest)
	}
	return c, nil
}

func (p *parser) unit(depth int) (*condition, error) {
	p.space()
	if p.take("(") {
		return p.inParentheses(depth, p.or)
	}
	path, err := p.selector()
	if err != nil {
		return nil, err
	}
	return p.comparison(path)
}

func (p *parser) selector() ([]step, error) {
	if !p.take("$") {
		return nil, invalidCharacter(p.rest)
	}
	path := []step{}
	for {
		switch {
		case p.take("["), p.take(".["):
			s, err := p.place()
			if err != nil {
				return nil, err
			}
			path = append(path, s)
		case p.take("."):
			name := p.while(nameRune)
			if name == "" {
				return nil, invalidCharacter(p.rest)
			}
			path = append(path, step{name: name})
		default:
			return path, nil
		}
	}
}

// place reads what stands in brackets, and the closing one.
func (p *parser) place() (s step, err error) {
	switch {
	case strings.HasPrefix(p.rest, `"`), strings.HasPrefix(p.rest, `'`):
		s.name, err = p.quoted()
	case p.take("*"):
		s.array, s.any = true, true
	default:
		s.array = true
		s.place, err = strconv.Atoi(p.while(unicode.IsDigit))
	}
	if err != nil || !p.take("]") {
		return step{}, invalidCharacter(p.rest)
	}
	return s, nil
}

// nameRune says whether r may be in a member's name without quotes.
func nameRune(r rune) bool { return wordRune(r) || r == '-' || r == '@' || r == ':' }

func (p *parser) while(ok func(rune) bool) string {
	end := strings.IndexFunc(p.rest, func(r rune) bool { return !ok(r) })
	if end < 0 {
		end = len(p.rest)
	}
	s := p.rest[:end]
	p.rest = p.rest[end:]
	return s
}

func (p *parser) comparison(path []step) (*condition, error) {
	p.space()
	if word := p.while(wordRune); word != "" {
		p.space()
		kind, ok := keyword(word, p.while(wordRune))
		if !ok {
			return nil, invalidParameter("Invalid filter pattern: '%s' is no comparison", word)
		}
		return &condition{kind: kind, path: path}, nil
	}
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
	return &condition{kind: kind, path: path, value: v}, nil
}

func keyword(first, second string) (conditionKind, bool) {
	switch strings.ToUpper(first + " " + second) {
	case "IS NULL":
		return kindIsNull, true
	case "IS TRUE":
		return kindIsTrue, true
	case "IS FALSE":
		return kindIsFalse, true
	case "NOT EXISTS":
		return kindNotExists, true
	}
	return 0, false
}

func (p *parser) operator() (conditionKind, bool) {
	for _, o := range []struct {
		text string
		kind conditionKind
	}{{"!=", kindUnequal}, {"<=", kindLessEqual}, {">=", kindGreaterEqual}, {"=", kindEqual}, {"<", kindLess}, {">", kindGreater}} {
		if p.take(o.text) {
			return o.kind, true
		}
	}
	return 0, false
}

// operand reads the right side of a comparison.
func (p *parser) operand() (operand, error) {
	switch {
	case strings.HasPrefix(p.rest, `"`):
		text, err := p.quoted()
		return operand{text: text, quoted: true}, err
	case strings.HasPrefix(p.rest, "%"):
		re, err := p.regexp()
		return operand{re: re}, err
	}
	word := p.while(func(r rune) bool {
		return !unicode.IsSpace(r) && !strings.ContainsRune(`(){}[]&|=<>!"%,`, r)
	})
	if word == "" {
		return operand{}, invalidCharacter(p.rest)
	}
	n, isNumber := number(word)
	return operand{text: word, number: n, isNumber: isNumber}, nil
}
