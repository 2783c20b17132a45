package logs

import (
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/alcove-run/alcove"
)

// Line is an event as [Store.Lines] gives it.
type Line struct {
	Stream       string
	Tenant       alcove.Tenant // of the environment that wrote it, empty if it had none
	At, Ingested int64         // Unix milliseconds
	// Message stays as it is; who keeps it keeps all of the chunk that it came in.
	Message []byte

	place mark
}

// Cursor is the place of the event, and its id.
func (l *Line) Cursor() Cursor { return l.place.cursor() }

// Lines gives every event that a query asks for, of those appended before, in the
// query's order and without pages: Limit and Bytes have no meaning here. What is
// held in memory does not grow with how many there are. An error is the last that
// is given.
func (s *Store) Lines(ctx context.Context, q Query) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		if err := s.Flush(ctx); err != nil {
			yield(Line{}, err)
			return
		}
		last := s.committed.Load() // what comes meanwhile is not waited for
		l := lines{store: s, ctx: ctx, yield: yield}
		for {
			err := l.once(q, last)
			if errors.Is(err, errReplaced) {
				if l.seen {
					q.After = l.reached.cursor()
				}
				continue
			}
			if err != nil && err != errStop {
				yield(Line{}, err)
			}
			return
		}
	}
}

// lines is one walk over a query's events.
type lines struct {
	store *Store
	ctx   context.Context
	yield func(Line, error) bool

	seen    bool // an event was given, and reached is its place
	reached mark

	stream int64 // the last event's, and its name
	name   string
}

func (l *lines) once(q Query, last int64) error {
	pl, err := l.store.plan(l.ctx, q, true)
	if err != nil {
		return err
	}
	if pl.none || pl.win.before.at < 0 {
		return nil
	}
	pl.last = last
	days := l.store.shards.acquire(dayOf(max(pl.win.after.at, 0)), dayOf(pl.win.before.at))
	defer func() {
		for _, sh := range days {
			sh.release()
		}
	}()
	if q.NewestFirst {
		slices.Reverse(days)
	}
	visit := func(c *chunk, m mark, message []byte) error {
		if q.Match != nil && !q.Match(message) {
			return l.ctx.Err()
		}
		return l.give(c, m, message)
	}
	for _, sh := range days {
		if err := l.store.scanDay(l.ctx, sh, pl, func(*chunk) {}, visit); err != nil {
			return err
		}
	}
	return nil
}

func (l *lines) give(c *chunk, m mark, message []byte) error {
	if l.stream != c.stream || l.name == "" {
		name, err := l.store.names.of(l.ctx, l.store.index, c.stream)
		if err != nil {
			return err
		}
		l.stream, l.name = c.stream, name
	}
	l.reached, l.seen = m, true
	if !l.yield(Line{Stream: l.name, Tenant: c.tenant, At: m.at, Ingested: m.id / 1000, Message: message, place: m}, nil) {
		return errStop
	}
	return l.ctx.Err()
}
