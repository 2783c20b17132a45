package insights

import (
	"fmt"

	"github.com/alcove-run/alcove/internal/search"
)

// Run is a query at work. It is for one goroutine.
type Run struct {
	query *Query
	opts  Options
	emit  func([]Cell) error
	first sink
	row   *row
	cells []Cell
	held  int // bytes
	made  int // bytes of text that functions made of the row at hand
	spent int // since the last pause
	// unnested are the rows that were made of the event at hand.
	unnested int
	over     bool
	stopped  error // by Pause
	matched  int
}

// Cell is a field of a row of the answer. A row has no cell of a field that is
// missing.
type Cell struct{ Name, Value string }

// Start begins a run. emit gets the rows of the answer, in their order, some of them
// while events are added, the others at the end; it must not keep the slice.
func (q *Query) Start(o Options, emit func(row []Cell) error) *Run {
	if o.Rows <= 0 {
		o.Rows = DefaultRows
	}
	if o.Memory <= 0 {
		o.Memory = DefaultMemory
	}
	r := &Run{query: q, opts: o, emit: emit}
	r.row = r.newRow()
	var next sink = (&limit{n: o.Rows}).start(r, answer{r})
	if q.matched == len(q.stages) {
		next = r.counting(next)
	}
	for i := len(q.stages) - 1; i >= 0; i-- {
		if s, ok := q.stages[i].(*sorting); ok && s.rows == 0 && !s.whole(q.stages[i+1:]) {
			bounded := *s
			bounded.rows = o.Rows
			next = bounded.start(r, next)
		} else {
			next = q.stages[i].start(r, next)
		}
		if i == q.matched {
			next = r.counting(next)
		}
	}
	r.first = next
	return r
}

func (r *Run) counting(next sink) sink {
	return &counted{run: r, any: r.query.any(), next: next}
}

// Add takes the next event. more says whether another one can change anything; after
// an error the run has failed.
func (r *Run) Add(e *Event) (more bool, err error) {
	r.clear(r.row, e)
	err = r.first.push(r.row)
	switch {
	case r.stopped != nil:
		return false, r.stopped
	case r.over:
		return false, ErrMemory
	}
	if err == errEnough {
		return false, nil
	}
	return err == nil, err
}

// End gives the rest of the answer.
func (r *Run) End() error {
	err := r.first.end()
	switch {
	case r.stopped != nil:
		return r.stopped
	case r.over:
		return ErrMemory
	case err == errEnough:
		return nil
	}
	return err
}

// spend counts what was done for the event at hand, as [search.Regexp] reckons, and
// pauses when that is enough for once.
func (r *Run) spend(cost int) {
	if r.spent += cost; r.spent >= search.Step {
		r.spent = 0
		r.pause()
	}
}

// pause is asked in the midst of an event whether the run shall go on.
func (r *Run) pause() bool {
	if r.stopped == nil && r.opts.Pause != nil {
		r.stopped = r.opts.Pause()
	}
	return r.stopped == nil
}

// Matched is how many events matched.
func (r *Run) Matched() int { return r.matched }

func (r *Run) newRow() *row {
	n := len(r.query.slots)
	return &row{run: r, vals: make([]Value, n), known: make([]bool, n)}
}

// clear makes a row that of an event, or of none.
func (r *Run) clear(w *row, e *Event) {
	clear(w.vals)
	clear(w.known)
	w.event, w.looked, w.at = e, false, 0
	if e != nil {
		r.made, r.unnested = 0, 0
	}
	if e != nil {
		w.at = e.At
	}
}

// hold accounts for bytes that are kept.
func (r *Run) hold(bytes int) error {
	if r.held += bytes; r.held > r.opts.Memory {
		return ErrMemory
	}
	return nil
}

// answer is behind the last stage.
type answer struct{ *Run }

func (a answer) push(w *row) error {
	a.cells = a.cells[:0]
	for _, c := range a.query.columns {
		if s, ok := w.get(c.slot).shown(); ok {
			a.cells = append(a.cells, Cell{c.name, s})
		}
	}
	if err := a.emit(a.cells); err != nil {
		return fmt.Errorf("insights: %w", err)
	}
	return nil
}

func (answer) end() error { return nil }

// finish makes a plan of the commands that were read.
func (p *parser) finish() {
	q := p.q
	q.events = p.stats == 0
	q.columns = p.answers()
	q.stages = planned(q)
	for _, s := range q.stages {
		if f, ok := s.(*filter); ok {
			q.filters = append(q.filters, f.of)
		} else if !passes(s) {
			break
		}
		q.matched++
	}
	keepOnly(q)
}

// answers are the columns of the answer.
func (p *parser) answers() []column {
	list := p.display
	if list == nil {
		if !p.chosen {
			list = []column{{"@timestamp", p.slotOf("@timestamp")}, {"@message", p.slotOf("@message")}}
		}
		list = append(list, p.fields...)
	}
	if p.q.events {
		list = append(list, column{"@ptr", p.q.addSlot("@ptr", ofPtr)})
	}
	var columns []column
	seen := make(map[string]bool)
	for _, c := range list {
		if !seen[c.name] {
			columns = append(columns, c)
		}
		seen[c.name] = true
	}
	return columns
}

// passes says whether a stage lets rows through one by one, whatever came before.
func passes(s stage) bool {
	switch s.(type) {
	case *filter, *compute, *extract:
		return true
	}
	return false
}

// planned is the stages in the order in which they run: sort comes as late as it can,
// which changes no answer and spares the sorting of what a filter drops, and one by
// time not at all where events can be read in that order.
func planned(q *Query) []stage {
	var out []stage
	var keys []key // of sort commands that were put off
	atFirst := true
	flush := func(next stage) {
		if len(keys) == 0 {
			return
		}
		if _, restful := next.(*stats); !restful && !(atFirst && byTime(q, keys)) {
			s := &sorting{keys: keys}
			if l, ok := next.(*limit); ok {
				s.rows = l.n
			}
			out = append(out, s)
		}
		keys = nil
	}
	for _, s := range q.stages {
		switch s := s.(type) {
		case *sorting:
			// The last one says most; what is equal stays as it was.
			keys = append(append([]key{}, s.keys...), keys...)
			continue
		case *filter, *compute, *extract:
		default:
			flush(s)
			atFirst = false
		}
		out = append(out, s)
	}
	flush(nil)
	return out
}

// byTime says whether keys are the order in which events come, and has them come so.
func byTime(q *Query, keys []key) bool {
	f, ok := keys[0].of.(*field)
	if !ok || q.slots[f.slot].source != ofTimestamp {
		return false
	}
	// Two events of one millisecond are in order by whatever keys are left.
	if len(keys) > 1 {
		return false
	}
	q.oldestFirst = !keys[0].descending
	return true
}

// whole says whether more rows than the answer has are needed of a sort: what is
// behind it leaves some out.
func (s *sorting) whole(behind []stage) bool {
	for _, b := range behind {
		if _, ok := b.(*compute); !ok {
			if _, ok := b.(*extract); !ok {
				return true
			}
		}
	}
	return false
}

// any says whether any events that match will do.
func (q *Query) any() bool {
	if q.matched < len(q.stages) {
		l, ok := q.stages[q.matched].(*limit)
		return ok && l.any
	}
	return false
}

// keepOnly notes which slots are looked at behind each sort.
func keepOnly(q *Query) {
	for i, s := range q.stages {
		if s, ok := s.(*sorting); ok {
			u := used{make(map[int]bool)}
			for _, behind := range q.stages[i+1:] {
				u.stage(behind)
			}
			for _, c := range q.columns {
				u.slots[c.slot] = true
			}
			for slot := range q.slots {
				if u.slots[slot] {
					s.keep = append(s.keep, slot)
				}
			}
		}
	}
}

// used gathers the slots that stages look at.
type used struct{ slots map[int]bool }

func (u used) stage(s stage) {
	switch s := s.(type) {
	case *compute:
		for _, a := range s.set {
			u.expr(a.of)
		}
	case *filter:
		u.expr(s.of)
	case *extract:
		u.slots[s.from] = true
	case *unnest:
		u.expr(s.of)
	case *dedup:
		for _, slot := range s.by {
			u.slots[slot] = true
		}
	case *sorting:
		for _, k := range s.keys {
			u.expr(k.of)
		}
	case *stats:
		for _, b := range s.by {
			u.expr(b.of)
		}
		for _, a := range s.aggregates {
			if a.of != nil {
				u.expr(a.of)
			}
		}
	}
}

func (u used) expr(e expr) {
	switch e := e.(type) {
	case *field:
		u.slots[e.slot] = true
	case *arithmetic:
		u.expr(e.left)
		u.expr(e.right)
	case *compare:
		u.expr(e.left)
		u.expr(e.right)
	case *logic:
		u.expr(e.left)
		u.expr(e.right)
	case *not:
		u.expr(e.of)
	case *like:
		u.expr(e.of)
	case *among:
		u.expr(e.of)
	case *bucket:
		u.expr(e.of)
	case *call:
		for _, a := range e.args {
			u.expr(a)
		}
	}
}
