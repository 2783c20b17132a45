package logs

import (
	"bytes"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/alcove-run/alcove"
)

// MaxMessage bounds an event's message, in bytes; longer ones are cut off.
const MaxMessage = 256<<10 + 1

const (
	// eventCost is what an event counts for in the queue beside its message.
	eventCost = 96
	// tenantShare is the part of the queue that one tenant may fill while the
	// queue is less than half full; beyond that, tenants share it evenly.
	tenantShare = 4
	// keepArena is how much memory the queue keeps when it is empty.
	keepArena = 256 << 10
	// Events whose time is further off than this are given the time of their
	// arrival: functions name the time of framed records themselves.
	maxPast   = time.Hour
	maxFuture = time.Minute
	// maxDrops bounds the streams whose losses are recorded one by one.
	maxDrops = 4096
)

// Writer appends to one stream. It is cheap, and for any number of goroutines.
type Writer struct {
	store         *Store
	group, stream string

	// For the writing goroutine only: the ids in the index, valid while
	// generation is the store's, and the run that events are gathered in.
	groupID, streamID int64
	generation        uint64
	run               *run
}

// Stream gives a writer of the stream. Group and stream are created when the
// first event is stored.
func (s *Store) Stream(group, stream string) *Writer {
	return &Writer{store: s, group: group, stream: stream}
}

// event is one log event on its way to the disk.
type event struct {
	w       *Writer
	tenant  alcove.Tenant
	at      int64 // Unix milliseconds
	offset  int   // of message in the arena, while queued
	size    int
	message []byte
	record  bool // a platform.logsDropped record of the store's own
}

// loss counts events.
type loss struct{ records, bytes int64 }

func (l *loss) add(more loss) {
	l.records += more.records
	l.bytes += more.bytes
}

// lossKey is whose events were lost, and where.
type lossKey struct {
	group, stream string
	tenant        alcove.Tenant
}

func (e *event) lossKey() lossKey { return lossKey{e.w.group, e.w.stream, e.tenant} }

// queue holds events for the writing goroutine.
type queue struct {
	limit int64
	wake  chan struct{} // one element while there is something to do

	mu      sync.Mutex
	events  []event
	arena   []byte // the messages
	bytes   int64
	holders map[string]int64 // bytes by [holder]
	losses  map[lossKey]*loss
	dropped loss
	busy    bool // a batch is being stored
	closed  bool
}

// holder is whose part of the queue an event takes: its tenant's, or its
// group's for functions without tenants. Tenant ids have no NUL.
func holder(e *Writer, tenant alcove.Tenant) string {
	if tenant != "" {
		return string(tenant)
	}
	return "\x00" + e.group
}

// Append takes an event: message is copied, and stored as it is, invalid UTF-8
// aside. It never blocks on the disk and never fails; what is beyond its
// tenant's share of the queue is dropped, and its stream gets a
// platform.logsDropped record.
//
// tenant is the one that the environment is bound to, empty before it is.
func (w *Writer) Append(tenant alcove.Tenant, at time.Time, message []byte) {
	if len(message) > MaxMessage {
		message = message[:MaxMessage]
	}
	if !utf8.Valid(message) {
		message = bytes.ToValidUTF8(message, []byte("\uFFFD"))
	}
	now := w.store.now()
	if at.Before(now.Add(-maxPast)) || at.After(now.Add(maxFuture)) {
		at = now
	}
	w.store.queue.put(event{w: w, tenant: tenant, at: at.UnixMilli(), size: len(message)}, message)
}

func (q *queue) put(e event, message []byte) {
	cost := int64(len(message) + eventCost)
	who := holder(e.w, e.tenant)
	q.mu.Lock()
	defer q.mu.Unlock()
	held := q.holders[who]
	if q.closed || held+cost > q.share(held) {
		l := loss{1, int64(len(message))}
		q.dropped.add(l)
		if q.lose(e.lossKey(), l); len(q.events) == 0 {
			q.signal()
		}
		return
	}
	if q.holders == nil {
		q.holders = make(map[string]int64)
	}
	q.holders[who] = held + cost
	crowded := q.crowded()
	q.bytes += cost
	e.offset = len(q.arena)
	q.arena = append(q.arena, message...)
	q.events = append(q.events, e)
	if len(q.events) == 1 || q.crowded() && !crowded {
		q.signal()
	}
}

// share is how many bytes a holder may have in the queue. Preconditions: q.mu
// is held.
func (q *queue) share(held int64) int64 {
	if q.bytes < q.limit/2 {
		return q.limit / tenantShare
	}
	n := int64(len(q.holders))
	if held == 0 {
		n++
	}
	return min(q.limit/tenantShare, q.limit/n)
}

// lose notes a loss to be recorded in its stream with the next batch.
// Preconditions: q.mu is held.
func (q *queue) lose(key lossKey, more loss) {
	if q.closed {
		return
	}
	l := q.losses[key]
	if l == nil {
		if len(q.losses) >= maxDrops {
			return
		}
		if q.losses == nil {
			q.losses = make(map[lossKey]*loss)
		}
		l = new(loss)
		q.losses[key] = l
	}
	l.add(more)
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// idle says whether nothing waits and nothing is being stored.
func (q *queue) idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.events) == 0 && len(q.losses) == 0 && !q.busy
}

// crowded says whether so much waits that there is no sense in waiting for
// more. Preconditions: q.mu is held.
func (q *queue) crowded() bool { return q.bytes > q.limit/8 }

// full is crowded for those who do not hold the lock.
func (q *queue) full() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.crowded()
}

// take empties the queue into spare, whose memory it uses next. The caller
// calls stored when the events are dealt with.
func (q *queue) take(spare *taken) {
	q.mu.Lock()
	defer q.mu.Unlock()
	spare.events, q.events = q.events, spare.events[:0]
	spare.arena, q.arena = q.arena, spare.arena[:0]
	spare.losses, q.losses = q.losses, nil
	q.holders = nil
	q.bytes = 0
	q.busy = true
	for i := range spare.events {
		e := &spare.events[i]
		e.message = spare.arena[e.offset : e.offset+e.size : e.offset+e.size]
	}
}

func (q *queue) stored() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.busy = false
}

// taken is what one batch is made of.
type taken struct {
	events []event
	arena  []byte
	losses map[lossKey]*loss
}

// release forgets the events and gives up memory beyond what is worth keeping.
func (t *taken) release() {
	clear(t.events)
	t.events, t.losses = t.events[:0], nil
	if cap(t.arena) > keepArena {
		t.arena = nil
	}
	if cap(t.events)*eventCost > keepArena {
		t.events = nil
	}
}
