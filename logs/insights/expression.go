package insights

import "strings"

// expression reads an expression: or, and, not, comparisons, + and -, * / and %, ^,
// signs, and what stands in parentheses, from the weakest to the strongest.
func (p *parser) expression() (expr, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, p.fail(p.tok.start, p.tok.end, "more than %d expressions are in each other", maxDepth)
	}
	defer func() { p.depth-- }()
	return p.chain("or", func() (expr, error) { return p.chain("and", p.negation) })
}

// chain reads operands between and, or between or. They become a tree without depth.
func (p *parser) chain(word string, operand func() (expr, error)) (expr, error) {
	first, err := operand()
	if err != nil {
		return nil, err
	}
	all := []expr{first}
	for {
		if more, err := p.takeKeyword(word); err != nil {
			return nil, err
		} else if !more {
			return balanced(word == "and", all), nil
		}
		e, err := operand()
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
}

// balanced joins operands so that the tree of many is not deep.
func balanced(and bool, all []expr) expr {
	if len(all) == 1 {
		return all[0]
	}
	return &logic{and, balanced(and, all[:len(all)/2]), balanced(and, all[len(all)/2:])}
}

func (p *parser) negation() (expr, error) {
	inverted := false
	for p.keyword("not") {
		inverted = !inverted
		if err := p.next(); err != nil {
			return nil, err
		}
	}
	e, err := p.comparison()
	if err == nil && inverted {
		e = &not{e}
	}
	return e, err
}

func (p *parser) comparison() (expr, error) {
	left, err := p.sum()
	if err != nil {
		return nil, err
	}
	inverted, err := p.takeKeyword("not")
	if err != nil {
		return nil, err
	}
	switch {
	case p.keyword("like"):
		return p.likeness(left, inverted)
	case p.keyword("in"):
		return p.membership(left, inverted)
	case inverted:
		return nil, p.unexpected(p.tok)
	case p.symbol("=~"):
		return p.likeness(left, false)
	case p.tok.kind == tokenSymbol:
		switch op := p.tok.text; op {
		case "=", "==", "!=", "<", "<=", ">", ">=":
			if err := p.next(); err != nil {
				return nil, err
			}
			right, err := p.sum()
			if op == "==" {
				op = "="
			}
			return &compare{op, left, right}, err
		}
	}
	return left, nil
}

// likeness reads what is behind like or =~: text, or a regular expression.
func (p *parser) likeness(of expr, inverted bool) (expr, error) {
	textToo := p.keyword("like")
	if err := p.next(); err != nil {
		return nil, err
	}
	switch {
	case p.symbol("/"):
		re, _, err := p.regexp()
		if err != nil {
			return nil, err
		}
		return &like{of, re.In, re.Cost, inverted}, nil
	case p.tok.kind == tokenString && textToo:
		part := p.tok.text
		return &like{of, func(s string, _ func() bool) bool { return strings.Contains(s, part) }, bytesOf, inverted}, p.next()
	}
	return nil, p.unexpected(p.tok)
}

func bytesOf(bytes int) int { return bytes }

// membership reads the list behind in.
func (p *parser) membership(of expr, inverted bool) (expr, error) {
	if err := p.next(); err != nil {
		return nil, err
	}
	if err := p.expect("["); err != nil {
		return nil, err
	}
	a := &among{of: of, not: inverted}
	err := p.list(func() error {
		start := p.tok
		e, err := p.sign()
		if err != nil {
			return err
		}
		v, ok := e.(literal)
		if !ok {
			return p.unexpected(start)
		}
		a.list = append(a.list, v.Value)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return a, p.expect("]")
}

// operators reads operands between operators of one strength, from the left.
func (p *parser) operators(ops string, operand func() (expr, error)) (expr, error) {
	left, err := operand()
	if err != nil {
		return nil, err
	}
	for n := 0; p.tok.kind == tokenSymbol && len(p.tok.text) == 1 && strings.Contains(ops, p.tok.text); n++ {
		if n > maxDepth {
			return nil, p.fail(p.tok.start, p.tok.end, "more than %d operators are in a row", maxDepth)
		}
		op := p.tok.text[0]
		if err := p.next(); err != nil {
			return nil, err
		}
		right, err := operand()
		if err != nil {
			return nil, err
		}
		left = &arithmetic{op, left, right}
	}
	return left, nil
}

func (p *parser) sum() (expr, error) { return p.operators("+-", p.product) }

func (p *parser) product() (expr, error) { return p.operators("*/%", p.power) }

// power reads ^, from the right: 2 ^ 3 ^ 2 is 512.
func (p *parser) power() (expr, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, p.fail(p.tok.start, p.tok.end, "more than %d expressions are in each other", maxDepth)
	}
	defer func() { p.depth-- }()
	left, err := p.sign()
	if err != nil || !p.symbol("^") {
		return left, err
	}
	if err := p.next(); err != nil {
		return nil, err
	}
	right, err := p.power()
	return &arithmetic{'^', left, right}, err
}

// sign reads what may have signs before it.
func (p *parser) sign() (expr, error) {
	negative := false
	for p.symbol("-") || p.symbol("+") {
		negative = negative != p.symbol("-")
		if err := p.next(); err != nil {
			return nil, err
		}
	}
	e, err := p.operand()
	if err != nil || !negative {
		return e, err
	}
	if v, ok := e.(literal); ok && v.kind == number {
		return literal{numberValue(-v.n)}, nil
	}
	return &arithmetic{'-', literal{numberValue(0)}, e}, nil
}

// reserved are the words that cannot be fields, but in backticks.
var reserved = map[string]bool{"and": true, "or": true, "not": true, "like": true, "in": true, "as": true, "by": true, "asc": true, "desc": true}

// operand reads a value, a field, a call, or what is in parentheses.
func (p *parser) operand() (expr, error) {
	t := p.tok
	switch {
	case t.kind == tokenString:
		return literal{textValue(t.text)}, p.next()
	case t.kind == tokenNumber:
		n, _ := parseNumber(t.text)
		return literal{Value{kind: number, n: n, s: t.text}}, p.next()
	case p.symbol("("):
		if err := p.next(); err != nil {
			return nil, err
		}
		e, err := p.expression()
		if err != nil {
			return nil, err
		}
		return e, p.expect(")")
	case t.kind != tokenName && t.kind != tokenQuotedName, t.kind == tokenName && reserved[strings.ToLower(t.text)]:
		return nil, p.unexpected(t)
	}
	if slot, end, ok := p.computed(t); ok {
		p.pos = end
		return &field{slot}, p.next()
	}
	if err := p.next(); err != nil {
		return nil, err
	}
	switch {
	case t.kind == tokenName && p.symbol("("):
		return p.function(t)
	case t.kind == tokenName && (strings.EqualFold(t.text, "true") || strings.EqualFold(t.text, "false")):
		if _, defined := p.scope[t.text]; !defined {
			return literal{truthValue(strings.EqualFold(t.text, "true"))}, nil
		}
	}
	return &field{p.slotOf(t.text)}, nil
}

// computed finds a call that was a column of stats, by its text: behind them, bin(5m)
// is what they grouped by.
func (p *parser) computed(t token) (slot, end int, ok bool) {
	rest := p.query[t.end:]
	if p.stats == 0 || p.inside != nil && !p.inside.within || t.kind != tokenName || !strings.HasPrefix(strings.TrimLeft(rest, " "), "(") {
		return 0, 0, false
	}
	depth := 0
	for i := range len(rest) {
		switch rest[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				end = t.end + i + 1
				slot, ok = p.scope[normal(p.query[t.start:end])]
				return slot, end, ok
			}
		}
	}
	return 0, 0, false
}

// function reads the call of a function, whose name was read.
func (p *parser) function(name token) (expr, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, p.fail(name.start, name.end, "more than %d expressions are in each other", maxDepth)
	}
	defer func() { p.depth-- }()
	word := strings.ToLower(name.text)
	if a, ok := aggregates[word]; ok {
		return p.aggregate(name, a)
	}
	if word == "bin" || word == "datefloor" || word == "dateceil" {
		return p.bucket(name, word)
	}
	if word == "parsedate" || word == "formatdate" || word == "strftime" {
		return p.dated(name, word)
	}
	f, ok := functions[word]
	if !ok {
		return nil, p.fail(name.start, name.end, "unknown function %.100s", name.text)
	}
	args, err := p.arguments()
	if err != nil {
		return nil, err
	}
	if len(args) < f.least || len(args) > f.most {
		return nil, p.fail(name.start, name.end, "the function %s does not take %d arguments", name.text, len(args))
	}
	switch {
	case f.of != nil:
		return &constant{f.of}, nil
	case f.pattern:
		return p.replacing(name, args)
	}
	return &call{f: f.run, args: args, weight: 1, structure: makesStructures[word], chooses: choosing[word]}, nil
}

func (p *parser) arguments() ([]expr, error) {
	if err := p.expect("("); err != nil {
		return nil, err
	}
	var args []expr
	if done, err := p.take(")"); done || err != nil {
		return args, err
	}
	if err := p.list(func() error {
		e, err := p.expression()
		args = append(args, e)
		return err
	}); err != nil {
		return nil, err
	}
	return args, p.expect(")")
}

// replacing makes a call of regexReplace, whose expression has to be there as it is.
func (p *parser) replacing(name token, args []expr) (expr, error) {
	v, ok := args[1].(literal)
	if !ok || v.kind != text {
		return nil, p.fail(name.start, name.end, "the second argument of %s is not a string", name.text)
	}
	re, err := p.compile(v.s, name)
	if err != nil {
		return nil, err
	}
	return &call{f: func(a []Value) Value { return regexReplace(re, a[0], a[1]) }, args: []expr{args[0], args[2]}, weight: re.Cost(1)}, nil
}

// bucket reads bin(period), datefloor(time, period) or dateceil(time, period).
func (p *parser) bucket(name token, word string) (expr, error) {
	if err := p.expect("("); err != nil {
		return nil, err
	}
	b := &bucket{up: word == "dateceil"}
	if word == "bin" {
		if p.stats > 0 {
			return nil, p.fail(name.start, name.end, "bin needs @timestamp, which stats does not keep")
		}
		b.of = &field{p.slotOf("@timestamp")}
	} else {
		e, err := p.expression()
		if err != nil {
			return nil, err
		}
		b.of = e
		if err := p.expect(","); err != nil {
			return nil, err
		}
	}
	n, unit := "1", p.tok
	if p.tok.kind == tokenNumber {
		n = p.tok.text
		if err := p.next(); err != nil {
			return nil, err
		}
		unit = p.tok
	}
	period, ok := parsePeriod(n, unit.text)
	if unit.kind != tokenName || !ok {
		return nil, p.unexpected(unit)
	}
	b.period = period
	if err := p.next(); err != nil {
		return nil, err
	}
	return b, p.expect(")")
}
