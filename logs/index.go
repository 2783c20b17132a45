package logs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alcove-run/alcove/internal/sqlite"
)

// index is the database of groups and streams. One goroutine, the store's
// writing one, changes it; any number read it.
type index struct {
	path string
	w, r *sql.DB
	// touch notes the times of new events of a stream.
	touch *sql.Stmt
}

const indexSchema = `
CREATE TABLE IF NOT EXISTS groups(
	id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,
	created INTEGER NOT NULL, retention INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS tags(grp INTEGER NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY(grp, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS streams(
	id INTEGER PRIMARY KEY AUTOINCREMENT, grp INTEGER NOT NULL, name TEXT NOT NULL, created INTEGER NOT NULL,
	first INTEGER NOT NULL DEFAULT 0, last INTEGER NOT NULL DEFAULT 0, ingested INTEGER NOT NULL DEFAULT 0, UNIQUE(grp, name));
CREATE INDEX IF NOT EXISTS streams_by_last ON streams(grp, last, name);
CREATE TABLE IF NOT EXISTS told(one INTEGER PRIMARY KEY, number INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS doomed(grp INTEGER NOT NULL, stream INTEGER NOT NULL, PRIMARY KEY(grp, stream)) WITHOUT ROWID;
`

func openIndex(dir string, log *slog.Logger) (*index, error) {
	path := filepath.Join(dir, "index.db")
	x, err := tryIndex(path)
	if sqlite.IsDamaged(err) {
		// The events stay on the disk, but nothing knows their groups any more.
		log.Error("logs: index is damaged: starting with an empty one", "error", err)
		if err := sqlite.SetAside(path); err != nil {
			return nil, fmt.Errorf("logs: set damaged index aside: %w", err)
		}
		x, err = tryIndex(path)
	}
	return x, err
}

func tryIndex(path string) (*index, error) {
	w, err := sqlite.Open(path, "rwc", 512)
	if err != nil {
		return nil, err
	}
	w.SetMaxOpenConns(1)
	if _, err := w.Exec(indexSchema); err != nil {
		return nil, errors.Join(fmt.Errorf("logs: open index: %w", err), w.Close())
	}
	touch, err := w.Prepare(`UPDATE streams SET first = CASE first WHEN 0 THEN ?1 ELSE min(first, ?1) END, last = max(last, ?2), ingested = ?3 WHERE id = ?4`)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("logs: open index: %w", err), w.Close())
	}
	r, err := sqlite.Open(path, "rw", 512, "query_only(1)")
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	readerLimits(r)
	return &index{path: path, w: w, r: r, touch: touch}, nil
}

// readerLimits bounds the memory of connections that queries use.
func readerLimits(db *sql.DB) {
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(1)
	db.SetConnMaxIdleTime(10 * time.Second)
}

func (x *index) close() error { return errors.Join(x.r.Close(), x.w.Close()) }

func (x *index) size() int64 { return sqlite.Size(x.path) }

// know makes the groups and streams of the runs exist. The ids go into the writers
// once the transaction is committed.
func (x *index) know(runs []*run, generation uint64, now int64) error {
	known := func(w *Writer) bool { return w.generation == generation && w.streamID != 0 }
	if !slices.ContainsFunc(runs, func(r *run) bool { return !known(r.w) }) {
		return nil
	}
	type ids struct{ group, stream int64 }
	found := make(map[*Writer]ids)
	err := sqlite.Change(x.w, func(tx *sql.Tx) (err error) {
		clear(found)
		for _, r := range runs {
			if _, ok := found[r.w]; ok || known(r.w) {
				continue
			}
			var id ids
			if id.group, err = ensureGroup(tx, r.w.group, now); err != nil {
				return err
			}
			if id.stream, err = ensureStream(tx, id.group, r.w.stream, now); err != nil {
				return err
			}
			found[r.w] = id
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("logs: index: %w", err)
	}
	for w, id := range found {
		w.groupID, w.streamID, w.generation = id.group, id.stream, generation
	}
	return nil
}

// untold is what the index does not know yet about what is stored. It is in the
// batches of the days, too: a crash forgets nothing of it.
type untold struct {
	streams map[int64]*times // by id
	groups  map[int64]int64  // bytes of text
	any     atomic.Bool
}

// times are a stream's first and last event's, and of the last that was stored.
type times struct{ first, last, ingested int64 }

// add notes a chunk that is stored, with so many bytes of text.
func (u *untold) add(c *chunk, text, now int64) {
	if u.streams == nil {
		u.streams, u.groups = make(map[int64]*times), make(map[int64]int64)
	}
	t := u.streams[c.stream]
	if t == nil {
		t = &times{c.least, c.most, now}
		u.streams[c.stream] = t
	}
	t.first, t.last, t.ingested = min(t.first, c.least), max(t.last, c.most), max(t.ingested, now)
	u.groups[c.group] += text
	u.any.Store(true)
}

// tell notes in the index what it did not know, of events numbered up to last.
func (x *index) tell(u *untold, last int64) error {
	if !u.any.Load() {
		return nil
	}
	err := sqlite.Change(x.w, func(tx *sql.Tx) error {
		touch := tx.Stmt(x.touch)
		for id, t := range u.streams {
			if _, err := touch.Exec(t.first, t.last, t.ingested, id); err != nil {
				return err
			}
		}
		for group, n := range u.groups {
			if _, err := tx.Exec(`UPDATE groups SET bytes = bytes + ? WHERE id = ?`, n, group); err != nil {
				return err
			}
		}
		_, err := tx.Exec(`INSERT INTO told(one, number) VALUES(1, ?1) ON CONFLICT DO UPDATE SET number = ?1`, last)
		return err
	})
	if err != nil {
		return fmt.Errorf("logs: index: %w", err)
	}
	u.streams, u.groups = nil, nil
	u.any.Store(false)
	return nil
}

// tellIndex notes in the index what it does not know. It runs in the writing
// goroutine.
func (s *Store) tellIndex() error {
	return s.withRoom(nil, func() error { return s.index.tell(&s.untold, s.lastID) })
}

// recall finds what the index was not told of a day before a crash.
func (s *Store) recall(sh *shard) error {
	if sh.recalled || sh.waiting.chunks == 0 {
		sh.recalled = true
		return nil
	}
	var told int64
	err := s.index.w.QueryRow(`SELECT ifnull(max(number), 0) FROM told`).Scan(&told)
	if err != nil {
		return fmt.Errorf("logs: index: %w", err)
	}
	rows, err := sh.w.Query(`SELECT id, first, least, most, contents FROM batches WHERE id > ?`, told)
	if err != nil {
		return fmt.Errorf("logs: read batches: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var b batch
		if err := rows.Scan(&b.id, &b.first, &b.least, &b.most, &b.contents); err != nil {
			return fmt.Errorf("logs: read batches: %w", err)
		}
		// What is damaged cannot be read as events either.
		_ = b.each(func(c chunk, p part) { s.untold.add(&c, p.size, c.id/1000) })
	}
	sh.recalled = true
	return rows.Err()
}

// settle returns when everything appended before can be read, and the index knows
// of it.
func (s *Store) settle(ctx context.Context) error {
	if s.queue.idle() && !s.untold.any.Load() {
		return nil
	}
	return s.do(ctx, s.tellIndex)
}

func ensureGroup(tx *sql.Tx, name string, now int64) (int64, error) {
	return ensure(tx, `SELECT id FROM groups WHERE name = ?`, []any{name},
		`INSERT INTO groups(name, created) VALUES(?, ?)`, []any{name, now})
}

func ensureStream(tx *sql.Tx, group int64, name string, now int64) (int64, error) {
	return ensure(tx, `SELECT id FROM streams WHERE grp = ? AND name = ?`, []any{group, name},
		`INSERT INTO streams(grp, name, created) VALUES(?, ?, ?)`, []any{group, name, now})
}

// ensure gives the id of a row, inserted if it is not there.
func ensure(tx *sql.Tx, find string, by []any, insert string, values []any) (int64, error) {
	var id int64
	err := tx.QueryRow(find, by...).Scan(&id)
	if !errors.Is(err, sql.ErrNoRows) {
		return id, err
	}
	res, err := tx.Exec(insert, values...)
	if err != nil {
		return 0, err
	}
	return res.LastInsertId()
}

// Group is a log group.
type Group struct {
	Name    string
	Created time.Time
	// RetentionDays is zero if events are kept until the budget takes them.
	RetentionDays int
	// Bytes were stored and not yet deleted with their day.
	Bytes int64

	id int64
}

// Stream is a log stream: the log of one execution environment. The event times
// are zero while it has none.
type Stream struct {
	Name                            string
	Created                         time.Time
	FirstEvent, LastEvent, Ingested time.Time

	id int64
}

// group finds a group by name.
func (x *index) group(ctx context.Context, name string) (Group, error) {
	list, err := x.groups(ctx, `WHERE name = ?`, name)
	if err != nil {
		return Group{}, err
	}
	if len(list) == 0 {
		return Group{}, ErrNoGroup
	}
	return list[0], nil
}

func (x *index) groups(ctx context.Context, where string, args ...any) ([]Group, error) {
	rows, err := x.r.QueryContext(ctx, `SELECT id, name, created, retention, bytes FROM groups `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("logs: query groups: %w", err)
	}
	defer rows.Close()
	var list []Group
	for rows.Next() {
		var g Group
		var created int64
		if err := rows.Scan(&g.id, &g.Name, &created, &g.RetentionDays, &g.Bytes); err != nil {
			return nil, fmt.Errorf("logs: query groups: %w", err)
		}
		g.Created = time.UnixMilli(created)
		list = append(list, g)
	}
	return list, rows.Err()
}

func (x *index) streams(ctx context.Context, where string, args ...any) ([]Stream, error) {
	rows, err := x.r.QueryContext(ctx, `SELECT id, name, created, first, last, ingested FROM streams `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("logs: query streams: %w", err)
	}
	defer rows.Close()
	var list []Stream
	for rows.Next() {
		var st Stream
		var created, first, last, ingested int64
		if err := rows.Scan(&st.id, &st.Name, &created, &first, &last, &ingested); err != nil {
			return nil, fmt.Errorf("logs: query streams: %w", err)
		}
		st.Created = time.UnixMilli(created)
		if ingested != 0 {
			st.FirstEvent, st.LastEvent, st.Ingested = time.UnixMilli(first), time.UnixMilli(last), time.UnixMilli(ingested)
		}
		list = append(list, st)
	}
	return list, rows.Err()
}

// prefixEnd is behind every string that begins with prefix.
func prefixEnd(prefix string) string { return prefix + "\U0010FFFF" }

// names remembers the names of streams by their ids.
type names struct {
	mu   sync.Mutex
	byID map[int64]string
}

const maxNames = 20_000

// of gives a stream's name, empty if there is none of that id.
func (n *names) of(ctx context.Context, x *index, id int64) (string, error) {
	n.mu.Lock()
	name, ok := n.byID[id]
	n.mu.Unlock()
	if ok {
		return name, nil
	}
	err := x.r.QueryRowContext(ctx, `SELECT name FROM streams WHERE id = ?`, id).Scan(&name)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("logs: query streams: %w", err)
	}
	name = strings.Clone(name)
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.byID) >= maxNames {
		clear(n.byID)
	}
	n.byID[id] = name
	return name, nil
}

// forget drops what is remembered, after something was deleted.
func (n *names) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.byID)
}
