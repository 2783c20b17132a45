// Package expression is CloudWatch's metric math: it parses an expression, as the
// Expression of GetMetricData has it, and works it out over series of points.
//
// It is pure: it reads no metrics, and what a caller can make it do is bounded by the
// length of an expression, the depth of its nesting and the points that it makes.
package expression

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// MaxLength is how long an expression may be (API reference, MetricDataQuery).
const MaxLength = 2048

// maxDepth bounds how deep expressions are nested.
const maxDepth = 50

// Expression is one that was parsed.
type Expression struct {
	root node
	// IDs are those of the queries that it names; All says that it takes all of them.
	IDs []string
	All bool
}

// node is a part of an expression.
type node struct {
	kind  kind
	name  string // of an operator, a function or a query
	value float64
	text  string
	args  []node
}

type kind int

const (
	kindNumber kind = iota
	kindText
	kindID
	kindCall // of an operator, too
)

// functions are those that there are, with how many arguments they take.
var functions = map[string]struct{ least, most int }{
	"ABS": {1, 1}, "AVG": {1, 1}, "CEIL": {1, 1}, "DIFF": {1, 1}, "FILL": {2, 2}, "FLOOR": {1, 1}, "IF": {2, 3}, "LOG": {1, 1}, "LOG10": {1, 1},
	"MAX": {1, 1}, "METRICS": {0, 1}, "METRIC_COUNT": {1, 1}, "MIN": {1, 1}, "PERIOD": {1, 1}, "RATE": {1, 1}, "RUNNING_SUM": {1, 1}, "STDDEV": {1, 1},
	"SUM": {1, 1}, "TIME_SERIES": {1, 1},
}

// known are functions of AWS's that there are not here.
var known = []string{"ANOMALY_DETECTION_BAND", "DATAPOINT_COUNT", "DAY", "DB_PERF_INSIGHTS", "DIFF_TIME", "EPOCH", "FIRST", "HOUR", "INSIGHT_RULE_METRIC", "LAMBDA", "LAST",
	"MINUTE", "MONTH", "DATE", "REMOVE_EMPTY", "SEARCH", "SERVICE_QUOTA", "SLICE", "SORT", "YEAR"}

// Parse reads an expression. Its errors are for the caller.
func Parse(s string) (*Expression, error) {
	if len(s) > MaxLength {
		return nil, fmt.Errorf("it has more than %d characters", MaxLength)
	}
	if strings.HasPrefix(strings.ToUpper(strings.TrimSpace(s)), "SELECT ") {
		return nil, errors.New("queries of Metrics Insights (SELECT) are not supported by this endpoint")
	}
	p := &parser{rest: s}
	e := &Expression{}
	p.expression = e
	root, err := p.binary(0, 0)
	if err == nil {
		if t := p.peek(); t != "" {
			err = fmt.Errorf("%q is not expected there", t)
		}
	}
	if err != nil {
		return nil, err
	}
	e.root = root
	return e, nil
}

type parser struct {
	rest       string
	expression *Expression
}

// peek gives the next token without taking it; empty is the end.
func (p *parser) peek() string {
	p.rest = strings.TrimLeft(p.rest, " \t\r\n")
	if p.rest == "" {
		return ""
	}
	c := p.rest[0]
	end := 1
	switch {
	case digit(c) || c == '.':
		for end < len(p.rest) && (digit(p.rest[end]) || p.rest[end] == '.' || (p.rest[end] == 'e' || p.rest[end] == 'E') && end+1 < len(p.rest) && (digit(p.rest[end+1]) || p.rest[end+1] == '-')) {
			if p.rest[end] == 'e' || p.rest[end] == 'E' {
				end++
			}
			end++
		}
	case letter(c):
		for end < len(p.rest) && (letter(p.rest[end]) || digit(p.rest[end])) {
			end++
		}
	case c == '"' || c == '\'':
		if at := strings.IndexByte(p.rest[1:], c); at >= 0 {
			end = at + 2
		}
	default:
		for _, two := range []string{"<=", ">=", "==", "!=", "&&", "||"} {
			if strings.HasPrefix(p.rest, two) {
				end = 2
			}
		}
	}
	return p.rest[:end]
}

func digit(c byte) bool  { return c >= '0' && c <= '9' }
func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' }

func (p *parser) take() string {
	t := p.peek()
	p.rest = p.rest[len(t):]
	return t
}

// levels are the operators, those that bind least first.
var levels = [][]string{{"||", "OR"}, {"&&", "AND"}, {"<", ">", "<=", ">=", "==", "!="}, {"+", "-"}, {"*", "/"}, {"^"}}

var words = map[string]string{"OR": "||", "AND": "&&"}

// binary reads operators of a level and what binds more.
func (p *parser) binary(level, depth int) (node, error) {
	if depth > maxDepth {
		return node{}, errors.New("it is nested too deep")
	}
	if level == len(levels) {
		return p.unary(depth + 1)
	}
	left, err := p.binary(level+1, depth)
	for err == nil && slices.Contains(levels[level], strings.ToUpper(p.peek())) {
		op := strings.ToUpper(p.take())
		if w := words[op]; w != "" {
			op = w
		}
		var right node
		if right, err = p.binary(level+1, depth); err == nil {
			left = node{kind: kindCall, name: op, args: []node{left, right}}
		}
	}
	return left, err
}

func (p *parser) unary(depth int) (node, error) {
	if depth > maxDepth {
		return node{}, errors.New("it is nested too deep")
	}
	switch t := p.take(); {
	case t == "":
		return node{}, errors.New("something is missing at its end")
	case t == "-":
		arg, err := p.binary(len(levels)-1, depth+1) // a power binds more
		return node{kind: kindCall, name: "*", args: []node{{value: -1}, arg}}, err
	case t == "(":
		n, err := p.binary(0, depth+1)
		if err == nil && p.take() != ")" {
			err = errors.New("a parenthesis is not closed")
		}
		return n, err
	case t[0] == '"' || t[0] == '\'':
		if len(t) < 2 || t[len(t)-1] != t[0] {
			return node{}, errors.New("a text is not closed")
		}
		return node{kind: kindText, text: t[1 : len(t)-1]}, nil
	case digit(t[0]) || t[0] == '.':
		v, err := strconv.ParseFloat(t, 64)
		if err != nil {
			return node{}, fmt.Errorf("%q is no number", t)
		}
		return node{value: v}, nil
	case letter(t[0]) && p.peek() == "(":
		return p.call(strings.ToUpper(t), depth+1)
	case letter(t[0]):
		if up := strings.ToUpper(t); up == "REPEAT" || up == "LINEAR" {
			return node{kind: kindText, text: up}, nil
		}
		if t[0] < 'a' || t[0] > 'z' {
			return node{}, fmt.Errorf("%q is no query: their ids begin with a small letter", t)
		}
		if !slices.Contains(p.expression.IDs, t) {
			p.expression.IDs = append(p.expression.IDs, t)
		}
		return node{kind: kindID, name: t}, nil
	default:
		return node{}, fmt.Errorf("%q is not expected there", t)
	}
}

// call reads the arguments of a function.
func (p *parser) call(name string, depth int) (node, error) {
	f, ok := functions[name]
	if !ok {
		if slices.Contains(known, name) {
			return node{}, fmt.Errorf("the function %s is not supported by this endpoint", name)
		}
		return node{}, fmt.Errorf("there is no function %s", name)
	}
	n := node{kind: kindCall, name: name}
	p.take() // the parenthesis
	for p.peek() != ")" {
		if len(n.args) > 0 && p.take() != "," {
			return n, fmt.Errorf("the arguments of %s are not separated by commas, or not closed", name)
		}
		arg, err := p.binary(0, depth)
		if err != nil {
			return n, err
		}
		n.args = append(n.args, arg)
	}
	p.take()
	if len(n.args) < f.least || len(n.args) > f.most {
		return n, fmt.Errorf("%s has %d arguments, and takes %d", name, len(n.args), f.most)
	}
	if name == "METRICS" {
		p.expression.All = true
		if len(n.args) == 1 && n.args[0].kind != kindText {
			return n, errors.New("METRICS takes a text, a part of the ids that it selects")
		}
	}
	return n, nil
}
