package insights

import "strings"

// stats is the command: values of all rows that have the same keys.
type stats struct {
	by         []assignment // the keys; each is also in a slot behind stats
	aggregates []aggregate
	items      []assignment // what is shown, made of the aggregates
}

// aggregate is a call of a function of many rows.
type aggregate struct {
	slot int // where its value is
	make func() tally
	of   expr // nil where rows are counted
}

// tally gathers values, each with the time of its event. add says how many bytes more
// it holds.
type tally interface {
	add(v Value, at int64) int
	value() Value
}

// aggregation is how a function of many rows is called.
type aggregation struct {
	make func() tally
	// bare says that it may be called with nothing, or *; part that a percentage is
	// behind the value.
	bare, part bool
}

var aggregates = map[string]aggregation{
	"count":          {make: func() tally { return new(counter) }, bare: true},
	"sum":            {make: func() tally { return &moments{of: sumOf} }},
	"avg":            {make: func() tally { return &moments{of: averageOf} }},
	"stddev":         {make: func() tally { return &moments{of: deviationOf} }},
	"min":            {make: func() tally { return &extremes{sign: -1} }},
	"max":            {make: func() tally { return &extremes{sign: 1} }},
	"pct":            {part: true},
	"count_distinct": {make: func() tally { return new(distinct) }},
	"earliest":       {make: func() tally { return &byMoment{sign: -1} }},
	"latest":         {make: func() tally { return &byMoment{sign: 1} }},
	"sortsfirst":     {make: func() tally { return &bySort{sign: -1} }},
	"sortslast":      {make: func() tally { return &bySort{sign: 1} }},
}

// statsCommand reads stats ITEM, ITEM by KEY, KEY.
func (p *parser) statsCommand() error {
	if p.stats == maxStats {
		return p.fail(p.tok.start, p.tok.end, "the query has more than %d stats commands", maxStats)
	}
	s := new(stats)
	items := token{start: p.tok.start}
	// Keys have to be known before items, which may use them: they are read first.
	if err := p.skipItems(); err != nil {
		return err
	}
	behind := make(map[string]int)
	var keys []column
	by, err := p.takeKeyword("by")
	if err != nil {
		return err
	}
	if by {
		if err := p.list(func() error {
			c, err := p.statsKey(s)
			if _, again := behind[c.name]; err == nil && again {
				return p.fail(p.tok.start, p.tok.end, "the field %.100s is defined already", c.name)
			}
			keys = append(keys, c)
			behind[c.name] = c.slot
			return err
		}); err != nil {
			return err
		}
	}
	end := p.lexer
	p.pos = items.start
	if err := p.next(); err != nil {
		return err
	}
	columns, err := p.statsItems(s, behind)
	if err != nil {
		return err
	}
	p.lexer = end
	p.stats++
	p.scope = behind
	p.fields, p.chosen, p.display = append(keys, columns...), true, nil
	p.q.stages = append(p.q.stages, s)
	return nil
}

// skipItems moves on to by, or to the end of the command.
func (p *parser) skipItems() error {
	for p.tok.kind != tokenEnd && !p.symbol("|") && !p.keyword("by") {
		if p.symbol("/") { // no regular expression: those are behind like
			if err := p.next(); err != nil {
				return err
			}
			continue
		}
		pattern := p.keyword("like") || p.symbol("=~")
		if err := p.next(); err != nil {
			return err
		}
		if pattern && p.symbol("/") {
			if _, _, err := p.pattern(); err != nil {
				return err
			}
		}
	}
	return nil
}

// statsKey reads what rows are grouped by.
func (p *parser) statsKey(s *stats) (column, error) {
	first := p.tok
	start := first.start
	e, err := p.expression()
	if err == nil {
		err = p.whole(e, first, "stats")
	}
	if err != nil {
		return column{}, err
	}
	name := normal(p.query[start:p.behind(start)])
	if f, ok := e.(*field); ok {
		name = p.q.slots[f.slot].name
	}
	if alias, ok, err := p.alias(); err != nil {
		return column{}, err
	} else if ok {
		name = alias.text
	}
	slot := p.q.addSlot(name, notInEvents)
	s.by = append(s.by, assignment{slot, e})
	return column{name, slot}, nil
}

// statsItems reads what is shown. behind gets the names that there are then.
func (p *parser) statsItems(s *stats, behind map[string]int) ([]column, error) {
	p.inside = &statsScope{stats: s, behind: behind}
	defer func() { p.inside = nil }()
	var columns []column
	err := p.list(func() error {
		start := p.tok
		e, err := p.expression()
		if err != nil {
			return err
		}
		if p.inside.unknown != "" {
			return p.fail(start.start, p.behind(start.start), "%.100s is neither a key of stats, nor defined before, nor within a function of many rows", p.inside.unknown)
		}
		name := token{text: normal(p.query[start.start:p.behind(start.start)]), start: start.start, end: p.behind(start.start)}
		alias, ok, err := p.alias()
		if err != nil {
			return err
		}
		if ok {
			name = alias
		}
		if _, again := behind[name.text]; again {
			return p.fail(name.start, name.end, "the field %.100s is defined already", name.text)
		}
		slot := p.q.addSlot(name.text, notInEvents)
		s.items = append(s.items, assignment{slot, e})
		columns = append(columns, column{name.text, slot})
		behind[name.text] = slot
		return nil
	})
	if err == nil && p.tok.kind != tokenEnd && !p.symbol("|") && !p.keyword("by") {
		err = p.unexpected(p.tok)
	}
	return columns, err
}

// statsScope is what the items of stats are made of: aggregates, keys, and items
// before them.
type statsScope struct {
	stats  *stats
	behind map[string]int
	within bool // an aggregate, whose argument is of the rows before stats
	// unknown is a name that is none of these.
	unknown string
}

// aggregate reads the call of a function of many rows.
func (p *parser) aggregate(name token, a aggregation) (expr, error) {
	if p.inside == nil || p.inside.within {
		return nil, p.fail(name.start, name.end, "the function %.100s is for stats, and not within another one of its kind", name.text)
	}
	if err := p.expect("("); err != nil {
		return nil, err
	}
	agg := aggregate{make: a.make}
	switch star, err := p.star(a.bare); {
	case err != nil:
		return nil, err
	case !star:
		p.inside.within = true
		first := p.tok
		agg.of, err = p.expression()
		if err == nil {
			err = p.whole(agg.of, first, "stats")
		}
		if p.inside.within = false; err != nil {
			return nil, err
		}
	}
	if a.part {
		if err := p.expect(","); err != nil {
			return nil, err
		}
		percent, ok := parseNumber(p.tok.text)
		if p.tok.kind != tokenNumber || !ok || percent > 100 {
			return nil, p.unexpected(p.tok)
		}
		agg.make = func() tally { return &percentile{part: percent / 100} }
		if err := p.next(); err != nil {
			return nil, err
		}
	}
	agg.slot = p.q.addSlot("", notInEvents)
	p.inside.stats.aggregates = append(p.inside.stats.aggregates, agg)
	return &field{agg.slot}, p.expect(")")
}

// star says whether a call has nothing, or *, between its parentheses.
func (p *parser) star(bare bool) (bool, error) {
	if !bare {
		return false, nil
	}
	if p.symbol(")") {
		return true, nil
	}
	return p.take("*")
}

// group is the rows that have the same keys.
type group struct {
	keys    []Value
	tallies []tally
}

type grouping struct {
	*stats
	run    *Run
	groups map[string]*group
	order  []*group // as they came
	next   sink
}

func (s *stats) start(r *Run, next sink) sink {
	return &grouping{stats: s, run: r, groups: make(map[string]*group), next: next}
}

// groupCost is about what a group takes of memory beside its keys, tallyCost what one
// of its aggregates takes.
const (
	groupCost = 200
	tallyCost = 100
)

func (g *grouping) push(r *row) error {
	var b strings.Builder
	keys := make([]Value, len(g.by))
	for i, k := range g.by {
		keys[i] = k.of.eval(r)
		writeKey(&b, keys[i])
	}
	one, err := g.group(b.String(), keys)
	if err != nil {
		return err
	}
	more := 0
	for i, a := range g.aggregates {
		v := truthValue(true)
		if a.of != nil {
			v = a.of.eval(r)
		}
		if v.scalar() {
			more += one.tallies[i].add(v, r.at)
		}
	}
	return g.run.hold(more)
}

func (g *grouping) group(id string, keys []Value) (*group, error) {
	if one, ok := g.groups[id]; ok {
		return one, nil
	}
	one := &group{keys: keys}
	cost := groupCost + 2*len(id) + tallyCost*len(g.aggregates)
	for i := range keys {
		keys[i] = keys[i].clone()
		cost += keys[i].cost()
	}
	for _, a := range g.aggregates {
		one.tallies = append(one.tallies, a.make())
	}
	g.groups[id] = one
	g.order = append(g.order, one)
	return one, g.run.hold(cost)
}

func (g *grouping) end() error {
	if len(g.order) == 0 && len(g.by) == 0 {
		if _, err := g.group("", nil); err != nil { // of no rows
			return err
		}
	}
	out := g.run.newRow()
	for _, one := range g.order {
		g.run.clear(out, nil)
		for i, k := range g.by {
			out.set(k.slot, one.keys[i])
		}
		for i, a := range g.aggregates {
			out.set(a.slot, one.tallies[i].value())
		}
		for _, item := range g.items {
			out.set(item.slot, item.of.eval(out))
		}
		if err := g.next.push(out); err == errEnough {
			break
		} else if err != nil {
			return err
		}
	}
	return g.next.end()
}
