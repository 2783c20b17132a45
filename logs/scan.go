package logs

import (
	"container/heap"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"

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

// source is one indexed way to the chunks of a shard: by group, stream or
// tenant.
type source struct {
	index, where string
	args         []any
}

// pager reads the chunks of a source in the order of their first times, some
// at a time, so that no query holds a transaction open while its caller works.
type pager struct {
	db   *sql.DB
	src  source
	win  window
	pos  mark // of the last chunk read: its first time and id
	page []*chunk
	done bool
}

// A page of chunks ends behind so many, or so many bytes.
const (
	pageChunks = 64
	pageBytes  = 512 << 10
)

func newPager(db *sql.DB, src source, win window) *pager {
	p := &pager{db: db, src: src, win: win}
	if win.newestFirst {
		p.pos = markEnd
		if win.before.at < math.MaxInt64 {
			p.pos.at = win.before.at + 1
		}
	} else {
		p.pos = markStart
		if win.after.at > math.MinInt64+chunkSpan {
			p.pos.at = win.after.at - chunkSpan
		}
	}
	return p
}

// peek gives the next chunk without taking it, nil at the end.
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
		if bound > math.MinInt64+chunkSpan {
			bound -= chunkSpan
		}
	}
	query := fmt.Sprintf(`SELECT id, stream, (SELECT name FROM tenants WHERE id = c.tenant), least, most, lines, payload
		FROM chunks c INDEXED BY %s WHERE %s AND (least, id) %s (?, ?) AND %s ORDER BY least %s, id %s LIMIT %d`,
		p.src.index, p.src.where, beyond, within, order, order, pageChunks)
	args := append(append([]any{}, p.src.args...), p.pos.at, p.pos.id, bound)
	var err error
	var more bool
	p.page, more, err = readChunks(ctx, p.db, query, args)
	if err != nil {
		return err
	}
	p.done = !more
	if n := len(p.page); n > 0 {
		p.pos = mark{p.page[n-1].least, p.page[n-1].id}
	}
	return nil
}

// readChunks runs a query for chunks, and says whether there may be more than
// it gives.
func readChunks(ctx context.Context, db *sql.DB, query string, args []any) (list []*chunk, more bool, err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, false, err
	}
	defer rows.Close()
	bytes := 0
	for rows.Next() {
		c := new(chunk)
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
	return list, len(list) == pageChunks, rows.Err()
}

// cursor walks the events of one chunk in the direction of a scan.
type cursor struct {
	*chunk
	places []place
	i      int
	back   bool
}

func (c *cursor) mark() mark { return mark{c.places[c.i].at, c.id + int64(c.i)} }

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

// scan calls fn for each event of the pagers' chunks in the window, in order.
// skip leaves chunks out unread.
func scan(ctx context.Context, pagers []*pager, win window, skip func(*chunk) (bool, error), fn func(c *chunk, m mark, message []byte) error) error {
	var open merge
	for {
		from, err := firstPager(ctx, pagers, win.newestFirst)
		if err != nil {
			return err
		}
		if from != nil && (len(open) == 0 || mayPrecede(from.page[0], open[0].mark(), win.newestFirst)) {
			c := from.page[0]
			from.page = from.page[1:]
			if c.most < win.after.at || c.least > win.before.at {
				continue
			}
			if out, err := skip(c); err != nil || out {
				if err != nil {
					return err
				}
				continue
			}
			places, err := c.places(nil)
			if err != nil {
				return fmt.Errorf("logs: query events: %w", err)
			}
			cur := &cursor{chunk: c, places: places, back: win.newestFirst}
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

// firstPager is the pager whose next chunk comes first, nil if all are at
// their ends.
func firstPager(ctx context.Context, pagers []*pager, newestFirst bool) (*pager, error) {
	var first *pager
	for _, p := range pagers {
		c, err := p.peek(ctx)
		if err != nil {
			return nil, err
		}
		if c == nil {
			continue
		}
		if first == nil || newestFirst && c.least > first.page[0].least || !newestFirst && c.least < first.page[0].least {
			first = p
		}
	}
	return first, nil
}

// mayPrecede says whether a chunk that is not open may hold an event that comes
// before, in the direction of the scan, the first one of those that are. No
// chunk behind it can if it cannot.
func mayPrecede(c *chunk, m mark, newestFirst bool) bool {
	if newestFirst {
		return c.least+chunkSpan >= m.at
	}
	return c.least <= m.at
}
