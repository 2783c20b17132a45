package supervise

import (
	"sync"
	"time"
)

// Limits of what waits here, in the function's own memory.
const (
	// maxBacklog and maxBacklogItems bound what is kept for who subscribes later,
	// while Init lasts.
	maxBacklog      = 256 << 10
	maxBacklogItems = 1000
	// maxFeeds is more than extensions can have.
	maxFeeds = 20
)

// feeds are the subscriptions, and what waits for those that are still to come.
type feeds struct {
	mu sync.Mutex
	// The fields below are guarded by mu.
	all     []*feed
	backlog []record
	held    int
	settled bool
}

type record struct {
	kinds, forms byte
	json         []byte
}

func (f *feeds) subscribe(s Subscription) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.settled || len(f.all) == maxFeeds {
		return // the node asks for no such thing
	}
	one := newFeed(s, deliverTo(s))
	for _, r := range f.backlog {
		one.offer(r)
	}
	f.all = append(f.all, one)
	go one.run()
}

func (f *feeds) settle() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settled, f.backlog = true, nil
}

func (f *feeds) record(kinds, forms byte, json []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := record{kinds, forms, json}
	for _, one := range f.all {
		one.offer(r)
	}
	if !f.settled && f.held+len(json) <= maxBacklog && len(f.backlog) < maxBacklogItems {
		f.backlog = append(f.backlog, r)
		f.held += len(json)
	}
}

func (f *feeds) flush() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, one := range f.all {
		one.flush()
	}
}

// feed is one subscription: what waits to be delivered, at most twice what one
// delivery may take, and a goroutine that delivers it, in order.
type feed struct {
	sub     Subscription
	deliver func(batch [][]byte) error
	wake    chan struct{} // has a token when there is something to look at

	mu sync.Mutex
	// The fields below are guarded by mu.
	queue                 [][]byte
	bytes                 int
	since                 time.Time // when the oldest came
	flushed               int       // so many go at once
	dropped, droppedBytes int
}

func newFeed(s Subscription, deliver func([][]byte) error) *feed {
	return &feed{sub: s, deliver: deliver, wake: make(chan struct{}, 1)}
}

// offer takes a record if it is for this subscription and there is room.
func (f *feed) offer(r record) {
	if r.kinds&f.sub.Kinds == 0 || r.forms&f.sub.Form == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	// One that is larger than all the room there is goes alone.
	if len(f.queue) > 0 && (f.bytes+len(r.json) > 2*f.sub.MaxBytes || len(f.queue) >= 2*f.sub.MaxItems) {
		f.dropped++
		f.droppedBytes += len(r.json)
		return
	}
	if len(f.queue) == 0 {
		f.since = time.Now()
	}
	f.queue = append(f.queue, r.json)
	f.bytes += len(r.json)
	if f.full() || len(f.queue) == 1 {
		f.look()
	}
}

func (f *feed) look() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *feed) flush() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.flushed = len(f.queue)
	f.look()
}

// full tells whether a delivery need not wait for more.
//
// Preconditions: f.mu is held.
func (f *feed) full() bool {
	return len(f.queue) >= f.sub.MaxItems || f.bytes >= f.sub.MaxBytes
}

// batch is what is delivered at once. Its last record may say that so many are lost.
type batch struct {
	records     [][]byte
	lost, bytes int
}

// next takes what is to be delivered now, or says for how long to wait.
func (f *feed) next(now time.Time) (b batch, wait time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.queue) == 0 {
		return b, time.Hour
	}
	wait = f.since.Add(time.Duration(f.sub.TimeoutMs) * time.Millisecond).Sub(now)
	if !f.full() && f.flushed == 0 && wait > 0 {
		return b, wait
	}
	n, size := 0, 0
	for n < len(f.queue) && n < f.sub.MaxItems && (n == 0 || size+len(f.queue[n]) <= f.sub.MaxBytes) {
		size += len(f.queue[n])
		n++
	}
	b.records = append(b.records, f.queue[:n]...)
	f.queue = append([][]byte(nil), f.queue[n:]...) // not to hold what is gone
	f.bytes -= size
	f.flushed = max(0, f.flushed-n)
	f.since = now
	if f.dropped > 0 && f.sub.Kinds&KindPlatform != 0 {
		b.lost, b.bytes = f.dropped, f.droppedBytes
		b.records = append(b.records, droppedRecord(now, b.lost, b.bytes))
		f.dropped, f.droppedBytes = 0, 0
	}
	return b, 0
}

// How often a delivery is tried, and how long is waited in between. What an
// extension will not take by then is lost to it, and it is told.
const (
	tries    = 3
	tryAgain = 100 * time.Millisecond
)

func (f *feed) run() {
	for {
		b, wait := f.next(time.Now())
		if b.records == nil {
			t := time.NewTimer(wait)
			select {
			case <-f.wake:
			case <-t.C:
			}
			t.Stop()
			continue
		}
		f.try(b)
	}
}

func (f *feed) try(b batch) {
	for i := range tries {
		if i > 0 {
			time.Sleep(tryAgain << i)
		}
		if f.deliver(b.records) == nil {
			return
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if b.lost > 0 {
		b.records = b.records[:len(b.records)-1]
	}
	f.dropped += len(b.records) + b.lost
	f.droppedBytes += b.bytes
	for _, r := range b.records {
		f.droppedBytes += len(r)
	}
}
