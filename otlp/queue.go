package otlp

import "sync"

// queue holds what waits for a collector. No party has more than its part of it, so
// that one who floods it costs nobody else a record.
type queue[T any] struct {
	most    int
	filled  chan struct{} // has a token when there is something
	crowded chan struct{} // has a token when there is a batch

	mu sync.Mutex
	// Guarded by mu.
	list    []entry[T]
	bytes   int
	parties map[string]int // bytes of each
	dropped int64
}

type entry[T any] struct {
	party string
	size  int
	what  T
}

func newQueue[T any](most int) *queue[T] {
	return &queue[T]{most: most, filled: make(chan struct{}, 1), crowded: make(chan struct{}, 1), parties: make(map[string]int)}
}

// room says whether there is some, and counts what there is none for.
func (q *queue[T]) room(party string, size int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.fits(party, size)
}

// fits is room. Preconditions: q.mu is held.
func (q *queue[T]) fits(party string, size int) bool {
	if q.bytes+size > q.most || q.parties[party]+size > q.most/tenantPart {
		q.dropped++
		return false
	}
	return true
}

// put adds to the queue, if there is room.
func (q *queue[T]) put(party string, size int, what T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.fits(party, size) {
		return
	}
	q.list = append(q.list, entry[T]{party, size, what})
	q.bytes += size
	q.parties[party] += size
	if len(q.list) == 1 {
		token(q.filled)
	}
	if q.bytes >= batchBytes {
		token(q.crowded)
	}
}

func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// take removes about so many bytes, what is oldest first.
func (q *queue[T]) take(bytes int) []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []T
	n := 0
	for ; n < len(q.list) && bytes > 0; n++ {
		e := q.list[n]
		bytes -= e.size
		q.count(e)
		out = append(out, e.what)
	}
	clear(q.list[:n])
	if q.list = q.list[n:]; len(q.list) == 0 {
		q.list = nil
		select { // of what has gone
		case <-q.crowded:
		default:
		}
	}
	return out
}

// count takes an entry out of the sums. Preconditions: q.mu is held.
func (q *queue[T]) count(e entry[T]) {
	q.bytes -= e.size
	if q.parties[e.party] -= e.size; q.parties[e.party] == 0 {
		delete(q.parties, e.party)
	}
}

// forget drops what a party has.
func (q *queue[T]) forget(party string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	kept := make([]entry[T], 0, len(q.list))
	for _, e := range q.list {
		if e.party == party {
			q.count(e)
			continue
		}
		kept = append(kept, e)
	}
	q.list = kept
}

func (q *queue[T]) stats() (bytes, dropped int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return int64(q.bytes), q.dropped
}
