package logs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
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
	return s.follow(ctx, q, func(reached int64) error { return s.history(ctx, q, reached, fn) }, fn)
}

// Tail is Follow without what was stored before; ready is called when nothing that
// is appended from then on is missed.
func (s *Store) Tail(ctx context.Context, q Query, ready func(), fn func(Event) error) error {
	return s.follow(ctx, q, func(int64) error { ready(); return nil }, fn)
}

// follow calls begin with the highest number stored so far, and fn for what comes
// then.
func (s *Store) follow(ctx context.Context, q Query, begin func(reached int64) error, fn func(Event) error) error {
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
	if err := begin(reached); err != nil {
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

// news walks over what was stored in a day after a moment: blocks first, then
// batches, whose events are newer than those of any block.
type news struct {
	group int64
	upTo  int64
	row   int64 // rows were read up to this id
	after int64 // events were given up to this number
	done  bool
}

// next reads at one moment, so that what becomes blocks meanwhile is in either.
func (n *news) next(ctx context.Context, db *sql.DB) (list []*chunk, err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	list, _, err = readChunks(ctx, tx, followBatch, true, `SELECT id, stream, (SELECT name FROM tenants WHERE id = c.tenant), least, most, lines, payload
		FROM blocks c NOT INDEXED WHERE id > ? AND grp = ? ORDER BY id LIMIT ?`, []any{n.row, n.group, followBatch})
	if err != nil {
		return nil, err
	}
	if len(list) > 0 {
		n.row = list[len(list)-1].id
		return list, nil
	}
	rows, err := tx.QueryContext(ctx, `SELECT id, first, least, most, contents, payload FROM batches WHERE id > ? AND first <= ? ORDER BY id`, n.row, n.upTo)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	n.done = true
	for bytes := 0; rows.Next(); {
		if bytes >= pageBytes {
			n.done = false
			break
		}
		var b batch
		if err := rows.Scan(&b.id, &b.first, &b.least, &b.most, &b.contents, &b.payload); err != nil {
			return nil, err
		}
		bytes += len(b.payload)
		n.row = b.id
		damaged := b.each(func(c chunk, p part) {
			if payload, err := p.cut(b.payload); err == nil && c.group == n.group {
				kept := c
				kept.payload = payload
				list = append(list, &kept)
			}
		})
		if damaged != nil {
			return nil, damaged
		}
	}
	return list, rows.Err()
}

func (s *Store) freshOfDay(ctx context.Context, sh *shard, pl *plan, q Query, from, upTo int64, fn func(Event) error) error {
	db, err := sh.reader()
	if err != nil {
		return err
	}
	n := news{group: pl.group, upTo: upTo, row: from, after: from}
	for !n.done {
		list, err := n.next(ctx, db)
		if err != nil {
			return s.unreadable(sh, fmt.Errorf("logs: query events: %w", err))
		}
		events, err := s.matching(ctx, sh, pl, q, &n, list)
		if err != nil {
			return err
		}
		if len(list) > 0 && !list[0].block {
			n.after = n.row
		}
		slices.SortFunc(events, func(a, b Event) int { return strings.Compare(string(a.Cursor), string(b.Cursor)) })
		for _, e := range events {
			if err := fn(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// matching gives the events of chunks that a query asks for.
func (s *Store) matching(ctx context.Context, sh *shard, pl *plan, q Query, n *news, list []*chunk) (events []Event, err error) {
	if q.Matching != nil && len(list) > 0 {
		match, done, err := q.Matching(ctx)
		if err != nil {
			return nil, err
		}
		defer done()
		q.Match = match
	}
	for _, c := range list {
		ok, err := s.wants(ctx, pl, c)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		name, err := s.names.of(ctx, s.index, c.stream)
		if err != nil {
			return nil, err
		}
		places, err := c.places(s.codec)
		if err != nil {
			return nil, s.unreadable(sh, err)
		}
		for _, p := range places {
			m := mark{p.at, p.id}
			if p.id > n.after && p.id <= n.upTo && pl.win.after.less(m) && (q.Match == nil || q.Match(p.message)) {
				events = append(events, newEvent(c, name, m, p.message))
			}
		}
	}
	return events, nil
}
