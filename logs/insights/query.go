package insights

import "strings"

// Query is a query that was read. It is for any number of goroutines.
type Query struct {
	slots   []slot
	stages  []stage
	columns []column // of what the query answers with
	// events says that answers are events, not what stats made of them.
	events      bool
	oldestFirst bool
	// matched is how many of the stages, from the first, say which events match.
	matched int
	filters []expr // those of the stages that say which events match
}

// slot is a place for a value in a row.
type slot struct {
	name   string
	source source // where an event has it; notInEvents if it is computed
	// structure says that it may be a map or a list that was computed, always that it
	// is nothing else.
	structure, always bool
	base              int // of a slot inStructure: whose member it is
	member            string
}

// column is a field of the answer.
type column struct {
	name string
	slot int
}

// OldestFirst says in which order the query wants events: by their times, the newest
// first if it is false.
func (q *Query) OldestFirst() bool { return q.oldestFirst }

// Events says whether each row of the answer is an event, with its @ptr.
func (q *Query) Events() bool { return q.events }

// maxTenants bounds the tenants that a query is narrowed to.
const maxTenants = 16

// Tenants gives the tenants that events have to name to match, in a tenantId or a
// record.tenantId: the places where records have it. ok is false if the query does
// not say.
func (q *Query) Tenants() (names []string, ok bool) {
	for _, f := range q.filters {
		if names, ok := q.tenants(f); ok && len(names) <= maxTenants {
			return names, true
		}
	}
	return nil, false
}

func (q *Query) tenants(e expr) ([]string, bool) {
	switch e := e.(type) {
	case *logic:
		left, ok1 := q.tenants(e.left)
		right, ok2 := q.tenants(e.right)
		switch {
		case e.and && ok1:
			return left, true
		case e.and:
			return right, ok2
		}
		return append(left[:len(left):len(left)], right...), ok1 && ok2
	case *compare:
		if e.op != "=" {
			return nil, false
		}
		l, r := e.left, e.right
		if _, ok := l.(literal); ok {
			l, r = r, l
		}
		if v, ok := r.(literal); ok && v.kind == text && q.isTenant(l) {
			return []string{v.s}, true
		}
	case *among:
		if e.not || !q.isTenant(e.of) {
			return nil, false
		}
		var names []string
		for _, v := range e.list {
			if v.kind != text {
				return nil, false
			}
			names = append(names, v.s)
		}
		return names, true
	}
	return nil, false
}

func (q *Query) isTenant(e expr) bool {
	f, ok := e.(*field)
	if !ok || q.slots[f.slot].source != inJSON {
		return false
	}
	name := q.slots[f.slot].name
	return name == "tenantId" || name == "record.tenantId"
}

// addSlot makes a place for a value.
func (q *Query) addSlot(name string, from source) int {
	q.slots = append(q.slots, slot{name: name, source: from})
	return len(q.slots) - 1
}

// expr is a part of a query that has a value for each row.
type expr interface{ eval(r *row) Value }

type literal struct{ Value }

// field is a field's value, or one that was computed before.
type field struct{ slot int }

// arithmetic is + - * / % or ^.
type arithmetic struct {
	op          byte
	left, right expr
}

// compare is = != < <= > or >=.
type compare struct {
	op          string
	left, right expr
}

// like looks for text, or a regular expression, in a value.
type like struct {
	of   expr
	find func(s string, pause func() bool) bool
	cost func(bytes int) int // of find
	not  bool
}

// among is in.
type among struct {
	of   expr
	list []Value
	not  bool
}

// logic is and, or.
type logic struct {
	and         bool
	left, right expr
}

type not struct{ of expr }

// call is a function of values.
type call struct {
	f      func(args []Value) Value
	args   []expr
	weight int // of what it does with each byte of its arguments
	// structure says that it makes one; chooses, that it gives one of its arguments.
	structure, chooses bool
}

// constant is of the run: the moment, the range.
type constant struct{ of func(o *Options) Value }

// bucket is bin, datefloor and dateceil.
type bucket struct {
	of     expr
	period period
	up     bool
}

func (l literal) eval(*row) Value { return l.Value }

func (f *field) eval(r *row) Value { return r.get(f.slot) }

func (c *constant) eval(r *row) Value { return c.of(&r.run.opts) }

func (e *not) eval(r *row) Value { return truthValue(!e.of.eval(r).true()) }

func (e *logic) eval(r *row) Value {
	if left := e.left.eval(r).true(); left != e.and {
		return truthValue(left)
	}
	return truthValue(e.right.eval(r).true())
}

func (e *compare) eval(r *row) Value {
	if e.op == "=" && impossible(r, e.left, e.right) {
		return truthValue(false)
	}
	left, right := e.left.eval(r), e.right.eval(r)
	c, ok := order(left, right)
	switch e.op {
	case "=":
		return truthValue(ok && c == 0)
	case "!=":
		return truthValue((!ok || c != 0) && left.kind != structure && right.kind != structure)
	case "<":
		return truthValue(ok && c < 0)
	case "<=":
		return truthValue(ok && c <= 0)
	case ">":
		return truthValue(ok && c > 0)
	}
	return truthValue(ok && c >= 0)
}

// impossible is a quick look at an event's text before its JSON is read: a member
// cannot be a text that is nowhere in it.
func impossible(r *row, left, right expr) bool {
	f, ok1 := left.(*field)
	v, ok2 := right.(literal)
	return ok1 && ok2 && v.kind == text && r.event != nil && !r.known[f.slot] && r.run.query.slots[f.slot].source == inJSON && !r.mayHold(v.s)
}

func (e *like) eval(r *row) Value {
	s, ok := e.of.eval(r).Text()
	if ok = ok && r.run.stopped == nil; ok {
		r.run.spend(e.cost(len(s)))
		ok = e.find(s, r.run.pause)
	}
	return truthValue(ok != e.not)
}

func (e *among) eval(r *row) Value {
	v := e.of.eval(r)
	for _, o := range e.list {
		if equal(v, o) {
			return truthValue(!e.not)
		}
	}
	return truthValue(e.not)
}

func (e *arithmetic) eval(r *row) Value {
	x, ok1 := e.left.eval(r).number()
	y, ok2 := e.right.eval(r).number()
	if !ok1 || !ok2 {
		return Value{}
	}
	return numberValue(calculate(e.op, x, y))
}

func (e *call) eval(r *row) Value {
	args := make([]Value, len(e.args))
	for i, a := range e.args {
		args[i] = a.eval(r)
		r.run.spend(1 + e.weight*len(args[i].s))
	}
	if r.run.stopped != nil {
		return Value{}
	}
	v := e.f(args)
	if r.run.made += len(v.s); r.run.made > maxMade {
		r.run.over = true
		return Value{}
	}
	return v
}

// maxMade bounds the text that functions make of one row, all together.
const maxMade = 16 << 20

func (e *bucket) eval(r *row) Value {
	at, ok := e.of.eval(r).number()
	if !ok || at != at || at < -maxMoment || at > maxMoment {
		return Value{}
	}
	return momentValue(e.period.round(int64(at), e.up))
}

// maxMoment is about the year 144,000: times beyond it have no buckets.
const maxMoment = 1 << 52

// normal is a part of a query as the name of a column.
func normal(s string) string { return strings.Join(strings.Fields(s), " ") }
