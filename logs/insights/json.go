package insights

import (
	"strings"

	"github.com/tidwall/gjson"
)

// A structure is a map or a list as JSON, which jsonParse, split and what is in a
// structure give. To functions of other values it is as if it were missing, and to
// nothing is it equal (user guide, "Structure types").

// jsonParse takes text that is an object or a list.
func jsonParse(a []Value) Value {
	s, ok := a[0].Text()
	s = strings.TrimSpace(s)
	if a[0].kind == structure {
		return a[0]
	}
	if !ok || s == "" || s[0] != '{' && s[0] != '[' || !validJSON(s) {
		return Value{}
	}
	return Value{kind: structure, s: s}
}

// jsonStringify gives a structure as text, without the white space between its parts.
func jsonStringify(a []Value) Value {
	if a[0].kind != structure {
		return Value{}
	}
	return bounded(gjson.Get(a[0].s, "@ugly").Raw)
}

// list gives what a text or a structure that is a list has.
func list(v Value) (gjson.Result, bool) {
	if v.kind != structure {
		v = jsonParse([]Value{v})
	}
	l := gjson.Parse(v.s)
	return l, v.kind == structure && l.IsArray()
}

func jsonArraySize(a []Value) Value {
	l, ok := list(a[0])
	if !ok {
		return Value{}
	}
	n := 0
	l.ForEach(func(_, _ gjson.Result) bool {
		n++
		return true
	})
	return numberValue(float64(n))
}

// jsonArrayContains is false for what is no list.
func jsonArrayContains(a []Value) Value {
	found := false
	want, ok := a[1].Text()
	if l, is := list(a[0]); is && ok {
		l.ForEach(func(_, member gjson.Result) bool {
			got, scalar := ofJSON(member).Text()
			if member.Type == gjson.True || member.Type == gjson.False { // as it is written, not 1
				got = member.Raw
			}
			found = scalar && (got == want || equal(ofJSON(member), a[1]) && a[1].kind != text)
			return !found
		})
	}
	return truthValue(found)
}

// split gives a list of the texts between delimiters.
func split(a []Value) Value {
	s, ok := a[0].Text()
	by, ok1 := a[1].Text()
	if !ok || !ok1 || by == "" {
		return Value{}
	}
	out := []byte{'['}
	for part := range strings.SplitSeq(s, by) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		if out = gjson.AppendJSONString(out, part); len(out) > maxText {
			return Value{}
		}
	}
	return Value{kind: structure, s: string(append(out, ']'))}
}

// memberOf is what a structure has by a name: a scalar, or a structure.
func memberOf(v Value, name string) Value {
	if v.kind != structure {
		return Value{}
	}
	return find(gjson.Parse(v.s), name, anyOf)
}

// anyOf is what is in JSON: a scalar as a value, or a structure.
func anyOf(v gjson.Result) Value {
	if v.IsObject() || v.IsArray() {
		return Value{kind: structure, s: v.Raw}
	}
	return ofJSON(v)
}

// mayBeStructure says whether an expression gives a structure, or may: its members can
// be asked for.
func (p *parser) mayBeStructure(e expr) bool {
	switch e := e.(type) {
	case *field:
		return p.q.slots[e.slot].structure
	case *call:
		if e.structure {
			return true
		}
		for _, a := range e.args {
			if e.chooses && p.mayBeStructure(a) {
				return true
			}
		}
	}
	return false
}

// member finds the structure that a name begins with, and makes a place for what it
// has by the rest of it.
func (p *parser) member(name string) (slot int, ok bool) {
	for i := len(name) - 1; i > 0; i-- {
		if name[i] != '.' {
			continue
		}
		base, defined := p.scope[name[:i]]
		if !defined || !p.q.slots[base].structure {
			continue
		}
		for j, s := range p.q.slots {
			if s.source == inStructure && s.base == base && s.member == name[i+1:] {
				return j, true
			}
		}
		slot = p.q.addSlot(name, inStructure)
		p.q.slots[slot].base, p.q.slots[slot].member, p.q.slots[slot].structure = base, name[i+1:], true
		return slot, true
	}
	return 0, false
}

// isStructure says whether an expression gives nothing but structures.
func (p *parser) isStructure(e expr) bool {
	c, isCall := e.(*call)
	f, isField := e.(*field)
	return isCall && c.structure || isField && p.q.slots[f.slot].always
}

// whole refuses an expression that is a map or a list where AWS takes none.
func (p *parser) whole(e expr, at token, command string) error {
	if p.isStructure(e) {
		return p.fail(at.start, at.end, "maps and lists cannot be used in %s", command)
	}
	return nil
}

// unnest makes a row of each member of a list. What is no list is one of itself.
type unnest struct {
	of expr
	to int
}

// maxUnnested bounds the rows that are made of one event.
const maxUnnested = 100_000

type unnesting struct {
	*unnest
	run  *Run
	next sink
	// under are the places of what the new field has.
	under []int
}

func (u *unnest) start(r *Run, next sink) sink {
	s := &unnesting{unnest: u, run: r, next: next}
	below := map[int]bool{u.to: true}
	for i, slot := range r.query.slots { // a base has been made before what it has
		if slot.source == inStructure && below[slot.base] {
			below[i] = true
			s.under = append(s.under, i)
		}
	}
	return s
}

func (s *unnesting) push(r *row) error {
	v := s.of.eval(r)
	l := gjson.Parse(v.s)
	if v.kind != structure || !l.IsArray() {
		return s.give(r, v)
	}
	var err error
	l.ForEach(func(_, member gjson.Result) bool {
		err = s.give(r, anyOf(member))
		return err == nil && !s.run.over && s.run.stopped == nil
	})
	return err
}

func (s *unnesting) give(r *row, v Value) error {
	if s.run.unnested++; s.run.unnested > maxUnnested {
		s.run.over = true
		return nil
	}
	s.run.spend(len(s.run.query.slots) + len(v.s))
	r.set(s.to, v)
	for _, slot := range s.under {
		r.known[slot] = false
	}
	return s.next.push(r)
}

func (s *unnesting) end() error { return s.next.end() }

// unnestCommand reads unnest FIELD into NAME.
func (p *parser) unnestCommand() error {
	start := p.tok
	e, err := p.operand()
	if err != nil {
		return err
	}
	if _, ok := e.(*field); !ok {
		return p.unexpected(start)
	}
	if !p.keyword("into") {
		return p.unexpected(p.tok)
	}
	if err := p.next(); err != nil {
		return err
	}
	name, err := p.newName()
	if err != nil {
		return err
	}
	slot := p.q.addSlot(name.text, notInEvents)
	p.q.slots[slot].structure = p.mayBeStructure(e)
	p.fields = append(p.fields, column{name.text, slot})
	p.q.stages = append(p.q.stages, &unnest{e, slot})
	return p.define(name, slot)
}
