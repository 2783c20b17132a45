package logs

import (
	"container/heap"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/alcove-run/alcove"
)

// window is a range of events in the order of (time, number), both ends
// excluded.
type window struct {
	after, before mark
	newestFirst   bool
}

// mark is the place of an event in that order.
type mark struct{ at, id int64 }

var (
	markStart = mark{math.MinInt64, math.MinInt64}
	markEnd   = mark{math.MaxInt64, math.MaxInt64}
)

func (m mark) less(o mark) bool { return m.at < o.at || m.at == o.at && m.id < o.id }

// feed gives chunks of a shard in the order in which a scan may need them, some at
// a time, so that no query holds a transaction open while its caller works.
type feed interface {
	// peek gives the next chunk without taking it, nil at the end.
	peek(ctx context.Context) (*chunk, error)
	take()
	// bound is where, in the direction of the scan, the events of the next chunk and
	// of all behind it begin at the earliest.
	bound(c *chunk) int64
	// open gives a chunk that was taken its payload.
	open(ctx context.Context, c *chunk) error
}

// source is one indexed way to the chunks or blocks of a shard: by group, stream or
// tenant. None of them spans more than span.
type source struct {
	table, index, where string
	args                []any
	span                int64
}

// pager reads the chunks of a source in the order of their first times.
type pager struct {
	db   *sql.DB
	src  source
	win  window
	most int64 // blocks with higher ids are from after the scan's beginning
	size int   // of the next page
	pos  mark  // of the last chunk read: its first time and id
	page []*chunk
	done bool
}

// A page of chunks ends behind so many, or so many bytes; the first one is shorter.
const (
	pageChunks = 64
	firstPage  = 8
	pageBytes  = 512 << 10
)

func newPager(db *sql.DB, src source, win window, most int64) *pager {
	p := &pager{db: db, src: src, win: win, most: most, size: firstPage}
	if win.newestFirst {
		p.pos = markEnd
		if win.before.at < math.MaxInt64 {
			p.pos.at = win.before.at + 1
		}
	} else {
		p.pos = markStart
		if win.after.at > math.MinInt64+src.span {
			p.pos.at = win.after.at - src.span
		}
	}
	return p
}

func (p *pager) bound(c *chunk) int64 {
	if p.win.newestFirst {
		return c.least + p.src.span
	}
	return c.least
}

func (p *pager) take()                              { p.page = p.page[1:] }
func (p *pager) open(context.Context, *chunk) error { return nil }

func (p *pager) peek(ctx context.Context) (*chunk, error) {
	if len(p.page) == 0 && !p.done {
		if err := p.load(ctx); err != nil {
			return nil, fmt.Errorf("logs: query events: %w", err)
		}
	}
	if len(p.page) == 0 {
		return nil, nil
	}
	return p.page[0], nil
}

func (p *pager) load(ctx context.Context) error {
	order, beyond, within, bound := "ASC", ">", "least <= ?", p.win.before.at
	if p.win.newestFirst {
		order, beyond, within, bound = "DESC", "<", "least >= ?", p.win.after.at
		if bound > math.MinInt64+p.src.span {
			bound -= p.src.span
		}
	}
	// The last conditions leave out what need not be read.
	query := fmt.Sprintf(`SELECT id, stream, (SELECT name FROM tenants WHERE id = c.tenant), least, most, lines, payload
		FROM %s c INDEXED BY %s WHERE %s AND (least, id) %s (?, ?) AND %s AND +id <= ? AND most >= ? ORDER BY least %s, id %s LIMIT %d`,
		p.src.table, p.src.index, p.src.where, beyond, within, order, order, p.size)
	args := append(slices.Clone(p.src.args), p.pos.at, p.pos.id, bound, p.most, p.win.after.at)
	var err error
	var more bool
	p.page, more, err = readChunks(ctx, p.db, p.size, p.src.table == blocksTable, query, args)
	if err != nil {
		return err
	}
	p.done = !more
	p.size = min(2*p.size, pageChunks)
	if n := len(p.page); n > 0 {
		p.pos = mark{p.page[n-1].least, p.page[n-1].id}
	}
	return nil
}

const blocksTable = "blocks"

// rower is a database or a transaction.
type rower interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// readChunks runs a query for at most size chunks or blocks, and says whether there
// may be more than it gives.
func readChunks(ctx context.Context, db rower, size int, blocks bool, query string, args []any) (list []*chunk, more bool, err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, false, err
	}
	defer rows.Close()
	bytes := 0
	for rows.Next() {
		c := &chunk{block: blocks}
		var tenant string
		if err := rows.Scan(&c.id, &c.stream, &tenant, &c.least, &c.most, &c.lines, &c.payload); err != nil {
			return nil, false, err
		}
		c.tenant = alcove.Tenant(tenant)
		list = append(list, c)
		if bytes += len(c.payload); bytes >= pageBytes {
			return list, true, nil
		}
	}
	return list, len(list) == size, rows.Err()
}

// cursor walks the events of one chunk in the direction of a scan.
type cursor struct {
	*chunk
	places []place
	i      int
	back   bool
}

func (c *cursor) mark() mark { return mark{c.places[c.i].at, c.places[c.i].id} }

// next moves on and says whether there is another event.
func (c *cursor) next() bool {
	if c.back {
		c.i--
		return c.i >= 0
	}
	c.i++
	return c.i < len(c.places)
}

// merge orders the events of chunks whose times overlap.
type merge []*cursor

func (m merge) Len() int { return len(m) }
func (m merge) Less(i, j int) bool {
	if m[i].back {
		return m[j].mark().less(m[i].mark())
	}
	return m[i].mark().less(m[j].mark())
}
func (m merge) Swap(i, j int) { m[i], m[j] = m[j], m[i] }
func (m *merge) Push(x any)   { *m = append(*m, x.(*cursor)) }
func (m *merge) Pop() any {
	last := (*m)[len(*m)-1]
	*m = (*m)[:len(*m)-1]
	return last
}

// errStop ends a scan from its function.
var errStop = errors.New("stop")

// waiting orders chunks that were taken from feeds and are not open yet: by their
// first times, or, newest first, by their last.
type waiting struct {
	back bool
	list []fed
}

type fed struct {
	*chunk
	from feed
}

func (w *waiting) at(i int) int64 {
	if w.back {
		return w.list[i].most
	}
	return w.list[i].least
}
func (w *waiting) Len() int           { return len(w.list) }
func (w *waiting) Less(i, j int) bool { return precedes(w.at(i), w.at(j), w.back) }
func (w *waiting) Swap(i, j int)      { w.list[i], w.list[j] = w.list[j], w.list[i] }
func (w *waiting) Push(x any)         { w.list = append(w.list, x.(fed)) }
func (w *waiting) Pop() any {
	n := len(w.list) - 1
	last := w.list[n]
	w.list[n] = fed{}
	w.list = w.list[:n]
	return last
}

// precedes says whether a time comes before another in the direction of a scan.
func precedes(a, b int64, newestFirst bool) bool {
	if newestFirst {
		return a > b
	}
	return a < b
}

// scan calls fn for each event of the feeds' chunks in the window, in order. skip
// leaves chunks out unread.
func scan(ctx context.Context, codec codec, feeds []feed, win window, skip func(*chunk) (bool, error), fn func(c *chunk, m mark, message []byte) error) error {
	var open merge
	closed := &waiting{back: win.newestFirst}
	for {
		from, at, err := firstFeed(ctx, feeds, win.newestFirst)
		if err != nil {
			return err
		}
		// A chunk is taken if it, or one behind it, may come before what is known.
		if from != nil && (len(open) == 0 || !precedes(open[0].mark().at, at, win.newestFirst)) &&
			(closed.Len() == 0 || !precedes(closed.at(0), at, win.newestFirst)) {
			c, _ := from.peek(ctx)
			from.take()
			if c.most < win.after.at || c.least > win.before.at {
				continue
			}
			if out, err := skip(c); err != nil {
				return err
			} else if !out {
				heap.Push(closed, fed{c, from})
			}
			continue
		}
		if closed.Len() > 0 && (len(open) == 0 || !precedes(open[0].mark().at, closed.at(0), win.newestFirst)) {
			c := heap.Pop(closed).(fed)
			if err := c.from.open(ctx, c.chunk); err != nil {
				return err
			}
			places, err := c.places(codec)
			if err != nil {
				return fmt.Errorf("logs: query events: %w", err)
			}
			if len(places) == 0 {
				continue
			}
			cur := &cursor{chunk: c.chunk, places: places, back: win.newestFirst}
			if cur.back {
				cur.i = len(places) - 1
			}
			heap.Push(&open, cur)
			continue
		}
		if len(open) == 0 {
			return nil
		}
		top := open[0]
		if m := top.mark(); win.after.less(m) && m.less(win.before) {
			if err := fn(top.chunk, m, top.places[top.i].message); err != nil {
				return err
			}
		}
		if top.next() {
			heap.Fix(&open, 0)
		} else {
			heap.Pop(&open)
		}
	}
}

// firstFeed is the feed whose next chunk may come first, and when at the earliest,
// nil if all are at their ends.
func firstFeed(ctx context.Context, feeds []feed, newestFirst bool) (first feed, at int64, err error) {
	for _, f := range feeds {
		c, err := f.peek(ctx)
		if err != nil {
			return nil, 0, err
		}
		if c == nil {
			continue
		}
		if b := f.bound(c); first == nil || precedes(b, at, newestFirst) {
			first, at = f, b
		}
	}
	return first, at, nil
}
