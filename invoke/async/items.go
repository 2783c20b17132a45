package async

import "github.com/alcove-run/alcove/invoke/async/spool"

// stage is where an item stands.
type stage uint8

const (
	stageFree    stage = iota
	stageReady         // in its lane's list
	stageDelayed       // in the timers
	stageRunning       // its function has it, or is about to
	stageOwed          // its result is to be delivered: in an outlet's list
	stageSending       // it is being delivered
	stageDead          // a dead letter, in its lane's list of them
	stageKey           // no event: the result of a call with an idempotency key
)

// none is no item.
const none = ^uint32(0)

// item is the index entry of one event, or of one idempotency key. There may be
// millions: it holds no pointer, so that the collector of garbage does not look at
// them.
type item struct {
	seq      uint64 // its name in the records
	accepted int64  // milliseconds of the queue's clock; of a key, when it was made
	due      int64  // when it leaves stageDelayed, or expires
	place    spool.Place
	next     uint32 // in whichever list it is, or of the free ones
	lane     uint32
	outlet   uint32
	starts   uint16 // runs that were begun
	failures uint8  // those that the function failed
	trouble  uint8  // times in a row that the platform failed
	stage    stage
}

// chunk is how many items are made at once: a table that grows copies nothing.
const chunk = 1 << 12

// table has all items.
type table struct {
	chunks [][]item
	free   uint32 // first of the free list
	used   int
}

func newTable() table { return table{free: none} }

func (t *table) at(i uint32) *item { return &t.chunks[i/chunk][i%chunk] }

// make gives an item that is zero but for its lists.
func (t *table) make() uint32 {
	if t.free == none {
		base := uint32(len(t.chunks) * chunk)
		t.chunks = append(t.chunks, make([]item, chunk))
		for i := chunk - 1; i >= 0; i-- {
			t.at(base + uint32(i)).next = t.free
			t.free = base + uint32(i)
		}
	}
	i := t.free
	it := t.at(i)
	t.free = it.next
	*it = item{next: none, lane: none, outlet: none}
	t.used++
	return i
}

// release gives an item back.
func (t *table) release(i uint32) {
	*t.at(i) = item{next: t.free}
	t.free = i
	t.used--
}

// len is how many places there are, free ones included.
func (t *table) len() uint32 { return uint32(len(t.chunks) * chunk) }

// list is a queue of items, first in first out.
type list struct {
	head, tail uint32
	n          int
}

func newList() list { return list{head: none, tail: none} }

func (l *list) push(t *table, i uint32) {
	t.at(i).next = none
	if l.tail == none {
		l.head = i
	} else {
		t.at(l.tail).next = i
	}
	l.tail = i
	l.n++
}

// unshift puts an item before all others.
func (l *list) unshift(t *table, i uint32) {
	t.at(i).next = l.head
	l.head = i
	if l.tail == none {
		l.tail = i
	}
	l.n++
}

func (l *list) shift(t *table) uint32 {
	i := l.head
	if i == none {
		return none
	}
	l.head = t.at(i).next
	if l.head == none {
		l.tail = none
	}
	t.at(i).next = none
	l.n--
	return i
}

// timer is an item that waits until a moment. If the item has become something
// else meanwhile, its seq or its due differs.
type timer struct {
	due int64
	seq uint64
	i   uint32
}

// timers is a heap, the soonest first.
type timers []timer

func (h *timers) push(t timer) {
	*h = append(*h, t)
	s := *h
	for i := len(s) - 1; i > 0; {
		p := (i - 1) / 2
		if s[p].due <= s[i].due {
			break
		}
		s[p], s[i] = s[i], s[p]
		i = p
	}
}

func (h *timers) pop() timer {
	s := *h
	top := s[0]
	last := len(s) - 1
	s[0] = s[last]
	s = s[:last]
	*h = s
	for i := 0; ; {
		c := 2*i + 1
		if c >= last {
			break
		}
		if c+1 < last && s[c+1].due < s[c].due {
			c++
		}
		if s[i].due <= s[c].due {
			break
		}
		s[i], s[c] = s[c], s[i]
		i = c
	}
	return top
}
