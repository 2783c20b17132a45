package insights

import (
	"strconv"
	"strings"

	"github.com/alcove-run/alcove/internal/search"
)

// Bounds of a query.
const (
	maxQuery = 10_000  // characters, AWS's own
	maxRows  = 100_000 // that limit may ask for, AWS's own
	maxDepth = 200     // of expressions in each other
	maxStats = 2       // commands, AWS's own
	maxSlots = 300     // fields, those that are computed among them
	maxName  = 512     // bytes of a field's name
	maxParts = 40      // of it, between dots
	maxRegex = 1200    // instructions of all regular expressions together
)

// parser reads a query.
type parser struct {
	lexer
	q     *Query
	depth int
	// scope has the slots of what was computed, by name. Behind stats there is
	// nothing else.
	scope map[string]int
	stats int // how many there were
	// inside is the stats command that is read.
	inside  *statsScope
	deduped bool
	regex   int // what the regular expressions weigh

	fields  []column // of fields, parse and stats
	chosen  bool     // by fields or stats
	display []column // of the last display, nil if there was none
}

// Parse reads a query. Its error is a *[SyntaxError].
func Parse(query string) (*Query, error) {
	p := &parser{lexer: lexer{query: query}, q: new(Query), scope: make(map[string]int)}
	if len(query) > 4*maxQuery || len([]rune(query)) > maxQuery {
		return nil, p.fail(0, len(query), "the query is longer than %d characters", maxQuery)
	}
	if err := p.next(); err != nil {
		return nil, err
	}
	for {
		if err := p.command(); err != nil {
			return nil, err
		}
		if p.tok.kind == tokenEnd {
			break
		}
		if !p.symbol("|") {
			return nil, p.unexpected(p.tok)
		}
		if err := p.next(); err != nil {
			return nil, err
		}
	}
	if len(p.q.slots) > maxSlots {
		return nil, p.fail(0, len(query), "the query has more than %d fields", maxSlots)
	}
	p.finish()
	return p.q, nil
}

// commands are what a query is made of.
func commands() map[string]func(*parser) error {
	return map[string]func(*parser) error{
		"fields": (*parser).fieldsCommand, "display": (*parser).displayCommand, "filter": (*parser).filterCommand, "where": (*parser).filterCommand,
		"stats": (*parser).statsCommand, "sort": (*parser).sortCommand, "limit": (*parser).limitCommand, "parse": (*parser).parseCommand,
		"dedup": (*parser).dedupCommand, "unnest": (*parser).unnestCommand,
	}
}

// notHere are commands that AWS has and this package has not.
var notHere = map[string]bool{
	"source": true, "filterindex": true, "pattern": true, "diff": true, "anomaly": true, "unmask": true, "expand": true, "lookup": true,
	"join": true, "addtotals": true, "relevantfields": true, "autoregress": true, "logcompare": true, "filldown": true, "fillmissing": true,
	"cidrlookup": true, "outlier": true, "accum": true, "appendcols": true, "sessionize": true, "countfrequent": true, "head": true, "tail": true,
	"search": true, "order": true,
}

func (p *parser) command() error {
	name := strings.ToLower(p.tok.text)
	run := commands()[name]
	switch {
	case p.tok.kind == tokenName && notHere[name]:
		return p.fail(p.tok.start, p.tok.end, "the command %s is not available here", p.tok.text)
	case p.tok.kind != tokenName || run == nil, p.deduped && name != "limit":
		return p.unexpected(p.tok)
	}
	if err := p.next(); err != nil {
		return err
	}
	return run(p)
}

// symbol says whether the current token is a symbol.
func (p *parser) symbol(s string) bool { return p.tok.kind == tokenSymbol && p.tok.text == s }

// keyword says whether the current token is a word of the language.
func (p *parser) keyword(s string) bool {
	return p.tok.kind == tokenName && strings.EqualFold(p.tok.text, s)
}

// take moves on if the current token is a symbol.
func (p *parser) take(s string) (bool, error) {
	if !p.symbol(s) {
		return false, nil
	}
	return true, p.next()
}

func (p *parser) takeKeyword(s string) (bool, error) {
	if !p.keyword(s) {
		return false, nil
	}
	return true, p.next()
}

// expect moves on behind a symbol that has to be there.
func (p *parser) expect(s string) error {
	if !p.symbol(s) {
		return p.unexpected(p.tok)
	}
	return p.next()
}

// slotOf is the slot of a field.
func (p *parser) slotOf(name string) int {
	if p.inside != nil && !p.inside.within {
		if s, ok := p.inside.behind[name]; ok {
			return s
		}
		p.inside.unknown = name
		return p.q.addSlot(name, notInEvents)
	}
	if s, ok := p.scope[name]; ok {
		return s
	}
	if slot, ok := p.member(name); ok {
		return slot
	}
	from := sourceOf(name)
	if p.stats > 0 {
		from = notInEvents
	}
	for i, s := range p.q.slots {
		if s.name == name && s.source == from && from != notInEvents {
			return i
		}
	}
	return p.q.addSlot(name, from)
}

// define gives a name to what is computed from here on.
func (p *parser) define(name token, slot int) error {
	if _, ok := p.scope[name.text]; ok {
		return p.fail(name.start, name.end, "the field %.100s is defined already", name.text)
	}
	p.scope[name.text] = slot
	return nil
}

// alias reads the name behind as, if there is one.
func (p *parser) alias() (name token, ok bool, err error) {
	if ok, err = p.takeKeyword("as"); !ok || err != nil {
		return token{}, false, err
	}
	name, err = p.newName()
	return name, true, err
}

// newName reads a name to be given.
func (p *parser) newName() (token, error) {
	name := p.tok
	if name.kind != tokenName && name.kind != tokenQuotedName || name.text == "" {
		return name, p.unexpected(name)
	}
	return name, p.next()
}

// list reads one or more, between commas.
func (p *parser) list(one func() error) error {
	for {
		if err := one(); err != nil {
			return err
		}
		if more, err := p.take(","); err != nil || !more {
			return err
		}
	}
}

// item reads an expression of fields or display, and gives the column that it is.
func (p *parser) item(compute *compute) (column, error) {
	start := p.tok.start
	e, err := p.expression()
	if err != nil {
		return column{}, err
	}
	source := normal(p.query[start:p.behind(start)])
	name, named, err := p.alias()
	if err != nil {
		return column{}, err
	}
	f, isField := e.(*field)
	switch {
	case isField && !named:
		return column{p.q.slots[f.slot].name, f.slot}, nil
	case !named:
		slot := p.q.addSlot(source, notInEvents)
		compute.set = append(compute.set, assignment{slot, e})
		return column{source, slot}, nil
	}
	slot := p.q.addSlot(name.text, notInEvents)
	p.q.slots[slot].structure, p.q.slots[slot].always = p.mayBeStructure(e), p.isStructure(e)
	compute.set = append(compute.set, assignment{slot, e})
	return column{name.text, slot}, p.define(name, slot)
}

// behind is where what was read since start ends: at the current token, white space
// and comments left out.
func (p *parser) behind(start int) int {
	return start + len(strings.TrimRight(p.query[start:p.tok.start], " \t\r\n"))
}

func (p *parser) items() ([]column, error) {
	c := new(compute)
	columns := []column{}
	err := p.list(func() error {
		one, err := p.item(c)
		columns = append(columns, one)
		return err
	})
	if len(c.set) > 0 {
		p.q.stages = append(p.q.stages, c)
	}
	return columns, err
}

func (p *parser) fieldsCommand() error {
	columns, err := p.items()
	p.fields = append(p.fields, columns...)
	p.chosen = true
	return err
}

func (p *parser) displayCommand() (err error) {
	p.display, err = p.items()
	return err
}

func (p *parser) filterCommand() error {
	e, err := p.expression()
	p.q.stages = append(p.q.stages, &filter{e})
	return err
}

func (p *parser) sortCommand() error {
	s := new(sorting)
	err := p.list(func() error {
		start := p.tok
		e, err := p.expression()
		if err != nil {
			return err
		}
		if err := p.whole(e, start, "sort"); err != nil {
			return err
		}
		k := key{of: e}
		if k.descending, err = p.takeKeyword("desc"); err == nil && !k.descending {
			_, err = p.takeKeyword("asc")
		}
		s.keys = append(s.keys, k)
		return err
	})
	p.q.stages = append(p.q.stages, s)
	return err
}

func (p *parser) limitCommand() error {
	anyOf, err := p.takeKeyword("any")
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(p.tok.text)
	if p.tok.kind != tokenNumber || err != nil {
		return p.unexpected(p.tok)
	}
	if n < 1 || n > maxRows {
		return p.fail(p.tok.start, p.tok.end, "the limit is not between 1 and %d", maxRows)
	}
	p.q.stages = append(p.q.stages, &limit{n: n, any: anyOf})
	return p.next()
}

func (p *parser) dedupCommand() error {
	d := new(dedup)
	p.deduped = true
	p.q.stages = append(p.q.stages, d)
	return p.list(func() error {
		start := p.tok
		e, err := p.operand()
		if err != nil {
			return err
		}
		f, ok := e.(*field)
		if !ok {
			return p.unexpected(start)
		}
		d.by = append(d.by, f.slot)
		return p.whole(f, start, "dedup")
	})
}

// parseCommand reads parse FIELD "glob" as a, b, or parse FIELD /expression/; the
// field is @message if there is none.
func (p *parser) parseCommand() error {
	from := p.tok
	e := extract{from: p.slotOf("@message")}
	if from.kind == tokenName || from.kind == tokenQuotedName {
		e.from = p.slotOf(from.text)
		if err := p.next(); err != nil {
			return err
		}
	}
	var names []string
	count, at := 0, p.tok
	switch {
	case at.kind == tokenString:
		g, err := compileGlob(at.text)
		if err != nil {
			return p.fail(at.start, at.end, "%s", err)
		}
		e.find, e.cost, count = g.find, bytesOf, g.fields()
		if err := p.next(); err != nil {
			return err
		}
	case p.symbol("/"):
		re, behind, err := p.regexp()
		if err != nil {
			return err
		}
		at, count = behind, re.NumSubexp()
		names = namesOf(re)
		e.find, e.cost = matcher(re), re.Cost
	default:
		return p.unexpected(at)
	}
	if count == 0 {
		return p.fail(at.start, at.end, "the pattern takes nothing out: it has no * and no group")
	}
	return p.extracted(e, names, count, at)
}

// namesOf are the names of the groups of an expression, nil if they have none.
func namesOf(re *search.Regexp) []string {
	names := re.SubexpNames()[1:]
	for _, n := range names {
		if n != "" {
			return names
		}
	}
	return nil
}

// extracted names what parse takes out: as its list says, or as the groups of the
// expression are called.
func (p *parser) extracted(e extract, names []string, count int, at token) error {
	named := func(name token) error {
		slot := -1
		if name.text != "" {
			slot = p.q.addSlot(name.text, notInEvents)
			p.fields = append(p.fields, column{name.text, slot})
			if err := p.define(name, slot); err != nil {
				return err
			}
		}
		e.to = append(e.to, slot)
		return nil
	}
	given := p.tok
	if as, err := p.takeKeyword("as"); err != nil {
		return err
	} else if as && names != nil {
		return p.unexpected(given)
	} else if as {
		if err := p.list(func() error {
			name, err := p.newName()
			if err != nil {
				return err
			}
			return named(name)
		}); err != nil {
			return err
		}
	} else {
		for _, n := range names {
			if err := named(token{tokenName, n, at.start, at.end}); err != nil {
				return err
			}
		}
	}
	if len(e.to) != count {
		return p.fail(at.start, at.end, "the pattern takes out %d fields, and %d have a name", count, len(e.to))
	}
	p.q.stages = append(p.q.stages, &e)
	return nil
}

// regexp reads a regular expression.
func (p *parser) regexp() (*search.Regexp, token, error) {
	source, at, err := p.pattern()
	if err != nil {
		return nil, at, err
	}
	re, err := p.compile(source, at)
	return re, at, err
}

func (p *parser) compile(source string, at token) (*search.Regexp, error) {
	p.regex += search.Weight(source)
	if p.regex > maxRegex {
		return nil, p.fail(at.start, at.end, "the regular expressions are too large")
	}
	re, err := search.Compile(source)
	if err != nil {
		return nil, p.fail(at.start, at.end, "the regular expression cannot be used: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	return re, nil
}
