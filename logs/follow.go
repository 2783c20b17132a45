package logs

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
)

// followBatch bounds how many chunks a follower reads at once.
const followBatch = pageChunks

// Follow calls fn for each event that the query asks for, first those stored
// already, in the order of their times, then each as it is stored, until ctx
// ends, the store is closed or fn fails; it gives the reason. Every event is
// given once. The group, and streams named in the query, need not exist yet.
//
// Limit bounds the events stored already to the last so many. NewestFirst,
// Until and Bytes have no meaning here.
func (s *Store) Follow(ctx context.Context, q Query, fn func(Event) error) error {
	more := make(chan struct{}, 1)
	s.mu.Lock()
	s.followers[more] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.followers, more)
		s.mu.Unlock()
	}()
	if err := s.Flush(ctx); err != nil {
		return err
	}
	reached := s.committed.Load()
	if err := s.history(ctx, q, reached, fn); err != nil {
		return err
	}
	for {
		select {
		case <-more:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.stopped:
			return ErrClosed
		}
		upTo := s.committed.Load()
		if err := s.fresh(ctx, q, reached, upTo, fn); err != nil {
			return err
		}
		reached = upTo
	}
}

// history gives what was stored up to an event number.
func (s *Store) history(ctx context.Context, q Query, upTo int64, fn func(Event) error) error {
	tail := q.Limit
	if tail > 0 {
		q.NewestFirst = true
	}
	var last []Event
	for {
		page, err := s.query(ctx, q, upTo, false)
		if errors.Is(err, ErrNoGroup) {
			return nil
		}
		if err != nil {
			return err
		}
		if tail > 0 {
			last = append(last, page.Events...)
			q.Limit = tail - len(last)
		} else {
			for _, e := range page.Events {
				if err := fn(e); err != nil {
					return err
				}
			}
		}
		if page.Next == "" || tail > 0 && q.Limit <= 0 {
			break
		}
		q.After = page.Next
	}
	for _, e := range slices.Backward(last) {
		if err := fn(e); err != nil {
			return err
		}
	}
	return nil
}

// fresh gives what was stored with numbers after from, up to upTo.
func (s *Store) fresh(ctx context.Context, q Query, from, upTo int64, fn func(Event) error) error {
	q.After = "" // what is stored late may have an early time
	pl, err := s.plan(ctx, q, false)
	if errors.Is(err, ErrNoGroup) {
		return nil
	}
	if err != nil {
		return err
	}
	pl.last = math.MaxInt64
	days := s.shards.acquire(-1<<40, 1<<40)
	defer func() {
		for _, sh := range days {
			sh.release()
		}
	}()
	for _, sh := range days {
		if sh.lastID.Load() <= from {
			continue
		}
		if err := s.freshOfDay(ctx, sh, &pl, q, from, upTo, fn); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) freshOfDay(ctx context.Context, sh *shard, pl *plan, q Query, from, upTo int64, fn func(Event) error) error {
	db, err := sh.reader()
	if err != nil {
		return err
	}
	for {
		list, more, err := readChunks(ctx, db, fmt.Sprintf(`SELECT id, stream, (SELECT name FROM tenants WHERE id = c.tenant), least, most, lines, payload
			FROM chunks c NOT INDEXED WHERE id > ? AND id <= ? AND grp = ? ORDER BY id LIMIT %d`, followBatch), []any{from, upTo, pl.group})
		if err != nil {
			return s.unreadable(sh, fmt.Errorf("logs: query events: %w", err))
		}
		var events []Event
		for _, c := range list {
			from = c.id
			ok, err := s.wants(ctx, pl, c)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			name, err := s.names.of(ctx, s.index, c.stream)
			if err != nil {
				return err
			}
			places, err := c.places(nil)
			if err != nil {
				return s.unreadable(sh, err)
			}
			for i, p := range places {
				m := mark{p.at, c.id + int64(i)}
				if pl.win.after.less(m) && (q.Match == nil || q.Match(p.message)) {
					events = append(events, newEvent(c, name, m, p.message))
				}
			}
		}
		slices.SortFunc(events, func(a, b Event) int {
			if a.Cursor < b.Cursor {
				return -1
			}
			return 1
		})
		for _, e := range events {
			if err := fn(e); err != nil {
				return err
			}
		}
		if !more {
			return nil
		}
	}
}
