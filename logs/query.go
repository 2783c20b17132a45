package logs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/internal/sqlite"
)

// Limits of one query's answer; what is beyond them is on the next page.
const (
	DefaultLimit = 10_000
	DefaultBytes = 1 << 20
	// scanBytes bounds how much of a log one page looks at.
	scanBytes = 128 << 20
)

// Cursor is a place between two events: a decimal number of 56 digits that
// sorts as the events do. It stays good as long as the store does; empty is
// either end.
type Cursor string

func (m mark) cursor() Cursor { return Cursor(fmt.Sprintf("%020d%036d", m.at, m.id)) }

func (c Cursor) mark() (mark, error) {
	if len(c) != 56 {
		return mark{}, ErrBadCursor
	}
	at, err1 := strconv.ParseUint(string(c[:20]), 10, 63)
	id, err2 := strconv.ParseUint(string(c[20:]), 10, 63)
	if err1 != nil || err2 != nil {
		return mark{}, ErrBadCursor
	}
	return mark{int64(at), int64(id)}, nil
}

// CursorAt is the place before every event of a time.
func CursorAt(at time.Time) Cursor { return mark{max(at.UnixMilli(), 0), 0}.cursor() }

// Before is the place right before the event at c, Behind right behind it:
// a query that goes on from there, oldest or newest first, gives the event too.
func (c Cursor) Before() Cursor { return c.shift(-1) }

// Behind is explained at Before.
func (c Cursor) Behind() Cursor { return c.shift(1) }

func (c Cursor) shift(by int64) Cursor {
	m, err := c.mark()
	if err != nil || m.id+by < 0 {
		return c
	}
	m.id += by
	return m.cursor()
}

// Event is one stored event.
type Event struct {
	// Cursor is the place of the event, and its id.
	Cursor   Cursor
	Stream   string
	Tenant   alcove.Tenant // of the environment that wrote it, empty if it had none
	At       time.Time     // whole milliseconds
	Ingested time.Time
	Message  []byte
}

// Query asks for events of one group.
type Query struct {
	Group string
	// Tenant, if not nil, is whose events alone are wanted; the empty tenant's
	// are those of ordinary functions and of environments not yet bound.
	Tenant *alcove.Tenant
	// Among, if not nil, leaves out the events of tenants that are not in it.
	Among []alcove.Tenant
	// Visible, if not nil, leaves out the events of tenants that it is false for.
	Visible func(alcove.Tenant) bool
	// Streams, if not nil, are the only streams wanted; Prefix is what their
	// names begin with.
	Streams []string
	Prefix  string
	// Since is included, Until is not; zero is no bound.
	Since, Until time.Time
	// Match, if not nil, says which messages are wanted. It must not keep what
	// it is given.
	Match func(message []byte) bool
	// Matching, if not nil, is Match for Follow and Tail that is asked for anew with
	// every piece of what came; done is called behind it.
	Matching func(ctx context.Context) (match func(message []byte) bool, done func(), err error)
	// NewestFirst turns the order round.
	NewestFirst bool
	// After goes on behind the event, or in place of a page's Next.
	After Cursor
	// Limit and Bytes bound the answer; zero means DefaultLimit, DefaultBytes. A
	// page with an event longer than Bytes has that event alone.
	Limit, Bytes int
}

// Page is an answer.
type Page struct {
	Events []Event
	// Next is where the next page begins, empty if there is none now. A page
	// that ends because much was looked at and little found may be empty and
	// still have a Next.
	Next Cursor
}

// Query answers a query with a page, after everything appended before. Events
// are in the order of their times; at equal times in the order in which they
// were stored.
func (s *Store) Query(ctx context.Context, q Query) (Page, error) {
	if err := s.Flush(ctx); err != nil {
		return Page{}, err
	}
	return s.query(ctx, q, math.MaxInt64, true)
}

// query is Query for events numbered up to last. Streams that do not exist are
// an error if they must.
func (s *Store) query(ctx context.Context, q Query, last int64, must bool) (Page, error) {
	if q.Limit <= 0 {
		q.Limit = DefaultLimit
	}
	if q.Bytes <= 0 {
		q.Bytes = DefaultBytes
	}
	a := &answer{store: s, q: q}
	for {
		err := s.queryOnce(ctx, q, a, last, must)
		if err == errStop {
			a.page.Next = a.reached.cursor()
			return a.page, nil
		}
		if err == nil {
			return a.page, nil
		}
		if !errors.Is(err, errReplaced) {
			return Page{}, err
		}
		if a.seen { // and go on behind what there is
			q.After = a.reached.cursor()
		}
	}
}

// errReplaced is that of a day that was built anew before it was read.
var errReplaced = errors.New("logs: a day was built anew meanwhile")

func (s *Store) queryOnce(ctx context.Context, q Query, a *answer, last int64, must bool) error {
	pl, err := s.plan(ctx, q, must)
	if err != nil || pl.none || pl.win.before.at < 0 {
		return err
	}
	pl.last = last
	days := s.shards.acquire(dayOf(max(pl.win.after.at, 0)), dayOf(pl.win.before.at))
	defer func() {
		for _, sh := range days {
			sh.release()
		}
	}()
	if q.NewestFirst {
		slices.Reverse(days)
	}
	looked := func(c *chunk) { a.scanned += len(c.payload) }
	visit := func(c *chunk, m mark, message []byte) error { return a.add(ctx, c, m, message) }
	for _, sh := range days {
		if err := s.scanDay(ctx, sh, pl, looked, visit); err != nil {
			return err
		}
	}
	return nil
}

// plan is a query looked up in the index.
type plan struct {
	group   int64
	tenants []alcove.Tenant // nil is all
	visible func(alcove.Tenant) bool
	streams map[int64]bool // nil is all
	prefix  string
	win     window
	last    int64
	none    bool // nothing can be found
}

// plan looks a query up. Streams that do not exist are an error if they must.
func (s *Store) plan(ctx context.Context, q Query, must bool) (plan, error) {
	g, err := s.index.group(ctx, q.Group)
	if err != nil {
		return plan{}, err
	}
	pl := plan{group: g.id, tenants: q.Among, visible: q.Visible, prefix: q.Prefix, last: math.MaxInt64}
	if q.Tenant != nil {
		if q.Among != nil && !slices.Contains(q.Among, *q.Tenant) {
			pl.none = true
		}
		pl.tenants = []alcove.Tenant{*q.Tenant}
	}
	if q.Streams != nil {
		pl.streams = make(map[int64]bool)
		for _, name := range q.Streams {
			list, err := s.index.streams(ctx, `WHERE grp = ? AND name = ?`, g.id, name)
			if err != nil {
				return plan{}, err
			}
			switch {
			case len(list) > 0:
				pl.streams[list[0].id] = true
			case must:
				return plan{}, ErrNoStream
			}
		}
	}
	pl.win = window{after: markStart, before: markEnd, newestFirst: q.NewestFirst}
	since := q.Since
	if g.RetentionDays > 0 {
		if oldest := s.now().AddDate(0, 0, -g.RetentionDays); oldest.After(since) {
			since = oldest
		}
	}
	if !since.IsZero() {
		pl.win.after = mark{since.UnixMilli(), math.MinInt64}
	}
	if !q.Until.IsZero() {
		pl.win.before = mark{q.Until.UnixMilli(), math.MinInt64}
	}
	if q.After != "" {
		m, err := q.After.mark()
		if err != nil {
			return plan{}, err
		}
		if q.NewestFirst && m.less(pl.win.before) {
			pl.win.before = m
		}
		if !q.NewestFirst && pl.win.after.less(m) {
			pl.win.after = m
		}
	}
	return pl, nil
}

// sources are the shortest ways to the chunks and blocks that a plan wants of a
// shard.
func (pl *plan) sources(ctx context.Context, sh *shard, db rower, has tables) ([]source, error) {
	var list []source
	add := func(by, where string, args ...any) {
		if has.chunks {
			list = append(list, source{"chunks", "chunks_by_" + by, where, args, chunkSpan})
		}
		if has.blocks {
			for class, span := range spans {
				list = append(list, source{blocksTable, "blocks_by_" + by, fmt.Sprintf("%s AND class = %d", where, class), args, span})
			}
		}
	}
	switch {
	case pl.tenants != nil && len(pl.streams) != 1:
		for _, t := range pl.tenants {
			id, err := tenantID(ctx, db, t)
			if err != nil {
				return nil, fmt.Errorf("logs: query tenants: %w", err)
			}
			if id != 0 {
				add("tenant", "tenant = ? AND grp = ?", id, pl.group)
			}
		}
	case len(pl.streams) == 1:
		for id := range pl.streams {
			add("stream", "stream = ?", id)
		}
	default:
		add("group", "grp = ?", pl.group)
	}
	return list, nil
}

// wants says whether a chunk may hold something that the plan asks for.
func (s *Store) wants(ctx context.Context, pl *plan, c *chunk) (bool, error) {
	if !c.block && c.id > pl.last || pl.streams != nil && !pl.streams[c.stream] || pl.tenants != nil && !slices.Contains(pl.tenants, c.tenant) ||
		pl.visible != nil && !pl.visible(c.tenant) {
		return false, nil
	}
	name, err := s.names.of(ctx, s.index, c.stream)
	return err == nil && name != "" && strings.HasPrefix(name, pl.prefix), err
}

// scanDay calls visit for the events of one day that a plan wants, and looked for
// each chunk that it comes by.
func (s *Store) scanDay(ctx context.Context, sh *shard, pl plan, looked func(*chunk), visit func(c *chunk, m mark, message []byte) error) error {
	db, err := sh.reader()
	if err != nil {
		return err
	}
	feeds, err := s.feeds(ctx, sh, db, &pl)
	if err != nil {
		return s.unreadable(sh, err)
	}
	skip := func(c *chunk) (bool, error) {
		ok, err := s.wants(ctx, &pl, c)
		if looked != nil {
			looked(c)
		}
		return !ok, err
	}
	return s.unreadable(sh, scan(ctx, s.codec, feeds, pl.win, skip, func(c *chunk, m mark, message []byte) error {
		if m.id > pl.last {
			return nil
		}
		return visit(c, m, message)
	}))
}

// feeds are where a plan finds what it wants of a shard, as it is at one moment:
// what becomes blocks afterwards is read as batches, or not at all.
func (s *Store) feeds(ctx context.Context, sh *shard, db *sql.DB, pl *plan) ([]feed, error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("logs: query events: %w", err)
	}
	defer tx.Rollback()
	has, err := tablesOf(ctx, tx)
	if err != nil {
		return nil, fmt.Errorf("logs: query events: %w", err)
	}
	sources, err := pl.sources(ctx, sh, tx, has)
	if err != nil || !has.blocks {
		return pagers(db, sources, pl, math.MaxInt64), err
	}
	var most int64
	if err := tx.QueryRowContext(ctx, `SELECT ifnull(max(id), 0) FROM blocks`).Scan(&most); err != nil {
		return nil, fmt.Errorf("logs: query events: %w", err)
	}
	f, err := newBatchFeed(ctx, db, tx, pl)
	if err != nil {
		return nil, fmt.Errorf("logs: query events: %w", err)
	}
	return append(pagers(db, sources, pl, most), f), nil
}

func pagers(db *sql.DB, sources []source, pl *plan, most int64) (list []feed) {
	for _, src := range sources {
		last := most
		if src.table != blocksTable {
			last = math.MaxInt64 // nothing is added to it any more
		}
		list = append(list, newPager(db, src, pl.win, last))
	}
	return list
}

// unreadable passes over a day that was deleted meanwhile or is damaged: the
// other days can still be read.
func (s *Store) unreadable(sh *shard, err error) error {
	if err == nil || err == errStop {
		return err
	}
	sh.mu.Lock()
	gone, replaced := sh.gone, sh.replaced
	sh.mu.Unlock()
	switch {
	case gone && replaced && sqlite.Is(err):
		return errReplaced
	case gone && sqlite.Is(err):
		return nil
	case sqlite.IsDamaged(err) || errors.Is(err, errChunk) || sqlite.IsMissing(err):
		s.log.Error("logs: a day cannot be read", "path", sh.path, "error", err)
		return nil
	}
	return err
}

// answer gathers a page.
type answer struct {
	store   *Store
	q       Query
	page    Page
	bytes   int  // of the page
	scanned int  // bytes looked at
	seen    bool // an event was looked at, and reached is its place
	reached mark
}

// add takes the next event of the scan, or ends it before that event.
func (a *answer) add(ctx context.Context, c *chunk, m mark, message []byte) error {
	if len(a.page.Events) >= a.q.Limit || a.seen && a.scanned > scanBytes {
		return errStop
	}
	a.scanned += len(message)
	if a.q.Match != nil && !a.q.Match(message) {
		a.reached, a.seen = m, true
		return ctx.Err()
	}
	size := len(message) + eventCost
	if a.bytes > 0 && a.bytes+size > a.q.Bytes {
		return errStop
	}
	name, err := a.store.names.of(ctx, a.store.index, c.stream)
	if err != nil {
		return err
	}
	a.bytes += size
	a.reached, a.seen = m, true
	a.page.Events = append(a.page.Events, newEvent(c, name, m, message))
	return ctx.Err()
}

// newEvent copies an event out of its chunk.
func newEvent(c *chunk, stream string, m mark, message []byte) Event {
	return Event{
		Cursor: m.cursor(), Stream: stream, Tenant: c.tenant,
		At: time.UnixMilli(m.at), Ingested: time.UnixMilli(m.id / 1000), Message: slices.Clone(message),
	}
}
