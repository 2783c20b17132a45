package store

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"
)

// EventKind says what an [Event] reports.
type EventKind int

// The kinds of events. A watch is one or more rounds, each of which begins with
// Begin, gives every key that is there in the order of their revisions, then
// Current, then each change as it happens. A key that a round did not give
// before Current is not there, whatever an earlier round said.
const (
	Begin EventKind = iota
	Put
	Deleted
	Current
)

// Event is what a watch reports. Key and Revision are set for Put and Deleted,
// Value for Put.
type Event struct {
	Kind EventKind
	Entry
}

// Watch calls fn with what is in the bucket and then with every change to it, in
// order, until the context is done or the store closes; then it returns the
// reason. fn is called by one goroutine at a time and holds up the watch while
// it runs, not the writers. Another round begins when the engine was replaced.
func (b *Bucket) Watch(ctx context.Context, fn func(Event)) error {
	b.s.mu.Lock()
	if b.s.ctx.Err() != nil {
		b.s.mu.Unlock()
		return ErrClosed
	}
	b.s.wg.Add(1)
	b.s.mu.Unlock()
	defer b.s.wg.Done()
	for {
		eng, err := b.s.engine(ctx)
		if err != nil {
			return err
		}
		err = b.round(ctx, eng, fn)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if eng.ctx.Err() == nil {
			// The round ended though the engine says that it works.
			eng.fail(err)
		}
	}
}

func (b *Bucket) round(parent context.Context, eng *engine, fn func(Event)) error {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	defer context.AfterFunc(b.s.ctx, cancel)()
	defer context.AfterFunc(eng.ctx, cancel)()
	kv, err := eng.bucket(ctx, b.name)
	if err != nil {
		return err
	}
	w, err := kv.WatchAll(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = w.Stop() }()
	fn(Event{Kind: Begin})
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e, ok := <-w.Updates():
			if !ok {
				return ErrUnavailable
			}
			if e == nil {
				fn(Event{Kind: Current})
				continue
			}
			key, err := decodeKey(e.Key())
			if err != nil {
				b.s.log.Warn("storage has a key that this program did not write", "bucket", b.name, "key", e.Key())
				continue
			}
			ev := Event{Kind: Deleted, Entry: Entry{Key: key, Revision: e.Revision()}}
			if e.Operation() == jetstream.KeyValuePut {
				ev.Kind, ev.Value = Put, e.Value()
			}
			fn(ev)
		}
	}
}
