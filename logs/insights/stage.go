package insights

import (
	"container/heap"
	"errors"
	"slices"
	"strings"
)

// stage is a command of a query. A run has a sink of its own of each.
type stage interface{ start(r *Run, next sink) sink }

// sink takes rows one after the other, each good until push returns, and then the end.
type sink interface {
	push(r *row) error
	end() error
}

// errEnough is what a sink answers that wants no more rows.
var errEnough = errors.New("enough")

// ErrMemory is the error of a run that would hold more than it may.
var ErrMemory = errors.New("insights: the query holds more than the memory that a query may have")

// compute is the expressions of fields and display.
type compute struct{ set []assignment }

type assignment struct {
	slot int
	of   expr
}

type computing struct {
	*compute
	next sink
}

func (c *compute) start(_ *Run, next sink) sink { return &computing{c, next} }

func (c *computing) push(r *row) error {
	for _, a := range c.set {
		r.set(a.slot, a.of.eval(r))
	}
	return c.next.push(r)
}

func (c *computing) end() error { return c.next.end() }

type filter struct{ of expr }

type filtering struct {
	of   expr
	next sink
}

func (f *filter) start(_ *Run, next sink) sink { return &filtering{f.of, next} }

func (f *filtering) push(r *row) error {
	if !f.of.eval(r).true() {
		return nil
	}
	return f.next.push(r)
}

func (f *filtering) end() error { return f.next.end() }

// extract is parse. A field of to that is -1 has no name.
type extract struct {
	from int
	find func(s string, to []Value, pause func() bool) bool
	cost func(bytes int) int // of find
	to   []int
}

type extracting struct {
	*extract
	found []Value
	next  sink
}

func (e *extract) start(_ *Run, next sink) sink {
	return &extracting{e, make([]Value, len(e.to)), next}
}

func (e *extracting) push(r *row) error {
	s, ok := r.get(e.from).Text()
	if ok = ok && r.run.stopped == nil; ok {
		r.run.spend(e.cost(len(s)))
		ok = e.find(s, e.found, r.run.pause)
	}
	for i, slot := range e.to {
		switch {
		case slot < 0:
		case ok:
			r.set(slot, e.found[i])
		default:
			r.set(slot, Value{})
		}
	}
	return e.next.push(r)
}

func (e *extracting) end() error { return e.next.end() }

// counted counts the events that match. It takes all of them, however few are wanted
// behind it, unless any will do.
type counted struct {
	run    *Run
	any    bool
	next   sink
	enough bool
}

func (c *counted) push(r *row) error {
	c.run.matched++
	if c.enough {
		return nil
	}
	err := c.next.push(r)
	if err == errEnough {
		c.enough = true
		if !c.any {
			err = nil
		}
	}
	return err
}

func (c *counted) end() error { return c.next.end() }

// limit lets so many rows through.
type limit struct {
	n   int
	any bool
}

type limiting struct {
	left int
	next sink
}

func (l *limit) start(_ *Run, next sink) sink { return &limiting{l.n, next} }

func (l *limiting) push(r *row) error {
	if l.left == 0 {
		return errEnough
	}
	l.left--
	if err := l.next.push(r); err != nil || l.left > 0 {
		return err
	}
	return errEnough
}

func (l *limiting) end() error { return l.next.end() }

// dedup lets the first row of those through that have the same values. Rows without
// one of them are no duplicates.
type dedup struct{ by []int }

type deduping struct {
	*dedup
	run  *Run
	seen map[string]bool
	next sink
}

func (d *dedup) start(r *Run, next sink) sink { return &deduping{d, r, make(map[string]bool), next} }

func (d *deduping) push(r *row) error {
	var b strings.Builder
	for _, slot := range d.by {
		v := r.get(slot)
		if !v.scalar() {
			return d.next.push(r)
		}
		writeKey(&b, v)
	}
	id := b.String()
	if d.seen[id] {
		return nil
	}
	d.seen[id] = true
	if err := d.run.hold(len(id) + 3*valueCost); err != nil {
		return err
	}
	return d.next.push(r)
}

func (d *deduping) end() error { return d.next.end() }

// writeKey adds a value to what rows are told apart by.
func writeKey(b *strings.Builder, v Value) {
	s, ok := v.Text()
	if !ok {
		b.WriteByte(0)
		return
	}
	b.WriteByte(1)
	var n [4]byte
	n[0], n[1], n[2], n[3] = byte(len(s)), byte(len(s)>>8), byte(len(s)>>16), byte(len(s)>>24)
	b.Write(n[:])
	b.WriteString(s)
}

// sorting is sort. rows, if not zero, is how many rows are wanted at most.
type sorting struct {
	keys []key
	rows int
	// keep are the slots that are looked at behind it.
	keep []int
}

type key struct {
	of         expr
	descending bool
}

// held is a row that is kept, with its keys.
type held struct {
	keys []Value
	vals []Value // of the slots that are kept
	at   int64
	seq  int
	cost int
}

type sorter struct {
	*sorting
	run  *Run
	next sink
	rows []held // a heap, the last one on top, while only some rows are wanted
	seq  int
}

func (s *sorting) start(r *Run, next sink) sink { return &sorter{sorting: s, run: r, next: next} }

func (s *sorter) Len() int           { return len(s.rows) }
func (s *sorter) Less(i, j int) bool { return s.compare(&s.rows[i], &s.rows[j]) > 0 }
func (s *sorter) Swap(i, j int)      { s.rows[i], s.rows[j] = s.rows[j], s.rows[i] }
func (s *sorter) Push(x any)         { s.rows = append(s.rows, x.(held)) }
func (s *sorter) Pop() any {
	last := s.rows[len(s.rows)-1]
	s.rows[len(s.rows)-1] = held{}
	s.rows = s.rows[:len(s.rows)-1]
	return last
}

// compare orders rows; those that are equal stay as they came.
func (s *sorter) compare(a, b *held) int {
	for i, k := range s.keys {
		c := before(a.keys[i], b.keys[i])
		if k.descending {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	return a.seq - b.seq
}

func (s *sorter) push(r *row) error {
	h := held{seq: s.seq, at: r.at}
	s.seq++
	for _, k := range s.keys {
		h.keys = append(h.keys, k.of.eval(r))
	}
	full := s.sorting.rows > 0 && len(s.rows) == s.sorting.rows
	if full && s.compare(&h, &s.rows[0]) > 0 {
		return nil
	}
	for i := range h.keys {
		h.keys[i] = h.keys[i].clone()
		h.cost += h.keys[i].cost()
	}
	h.vals = make([]Value, len(s.keep))
	for i, slot := range s.keep {
		h.vals[i] = r.get(slot).clone()
		h.cost += h.vals[i].cost()
	}
	if err := s.run.hold(h.cost); err != nil {
		return err
	}
	if full {
		s.run.held -= s.rows[0].cost
		s.rows[0] = h
		heap.Fix(s, 0)
		return nil
	}
	if s.sorting.rows > 0 {
		heap.Push(s, h)
	} else {
		s.rows = append(s.rows, h)
	}
	return nil
}

func (s *sorter) end() error {
	slices.SortFunc(s.rows, func(a, b held) int { return s.compare(&a, &b) })
	out := s.run.newRow()
	for i := range s.rows {
		h := &s.rows[i]
		s.run.clear(out, nil)
		out.at = h.at
		for j, slot := range s.keep {
			out.set(slot, h.vals[j])
		}
		s.run.held -= h.cost
		*h = held{}
		if err := s.next.push(out); err == errEnough {
			break
		} else if err != nil {
			return err
		}
	}
	s.rows = nil
	return s.next.end()
}
