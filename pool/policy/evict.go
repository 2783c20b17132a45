package policy

import (
	"cmp"
	"container/heap"
	"slices"
	"strings"
)

// VictimsFor picks environments to end until at least need bytes come free, by
// their places in idle. It answers with all of them if that is not enough.
//
// What is worth least for its memory goes first: the time that its caller would
// wait for another, by the hope that there will be one to wait, for each byte
// (GreedyDual-Size-Frequency with a forecast in the place of the frequency), and
// that for each byte that its holder holds, as the plan leaves it: of what
// promises the same, the heaviest tenant's goes, and one that holds ten times as
// much as another keeps only what promises ten times as much (proportional
// fairness). Ties go to the heavier holder, the least recently used, then by ID.
//
// That the heaviest gives first whatever its environments promise was tried on a
// trace (test/replay): those that are called all the time are ended between two
// calls, and there are ten times as many cold starts in all.
func VictimsFor(idle []Idle, need int64) []int {
	return victims(idle, func(freed int64, _ int) bool { return freed < need })
}

// VictimsOf picks n environments to end, or all if there are no more, in the order
// of [VictimsFor].
func VictimsOf(idle []Idle, n int) []int {
	return victims(idle, func(_ int64, taken int) bool { return taken < n })
}

// victims picks while more asks for more, given the bytes and the number so far.
func victims(idle []Idle, more func(freed int64, n int) bool) []int {
	var out []int
	freed := int64(0)
	if !more(freed, 0) {
		return out
	}
	q := newHolders(idle)
	for len(q) > 0 && more(freed, len(out)) {
		h := q[0]
		i := h.least()
		out = append(out, i)
		freed += idle[i].Memory
		if h.held -= idle[i].Memory; len(h.places) == 0 {
			heap.Pop(&q)
		} else {
			heap.Fix(&q, 0)
		}
	}
	return out
}

// worth is what it pays to keep e, for each byte.
func (e *Idle) worth() float64 {
	return e.Hope * e.Restart.Seconds() / float64(max(1, e.Memory))
}

// cheaper orders by what goes first.
func cheaper(a, b *Idle) int {
	return cmp.Or(cmp.Compare(a.worth(), b.worth()), a.Since.Compare(b.Since), strings.Compare(a.ID, b.ID))
}

// holding is what one holder has idle.
type holding struct {
	idle   []Idle
	places []int // of its own in idle, cheapest last
	held   int64
}

// least takes the cheapest.
func (h *holding) least() int {
	i := h.places[len(h.places)-1]
	h.places = h.places[:len(h.places)-1]
	return i
}

// holders is a heap, the next to give first.
type holders []*holding

func newHolders(idle []Idle) holders {
	by := make(map[string]*holding)
	var q holders
	for i := range idle {
		h := by[idle[i].Holder]
		if h == nil {
			h = &holding{idle: idle, held: idle[i].Held}
			by[idle[i].Holder] = h
			q = append(q, h)
		}
		h.places = append(h.places, i)
	}
	for _, h := range q {
		slices.SortFunc(h.places, func(a, b int) int { return cheaper(&idle[b], &idle[a]) })
	}
	heap.Init(&q)
	return q
}

func (q holders) Len() int { return len(q) }
func (q holders) Less(i, j int) bool {
	a, b := q[i], q[j]
	x, y := &a.idle[a.places[len(a.places)-1]], &b.idle[b.places[len(b.places)-1]]
	return cmp.Or(cmp.Compare(x.worth()/float64(max(1, a.held)), y.worth()/float64(max(1, b.held))),
		cmp.Compare(b.held, a.held), cheaper(x, y)) < 0
}
func (q holders) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *holders) Push(x any)   { *q = append(*q, x.(*holding)) }
func (q *holders) Pop() any {
	old := *q
	h := old[len(old)-1]
	*q = old[:len(old)-1]
	return h
}
