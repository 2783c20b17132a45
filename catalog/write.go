package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"sync"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/store"
)

// conflicts is how often a change is made again because its function changed
// behind this process's back.
const conflicts = 5

// edit changes a function's record by fn, which gets a copy and may be called
// more than once, and returns once the view has what it wrote. The caller holds
// the function's lock.
func (c *Catalog) edit(ctx context.Context, name string, fn func(e *entry, r *record) error) error {
	ctx, cancel := c.writing(ctx)
	defer cancel()
	for try := 0; ; try++ {
		e, err := c.entryOf(name)
		if err != nil {
			return err
		}
		next := *e.record
		if err := fn(e, &next); err != nil {
			return err
		}
		b, err := json.Marshal(&next)
		if err != nil {
			return fault("write of "+name, err)
		}
		revision, err := c.bucket.Update(ctx, functionKey(name), b, e.revision)
		switch {
		case err == nil:
			return c.awaitFunction(ctx, name, revision)
		case errors.Is(err, store.ErrConflict) && try < conflicts:
			// The view is behind, or another node wrote.
			if err := c.waiting.wait(ctx, c, func() bool {
				now := c.view.Load().functions[name]
				return now == nil || now.revision != e.revision
			}); err != nil {
				return fault("write of "+name, err)
			}
		default:
			return fault("write of "+name, err)
		}
	}
}

// awaitFunction waits until the view has the function at that revision or later.
func (c *Catalog) awaitFunction(ctx context.Context, name string, revision uint64) error {
	err := c.waiting.wait(ctx, c, func() bool {
		e := c.view.Load().functions[name]
		return e != nil && e.revision >= revision
	})
	if err != nil {
		return fault("reading "+name+" back", err)
	}
	return nil
}

// putVersion writes the record of a version that the function's counter does not
// include yet, over whatever a crash left there.
func (c *Catalog) putVersion(ctx context.Context, v *alcove.Version) error {
	ctx, cancel := c.writing(ctx)
	defer cancel()
	b, err := json.Marshal(v)
	if err == nil {
		_, err = c.bucket.Put(ctx, versionKey(v.FunctionID, v.Number), b)
	}
	if err != nil {
		return fault("write of "+v.Name+":"+v.Number, err)
	}
	return nil
}

// waiters are goroutines that wait for the view to become what they wrote.
type waiters struct {
	mu   sync.Mutex
	list map[*waiter]bool // guarded by mu
}

type waiter struct {
	done  func() bool
	ready chan struct{}
}

// wait returns when done says so; it is asked now and after each change.
func (w *waiters) wait(ctx context.Context, c *Catalog, done func() bool) error {
	one := &waiter{done: done, ready: make(chan struct{})}
	w.mu.Lock()
	if done() {
		w.mu.Unlock()
		return nil
	}
	if w.list == nil {
		w.list = make(map[*waiter]bool)
	}
	w.list[one] = true
	w.mu.Unlock()
	select {
	case <-one.ready:
		return nil
	case <-ctx.Done():
	case <-c.ctx.Done():
	}
	w.mu.Lock()
	delete(w.list, one)
	w.mu.Unlock()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return store.ErrClosed
}

// advance asks every waiter whether it has waited long enough.
func (w *waiters) advance() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for one := range w.list {
		if one.done() {
			delete(w.list, one)
			close(one.ready)
		}
	}
}
