// Package usage keeps the ledger: what each tenant used of each function on each
// day, and what that costs.
//
// It owns one directory with one SQLite database, and reads the journal of
// reports. An entry is made of each report, and of each binding of an environment
// to a tenant, exactly once, whatever ends the process: entries, sums and the
// place in the journal that they reach to are written in one transaction, an entry
// is named by its place, and the journal keeps a segment until the ledger is on the
// disk with all of it. Entries are kept up to a number, sums for good.
//
// No invocation waits for the ledger. A query does: it sees every report that was
// in the journal when it was asked.
package usage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/internal/sqlite"
	"github.com/alcove-run/alcove/journal"
)

// Consumer is the ledger's name among the journal's consumers.
const Consumer = "ledger"

// Defaults of [Config].
const (
	DefaultEntries     = 5_000_000
	DefaultGatherEvery = time.Second
)

// Config is what a [Ledger] is made from.
type Config struct {
	Dir     string // the ledger's own, made if it is not there
	Journal *journal.Journal
	// Entries bounds how many single entries are kept; zero means DefaultEntries.
	Entries int64
	// GatherEvery is how long reports come together to one transaction; zero means
	// DefaultGatherEvery. A query does not wait for it.
	GatherEvery time.Duration
	// Prices are what queries are answered with.
	Prices Prices
	Log    *slog.Logger
}

// Ledger is an open ledger. Its methods are for any number of goroutines.
type Ledger struct {
	cfg    Config
	log    *slog.Logger
	cancel context.CancelFunc
	done   chan struct{}
	// reading is held while single entries are read: that looks at all of them, and
	// one processor is enough for it.
	reading chan struct{}

	mu sync.Mutex
	// The fields below are guarded by mu.
	db     *sql.DB // nil while it cannot be opened
	at     journal.Position
	synced uint64 // every segment before is in the ledger, and that is on the disk
	count  int64  // of entries
	batch  batch
	failed error // the failure that lasts
}

const schema = `
CREATE TABLE IF NOT EXISTS place(
	one INTEGER PRIMARY KEY CHECK(one = 1), journal TEXT NOT NULL, epoch INTEGER NOT NULL,
	segment INTEGER NOT NULL, offset INTEGER NOT NULL, entries INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS sums(
	id INTEGER PRIMARY KEY AUTOINCREMENT, day INTEGER NOT NULL, tenant TEXT NOT NULL, function_id TEXT NOT NULL, function TEXT NOT NULL,
	architecture TEXT NOT NULL,
	invocations INTEGER NOT NULL DEFAULT 0, errors INTEGER NOT NULL DEFAULT 0, timeouts INTEGER NOT NULL DEFAULT 0, failures INTEGER NOT NULL DEFAULT 0,
	billed_ms INTEGER NOT NULL DEFAULT 0, memory_ms INTEGER NOT NULL DEFAULT 0, ephemeral_ms INTEGER NOT NULL DEFAULT 0,
	environments INTEGER NOT NULL DEFAULT 0, environment_mb INTEGER NOT NULL DEFAULT 0,
	bytes_in INTEGER NOT NULL DEFAULT 0, bytes_out INTEGER NOT NULL DEFAULT 0, log_bytes INTEGER NOT NULL DEFAULT 0,
	queue_bytes INTEGER NOT NULL DEFAULT 0, network_in INTEGER NOT NULL DEFAULT 0, network_out INTEGER NOT NULL DEFAULT 0,
	connections INTEGER NOT NULL DEFAULT 0,
	UNIQUE(day, tenant, function_id, architecture));
CREATE INDEX IF NOT EXISTS sums_by_tenant ON sums(tenant, day);
CREATE TABLE IF NOT EXISTS entries(
	id INTEGER PRIMARY KEY, sum INTEGER NOT NULL, request BLOB NOT NULL, at INTEGER NOT NULL,
	status INTEGER NOT NULL, memory INTEGER NOT NULL, ephemeral INTEGER NOT NULL, billed INTEGER NOT NULL);
INSERT INTO place(one, journal, epoch, segment, offset, entries) VALUES(1, '', 0, 0, 0, 0) ON CONFLICT DO NOTHING;
`

// later are the columns of sums that ledgers of before did not have.
var later = []string{"connections"}

// migrate makes the tables, and gives those that there are what they lack.
func migrate(db *sql.DB) error {
	if _, err := db.Exec(schema); err != nil {
		return err
	}
	for _, column := range later {
		var has bool
		err := db.QueryRow(`SELECT count(*) > 0 FROM pragma_table_info('sums') WHERE name = ?`, column).Scan(&has)
		if err == nil && !has {
			_, err = db.Exec(`ALTER TABLE sums ADD COLUMN ` + column + ` INTEGER NOT NULL DEFAULT 0`)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Open opens the ledger and begins to read the journal. A ledger whose database
// cannot be used is told of in the log and tried again: the journal keeps what is
// to come into it.
func Open(cfg Config) (*Ledger, error) {
	if cfg.Entries <= 0 {
		cfg.Entries = DefaultEntries
	}
	if cfg.GatherEvery <= 0 {
		cfg.GatherEvery = DefaultGatherEvery
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("usage: make directory: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &Ledger{cfg: cfg, log: cfg.Log, cancel: cancel, done: make(chan struct{}), reading: make(chan struct{}, 1)}
	go l.run(ctx)
	return l, nil
}

// retryEvery is how long after a failure the ledger is tried again.
const retryEvery = 5 * time.Second

// run follows the journal.
func (l *Ledger) run(ctx context.Context) {
	defer close(l.done)
	for {
		pause := l.cfg.GatherEvery
		if _, err := l.catchUp(); err != nil {
			pause = retryEvery
		}
		// Together with what comes after, and not more often than that.
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		l.mu.Lock()
		at := l.at
		l.mu.Unlock()
		if err := l.cfg.Journal.Wait(ctx, at); err != nil {
			return
		}
	}
}

// Close writes what is in the journal and closes the database.
func (l *Ledger) Close() error {
	l.cancel()
	<-l.done
	_, err := l.catchUp()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.db == nil {
		return err
	}
	err = errors.Join(err, l.db.Close())
	l.db = nil
	return err
}

// CatchUp returns when everything that was in the journal is in the ledger.
func (l *Ledger) CatchUp() error {
	_, err := l.catchUp()
	return err
}

// catchUp gives the database as well.
func (l *Ledger) catchUp() (*sql.DB, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.open()
	if err == nil {
		err = l.read()
	}
	if err != nil && l.failed == nil {
		l.log.Error("usage: the ledger cannot be written; the journal keeps the reports until it can", "directory", l.cfg.Dir, "error", err)
	}
	if err == nil && l.failed != nil {
		l.log.Info("usage: the ledger is written again")
	}
	l.failed = err
	return l.db, err
}

func (l *Ledger) path() string { return filepath.Join(l.cfg.Dir, "ledger.db") }

// open opens the database if it is not open. Preconditions: l.mu is held.
func (l *Ledger) open() error {
	if l.db != nil {
		return nil
	}
	db, err := sqlite.Open(l.path(), "rwc", 1024, "secure_delete(1)")
	if err != nil {
		return fmt.Errorf("usage: %w", err)
	}
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(1)
	db.SetConnMaxIdleTime(30 * time.Second)
	var from string
	if err = migrate(db); err == nil {
		err = db.QueryRow(`SELECT journal, epoch, segment, offset, entries FROM place`).Scan(&from, &l.batch.epoch, &l.at.Segment, &l.at.Offset, &l.count)
	}
	if id := l.cfg.Journal.ID(); err == nil && from != id {
		// Somebody has removed the journal, or this is a new ledger. Entries of the
		// one before keep their names.
		l.log.Info("usage: reading a journal from its beginning", "journal", id, "before", from)
		l.at = journal.Position{}
		l.batch.epoch++
		_, err = db.Exec(`UPDATE place SET journal = ?, epoch = ?, segment = 0, offset = 0`, id, l.batch.epoch)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("usage: open ledger: %w", err), db.Close())
	}
	l.db, l.synced = db, 0
	l.batch.reset()
	return nil
}

// batchReports bounds the memory of a batch.
const batchReports = 5000

// read takes what is new in the journal into the database.
// Preconditions: l.mu is held, the database is open.
func (l *Ledger) read() error {
	// A batch that a failure has left is read again.
	l.batch.reset()
	err := l.cfg.Journal.Read(l.at, func(p journal.Position, r *alcove.Report) error {
		l.batch.add(p, r)
		if len(l.batch.entries) < batchReports {
			return nil
		}
		return l.commit()
	})
	if err == nil {
		err = l.commit()
	}
	if err == nil {
		err = l.acknowledge()
	}
	return err
}

// commit writes the batch. Preconditions: l.mu is held, the database is open.
func (l *Ledger) commit() error {
	if len(l.batch.entries) == 0 {
		return nil
	}
	count := l.count + int64(len(l.batch.entries))
	over := int64(0)
	if count > l.cfg.Entries+l.cfg.Entries/64 { // now and then, many at once
		over = count - l.cfg.Entries
	}
	err := sqlite.Change(l.db, func(tx *sql.Tx) error {
		if err := l.batch.write(tx); err != nil {
			return err
		}
		if over > 0 {
			if _, err := tx.Exec(`DELETE FROM entries WHERE id IN (SELECT id FROM entries ORDER BY id LIMIT ?)`, over); err != nil {
				return err
			}
		}
		_, err := tx.Exec(`UPDATE place SET segment = ?, offset = ?, entries = ?`, l.batch.at.Segment, l.batch.at.Offset, count-over)
		return err
	})
	if err != nil {
		return fmt.Errorf("usage: write entries: %w", err)
	}
	l.at, l.count = l.batch.at, count-over
	l.batch.reset()
	return nil
}

// acknowledge tells the journal which segments are in the ledger, once that is on
// the disk and not only in the operating system's memory: power loss must not take
// it from both. Preconditions: l.mu is held, the database is open.
func (l *Ledger) acknowledge() error {
	if l.at.Segment == l.synced {
		return nil
	}
	var busy, pages, moved int64
	if err := l.db.QueryRow(`PRAGMA wal_checkpoint(FULL)`).Scan(&busy, &pages, &moved); err != nil {
		return fmt.Errorf("usage: sync ledger: %w", err)
	}
	if busy != 0 || moved != pages {
		return nil // somebody reads; the next time will do
	}
	l.synced = l.at.Segment
	l.cfg.Journal.Acknowledge(Consumer, l.at)
	return nil
}

// Prices are what queries are answered with.
func (l *Ledger) Prices() Prices { return l.cfg.Prices }
