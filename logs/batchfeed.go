package logs

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
)

// batchFeed gives the chunks of a day's batches that a plan wants. What they are is
// read at once, their payloads when they are needed.
type batchFeed struct {
	db   *sql.DB
	back bool
	list []*chunk
	read map[int64][]byte // payloads of some batches
}

// readBatches is how many payloads a feed keeps.
const readBatches = 4

// newBatchFeed looks into the batches that may have something.
func newBatchFeed(ctx context.Context, db *sql.DB, tx rower, pl *plan) (*batchFeed, error) {
	rows, err := tx.QueryContext(ctx, `SELECT id, first, least, most, contents FROM batches WHERE most >= ? AND least <= ? ORDER BY id`, pl.win.after.at, pl.win.before.at)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	f := &batchFeed{db: db, back: pl.win.newestFirst, read: make(map[int64][]byte)}
	for rows.Next() {
		var b batch
		if err := rows.Scan(&b.id, &b.first, &b.least, &b.most, &b.contents); err != nil {
			return nil, err
		}
		err := b.each(func(c chunk, p part) {
			if c.group != pl.group || pl.tenants != nil && !slices.Contains(pl.tenants, c.tenant) || pl.streams != nil && !pl.streams[c.stream] {
				return
			}
			kept := c
			kept.part = p
			f.list = append(f.list, &kept)
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(f.list, func(a, b *chunk) int {
		if f.back {
			return cmp.Compare(b.most, a.most)
		}
		return cmp.Compare(a.least, b.least)
	})
	return f, rows.Err()
}

func (f *batchFeed) peek(context.Context) (*chunk, error) {
	if len(f.list) == 0 {
		return nil, nil
	}
	return f.list[0], nil
}

func (f *batchFeed) take() { f.list = f.list[1:] }

func (f *batchFeed) bound(c *chunk) int64 {
	if f.back {
		return c.most
	}
	return c.least
}

func (f *batchFeed) open(ctx context.Context, c *chunk) error {
	p := c.part
	payload, ok := f.read[p.batch]
	if !ok {
		err := f.db.QueryRowContext(ctx, `SELECT payload FROM batches WHERE id = ?`, p.batch).Scan(&payload)
		if errors.Is(err, sql.ErrNoRows) {
			return errReplaced // its events are in blocks now
		}
		if err != nil {
			return err
		}
		if len(f.read) >= readBatches {
			clear(f.read)
		}
		f.read[p.batch] = payload
	}
	var err error
	c.payload, err = p.cut(payload)
	return err
}
