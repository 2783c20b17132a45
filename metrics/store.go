// Package metrics keeps metrics as CloudWatch has them: those of functions, made of
// the journal's reports; those that functions write into their logs in the embedded
// metric format; and those that clients put.
//
// It owns one directory with one SQLite database: series, and their points of a
// minute, five minutes and an hour, kept as long as AWS keeps them. What is made of a
// report is counted exactly once; what clients put is on the disk when they are
// answered; what functions embed in logs, and throttles, may be lost with the last
// seconds before a kill. How many series there are is bounded for each function, each
// tenant and all together: no id that a client or a function makes up costs memory.
//
// The tenant of a series comes from the binding of the environment that measured it,
// never from a dimension that a function names.
package metrics

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

	"github.com/alcove-run/alcove/internal/sqlite"
	"github.com/alcove-run/alcove/journal"
)

// Defaults of [Config].
const (
	DefaultGatherEvery = 5 * time.Second
	DefaultBudget      = 1 << 30
)

// Config is what a [Store] is made from.
type Config struct {
	Dir     string // the store's own, made if it is not there
	Journal *journal.Journal
	// GatherEvery is how long measurements come together to one transaction; zero
	// means DefaultGatherEvery. A query does not wait for it.
	GatherEvery time.Duration
	// Budget bounds the bytes of the files: beyond it the finest and oldest points
	// go. Zero means DefaultBudget.
	Budget int64
	// Gauges, if not nil, is asked for what is measured by looking, before each
	// transaction of the background.
	Gauges func(*Gauges)
	Log    *slog.Logger
	Now    func() time.Time // nil means time.Now
}

// Store is an open store of metrics. Its methods are for any number of goroutines.
type Store struct {
	cfg    Config
	log    *slog.Logger
	now    func() time.Time
	cancel context.CancelFunc
	done   chan struct{}
	emf    embedded

	measured measured // what was counted and is in no transaction yet

	mu sync.Mutex
	// The fields below are guarded by mu.
	db      *sql.DB // nil while it cannot be opened
	at      journal.Position
	batch   batch
	counts  map[string]int // series of each class
	total   int            // series
	trimmed time.Time
	failed  error
	dropped int64 // measurements that were beyond a limit
}

const schema = `
CREATE TABLE IF NOT EXISTS place(one INTEGER PRIMARY KEY CHECK(one = 1), journal TEXT NOT NULL, segment INTEGER NOT NULL, offset INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS series(
	id INTEGER PRIMARY KEY AUTOINCREMENT, hash BLOB NOT NULL UNIQUE, namespace TEXT NOT NULL, name TEXT NOT NULL, unit TEXT NOT NULL,
	dimensions TEXT NOT NULL, tenant TEXT NOT NULL, class TEXT NOT NULL, last INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS series_by_name ON series(namespace, name, dimensions);
CREATE INDEX IF NOT EXISTS series_by_tenant ON series(tenant);
CREATE TABLE IF NOT EXISTS points(
	resolution INTEGER NOT NULL, series INTEGER NOT NULL, at INTEGER NOT NULL,
	n REAL NOT NULL, sum REAL NOT NULL, min REAL NOT NULL, max REAL NOT NULL, sketch BLOB NOT NULL,
	PRIMARY KEY(series, resolution, at)) WITHOUT ROWID;
INSERT INTO place(one, journal, segment, offset) VALUES(1, '', 0, 0) ON CONFLICT DO NOTHING;
`

// Open opens the store and begins to read the journal. A store whose database cannot
// be used is told of in the log and tried again.
func Open(cfg Config) (*Store, error) {
	if cfg.GatherEvery <= 0 {
		cfg.GatherEvery = DefaultGatherEvery
	}
	if cfg.Budget <= 0 {
		cfg.Budget = DefaultBudget
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("metrics: make directory: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Store{cfg: cfg, log: cfg.Log, now: cfg.Now, cancel: cancel, done: make(chan struct{})}
	s.emf.wake = make(chan struct{}, 1)
	go s.run(ctx)
	return s, nil
}

// run writes what was measured, every now and then.
func (s *Store) run(ctx context.Context) {
	defer close(s.done)
	for tick := time.NewTicker(s.cfg.GatherEvery); ; {
		select {
		case <-tick.C:
		case <-s.emf.wake: // many lines wait
			s.takeEmbedded()
			select {
			case <-time.After(embeddedPause):
			case <-ctx.Done():
			}
			continue
		case <-ctx.Done():
			tick.Stop()
			return
		}
		if s.cfg.Gauges != nil {
			s.measured.gauge(s.now(), s.cfg.Gauges)
		}
		if _, err := s.catchUp(); err == nil {
			s.trimNowAndThen()
		}
	}
}

// Close writes what is there and closes the database.
func (s *Store) Close() error {
	s.cancel()
	<-s.done
	_, err := s.catchUp()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil {
		return err
	}
	err = errors.Join(err, s.db.Close())
	s.db = nil
	return err
}

// catchUp writes everything that was measured before, and gives the database.
func (s *Store) catchUp() (*sql.DB, error) {
	s.takeEmbedded()
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.open()
	if err == nil {
		s.measured.drain(&s.batch)
		if err = s.read(); err != nil {
			s.batch = batch{} // reports are read again
		}
	}
	if err != nil && s.failed == nil {
		s.log.Error("metrics: they cannot be written", "directory", s.cfg.Dir, "error", err)
	}
	if err == nil && s.failed != nil {
		s.log.Info("metrics: they are written again")
	}
	s.failed = err
	return s.db, err
}

func (s *Store) path() string { return filepath.Join(s.cfg.Dir, "metrics.db") }

// open opens the database if it is not open. Preconditions: s.mu is held.
func (s *Store) open() error {
	if s.db != nil {
		return nil
	}
	db, err := s.tryOpen()
	if sqlite.IsDamaged(err) {
		s.log.Error("metrics: the database is damaged: starting with an empty one", "path", s.path(), "error", err)
		if err := sqlite.SetAside(s.path()); err != nil {
			return fmt.Errorf("metrics: set damaged database aside: %w", err)
		}
		db, err = s.tryOpen()
	}
	if err != nil {
		return fmt.Errorf("metrics: open: %w", err)
	}
	s.db = db
	s.batch = batch{}
	return nil
}

func (s *Store) tryOpen() (*sql.DB, error) {
	db, err := sqlite.Open(s.path(), "rwc", 1024, "secure_delete(1)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(1)
	db.SetConnMaxIdleTime(30 * time.Second)
	var from string
	if _, err = db.Exec(schema); err == nil {
		err = db.QueryRow(`SELECT journal, segment, offset FROM place`).Scan(&from, &s.at.Segment, &s.at.Offset)
	}
	if id := s.cfg.Journal.ID(); err == nil && from != id {
		s.at = journal.Position{}
		_, err = db.Exec(`UPDATE place SET journal = ?, segment = 0, offset = 0`, id)
	}
	if err == nil {
		s.counts, s.total, err = countSeries(db)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// Stats tells of the store.
type Stats struct {
	Series  int
	Dropped int64 // measurements and lines that were beyond a limit
}

// Stats tells how many series there are, and what was dropped since Open.
func (s *Store) Stats() Stats {
	s.emf.mu.Lock()
	dropped := s.emf.dropped
	s.emf.mu.Unlock()
	s.measured.mu.Lock()
	dropped += s.measured.dropped
	s.measured.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{s.total, s.dropped + dropped}
}
