// Package turns shares some processors between parties, a slice of time to each in
// turn: who has much to do waits for itself alone, however many goroutines it has.
// Work that is in turns says now and then that it could pause.
package turns

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Slice is how long a turn lasts while others wait.
const Slice = 10 * time.Millisecond

// Turns are the processors. Methods are for any number of goroutines.
type Turns struct {
	mu      sync.Mutex
	free    int
	waiting map[string][]*wait // of each party that waits, in the order in which they came
	next    []string           // the parties that wait, in the order of their turns
}

// wait is a goroutine that waits.
type wait struct {
	party string
	ready chan struct{} // closed when it has a processor
}

// New makes turns on so many processors.
func New(processors int) *Turns {
	return &Turns{free: processors, waiting: make(map[string][]*wait)}
}

// Turn is a goroutine's part. Its methods are for that goroutine.
type Turn struct {
	of    *Turns
	party string
	held  bool
	since time.Time
}

// Begin waits for a processor. Its error is the context's.
func (t *Turns) Begin(ctx context.Context, party string) (*Turn, error) {
	turn := &Turn{of: t, party: party}
	return turn, turn.begin(ctx)
}

func (t *Turn) begin(ctx context.Context) error {
	w := t.of.take(t.party)
	if w != nil {
		select {
		case <-w.ready:
		case <-ctx.Done():
			if t.of.leave(w) {
				return context.Cause(ctx)
			}
		}
	}
	t.held, t.since = true, time.Now()
	return nil
}

// Due says whether the turn has lasted for its slice. It is cheap to ask.
func (t *Turn) Due() bool { return t.held && time.Since(t.since) >= Slice }

// Pause lets others have the processor if the turn is due, and gives the context's
// error if that has ended meanwhile; the turn has ended then.
func (t *Turn) Pause(ctx context.Context) error {
	if !t.Due() {
		return nil
	}
	t.End()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return t.begin(ctx)
}

// End gives the processor back, if the turn has one.
func (t *Turn) End() {
	if t.held {
		t.held = false
		t.of.release()
	}
}

// Waiting is how many goroutines of a party wait.
func (t *Turns) Waiting(party string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.waiting[party])
}

// take takes a processor that is free, or says how to wait for one.
func (t *Turns) take(party string) *wait {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.free > 0 { // so nobody waits
		t.free--
		return nil
	}
	w := &wait{party, make(chan struct{})}
	if len(t.waiting[party]) == 0 {
		t.next = append(t.next, party)
	}
	t.waiting[party] = append(t.waiting[party], w)
	return w
}

// leave ends a wait, and says whether it was one: it may have a processor by now.
func (t *Turns) leave(w *wait) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.waiting[w.party], w)
	if i < 0 {
		return false
	}
	if t.drop(w.party, i) == 0 {
		t.next = slices.DeleteFunc(t.next, func(p string) bool { return p == w.party })
	}
	return true
}

// drop takes a wait out of its party's, and says how many are left. t.mu is held.
func (t *Turns) drop(party string, i int) int {
	list := slices.Delete(t.waiting[party], i, i+1)
	if len(list) == 0 {
		delete(t.waiting, party)
		return 0
	}
	t.waiting[party] = list
	return len(list)
}

// release gives a processor to the party whose turn it is.
func (t *Turns) release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.next) == 0 {
		t.free++
		return
	}
	party := t.next[0]
	t.next = t.next[1:]
	w := t.waiting[party][0]
	if t.drop(party, 0) > 0 {
		t.next = append(t.next, party)
	}
	close(w.ready)
}
