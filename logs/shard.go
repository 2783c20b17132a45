package logs

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/internal/sqlite"
)

// shard is the database of one day's events.
type shard struct {
	day   int64 // since 1970
	build int   // how often its database was built anew
	path  string

	// lastID is the highest event number committed since the store was opened.
	lastID atomic.Int64
	// ready says that the database is there, for queries.
	ready atomic.Bool

	// For the writing goroutine only.
	w       *sql.DB
	insert  *sql.Stmt
	tenants map[alcove.Tenant]int64
	has     tables
	waiting amount // batches
	// recalled: the index knows, or will be told, what is in the batches.
	recalled bool
	finished bool  // the day is over, and nothing waits
	putOff   int64 // after a failure, no blocks are made before so many bytes wait

	mu   sync.Mutex
	refs int
	gone bool // deleted: the last reader closes r
	// replaced: another build has the day's events.
	replaced bool
	r        *sql.DB
}

// Events come in batches, which become blocks. Days from before that have chunks.
const shardSchema = `
CREATE TABLE IF NOT EXISTS tenants(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS held(grp INTEGER NOT NULL, tenant INTEGER NOT NULL, bytes INTEGER NOT NULL, chunks INTEGER NOT NULL,
	PRIMARY KEY(grp, tenant)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batches(
	id INTEGER PRIMARY KEY, first INTEGER NOT NULL, least INTEGER NOT NULL, most INTEGER NOT NULL, contents BLOB NOT NULL, payload BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS blocks(
	id INTEGER PRIMARY KEY, grp INTEGER NOT NULL, stream INTEGER NOT NULL, tenant INTEGER NOT NULL, class INTEGER NOT NULL,
	least INTEGER NOT NULL, most INTEGER NOT NULL, lines INTEGER NOT NULL, text INTEGER NOT NULL, payload BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS blocks_by_group ON blocks(grp, class, least);
CREATE INDEX IF NOT EXISTS blocks_by_stream ON blocks(stream, class, least);
CREATE INDEX IF NOT EXISTS blocks_by_tenant ON blocks(tenant, grp, class, least);
`

// tables says which tables of events a day has.
type tables struct{ chunks, blocks bool }

// tablesOf looks.
func tablesOf(ctx context.Context, db rower) (t tables, err error) {
	err = db.QueryRowContext(ctx, `SELECT ifnull(sum(name = 'chunks'), 0), ifnull(sum(name = 'blocks'), 0) FROM sqlite_master WHERE type = 'table'`).Scan(&t.chunks, &t.blocks)
	return t, err
}

// each calls fn with the name of each table of events that tenants hold.
func (t tables) each(fn func(table, text string) error) error {
	if t.chunks {
		if err := fn("chunks", "length(payload)"); err != nil {
			return err
		}
	}
	if t.blocks {
		return fn("blocks", "text")
	}
	return nil
}

// maxTenants bounds the tenant ids that the writing goroutine remembers.
const maxTenants = 10_000

// openForWriting opens the database, made if it is not there, and gives the
// highest event number in it.
func (sh *shard) openForWriting() (last int64, err error) {
	w, err := sqlite.Open(sh.path, "rwc", 2048)
	if err != nil {
		return 0, err
	}
	w.SetMaxOpenConns(1)
	if _, err = w.Exec(shardSchema); err == nil {
		err = addText(w)
	}
	if err == nil {
		sh.has, err = tablesOf(context.Background(), w)
	}
	if err == nil {
		err = w.QueryRow(`SELECT max(ifnull((SELECT max(id) FROM batches), 0), ifnull((SELECT max(id) FROM blocks), 0))`).Scan(&last)
	}
	if err == nil && sh.has.chunks {
		var old int64
		err = w.QueryRow(`SELECT ifnull(max(id + lines - 1), 0) FROM (SELECT id, lines FROM chunks ORDER BY id DESC LIMIT 1)`).Scan(&old)
		last = max(last, old)
	}
	if err == nil {
		err = w.QueryRow(`SELECT count(*), ifnull(sum(length(payload) + ? * length(contents)), 0) FROM batches`, contentsWeight).Scan(&sh.waiting.chunks, &sh.waiting.bytes)
	}
	if err == nil {
		sh.insert, err = w.Prepare(`INSERT INTO batches(id, first, least, most, contents, payload) VALUES(?, ?, ?, ?, ?, ?)`)
	}
	if err != nil {
		return 0, errors.Join(fmt.Errorf("logs: open day: %w", err), w.Close())
	}
	sh.w, sh.tenants = w, make(map[alcove.Tenant]int64)
	sh.ready.Store(true)
	return last, nil
}

// addText adds the column of held that says how many bytes of text more there are
// than of payload: days from before there were blocks have none.
func addText(w *sql.DB) error {
	var there bool
	err := w.QueryRow(`SELECT EXISTS(SELECT 1 FROM pragma_table_info('held') WHERE name = 'saved')`).Scan(&there)
	if err == nil && !there {
		_, err = w.Exec(`ALTER TABLE held ADD COLUMN saved INTEGER NOT NULL DEFAULT 0`)
	}
	return err
}

// closeWriting gives up the writing connection; the next batch opens it again.
func (sh *shard) closeWriting() error {
	if sh.w == nil {
		return nil
	}
	err := errors.Join(sh.insert.Close(), sh.w.Close())
	sh.w, sh.insert, sh.tenants = nil, nil, nil
	return err
}

// amount is how much of chunks there is: bytes of their payloads, and of their text
// beyond those, and how many.
type amount struct{ bytes, saved, chunks int64 }

// write stores chunks, numbered already, in one transaction.
func (sh *shard) write(list []chunk) error {
	all := batches(list)
	err := sqlite.Change(sh.w, func(tx *sql.Tx) error {
		insert := tx.Stmt(sh.insert)
		for _, b := range all {
			if _, err := insert.Exec(b.id, b.first, b.least, b.most, b.contents, b.payload); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("logs: write events: %w", err)
	}
	for _, b := range all {
		sh.waiting.bytes += b.weight()
		sh.waiting.chunks++
	}
	return nil
}

// reader gives the connections for queries. The database is not made if it is
// not there: a day that was deleted stays deleted.
func (sh *shard) reader() (*sql.DB, error) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.r == nil {
		r, err := sqlite.Open(sh.path, "rw", 512, "query_only(1)")
		if err != nil {
			return nil, err
		}
		readerLimits(r)
		sh.r = r
	}
	return sh.r, nil
}

// release ends a use that shards.acquire began.
func (sh *shard) release() {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.refs--
	if sh.gone && sh.refs == 0 && sh.r != nil {
		sh.r.Close()
		sh.r = nil
	}
}

// tenantID is a tenant's number in a shard's database, zero if it has no events there.
func tenantID(ctx context.Context, db rower, tenant alcove.Tenant) (int64, error) {
	var id int64
	err := db.QueryRowContext(ctx, `SELECT id FROM tenants WHERE name = ?`, string(tenant)).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return id, err
}

// shards are the days of a store.
type shards struct {
	dir  string
	mu   sync.Mutex
	list []*shard // by day
}

const shardLayout = "2006-01-02"

// load finds the days in dir.
func (s *shards) load(dir string) error {
	s.dir = dir
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("logs: list days: %w", err)
	}
	for _, e := range entries {
		if strings.Contains(e.Name(), unfinishedSuffix) { // of a purge that was killed
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return fmt.Errorf("logs: remove what is unfinished: %w", err)
			}
			continue
		}
		name, ok := strings.CutSuffix(e.Name(), ".db")
		date, build, _ := strings.Cut(name, ".")
		n, _ := strconv.Atoi(build)
		if at, err := time.Parse(shardLayout, date); ok && err == nil {
			sh := s.make(dayOf(at.UnixMilli()), n)
			sh.ready.Store(true)
			s.list = append(s.list, sh)
		}
	}
	slices.SortFunc(s.list, func(a, b *shard) int { return cmp.Or(cmp.Compare(a.day, b.day), a.build-b.build) })
	// The last build of a day is whole; the one before it was to be removed.
	var last []*shard
	for _, sh := range s.list {
		if n := len(last); n > 0 && last[n-1].day == sh.day {
			if err := sqlite.Remove(last[n-1].path); err != nil {
				return fmt.Errorf("logs: remove a day's old files: %w", err)
			}
			last = last[:n-1]
		}
		last = append(last, sh)
	}
	s.list = last
	return nil
}

// unfinishedSuffix is of a day that is about to take another's place.
const unfinishedSuffix = ".unfinished"

// make names the database of a day, by its date and, if it was built anew, how
// often it was.
func (s *shards) make(day int64, build int) *shard {
	name := time.UnixMilli(day * dayMillis).UTC().Format(shardLayout)
	if build > 0 {
		name += "." + strconv.Itoa(build)
	}
	return &shard{day: day, build: build, path: filepath.Join(s.dir, name+".db")}
}

// replace puts a new build of a day in the place of the old one, which is removed.
func (s *shards) replace(old, next *shard) error {
	s.mu.Lock()
	for i, sh := range s.list {
		if sh == old {
			s.list[i] = next
		}
	}
	s.mu.Unlock()
	old.mu.Lock()
	old.replaced = true
	old.mu.Unlock()
	return s.remove(old)
}

// of gives the shard of a day, noted if it is new.
func (s *shards) of(day int64) *shard {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := slices.BinarySearchFunc(s.list, day, func(sh *shard, day int64) int { return int(sh.day - day) })
	if !ok {
		s.list = slices.Insert(s.list, i, s.make(day, 0))
	}
	return s.list[i]
}

// acquire gives the days from first to last, both included, in order, as far as
// they are there. The caller releases each.
func (s *shards) acquire(first, last int64) []*shard {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*shard
	for _, sh := range s.list {
		if sh.day >= first && sh.day <= last && sh.ready.Load() {
			sh.mu.Lock()
			sh.refs++
			sh.mu.Unlock()
			list = append(list, sh)
		}
	}
	return list
}

// remove deletes a day. Queries under way finish with what they have open.
func (s *shards) remove(sh *shard) error {
	err := sh.closeWriting()
	s.mu.Lock()
	s.list = slices.DeleteFunc(s.list, func(x *shard) bool { return x == sh })
	s.mu.Unlock()
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.gone = true
	if sh.refs == 0 && sh.r != nil {
		err = errors.Join(err, sh.r.Close())
		sh.r = nil
	}
	return errors.Join(err, sqlite.Remove(sh.path))
}

// oldest gives the first day and how many there are.
func (s *shards) oldest() (*shard, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.list) == 0 {
		return nil, 0
	}
	return s.list[0], len(s.list)
}

// size counts the days and the bytes of their files.
func (s *shards) size() (days int, bytes int64) {
	s.mu.Lock()
	list := slices.Clone(s.list)
	s.mu.Unlock()
	for _, sh := range list {
		bytes += sqlite.Size(sh.path)
	}
	return len(list), bytes
}

// close closes every day. The writing goroutine has ended.
func (s *shards) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, sh := range s.list {
		errs = append(errs, sh.closeWriting())
		sh.mu.Lock()
		if sh.r != nil {
			errs = append(errs, sh.r.Close())
			sh.r = nil
		}
		sh.mu.Unlock()
	}
	return errors.Join(errs...)
}
