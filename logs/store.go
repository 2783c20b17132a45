// Package logs stores what functions and their environments write, and answers
// questions about it.
//
// It owns one directory of SQLite databases: an index of groups and streams, and
// one database for each day (UTC, by the events' own time) that holds events in
// compressed blocks with the tenant as an indexed column. When room is short, whoever holds most
// loses its oldest events, whatever the day.
//
// The tenant of an event is an argument of [Writer.Append]: it comes from the
// binding of the environment that wrote the event, never from its text.
//
// Nothing that appends ever waits for the disk: events go through a bounded
// queue to one goroutine that writes them in batches. Whoever writes faster than
// the disk takes it loses lines of its own, counted and recorded in its stream;
// other tenants lose nothing. A full disk, or one that fails, costs log lines,
// never an invocation.
package logs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Defaults of [Config].
const (
	DefaultQueueBytes = 16 << 20
	DefaultBatchEvery = 50 * time.Millisecond
)

// Config says where logs are and how much of them is kept.
type Config struct {
	// Dir is made, for the owner alone, if it is not there.
	Dir string
	// Budget bounds the bytes of all files: beyond it whoever holds most, a tenant
	// or a group's events of no tenant, loses its oldest events. Zero is no bound.
	Budget int64
	// Reserve is how many bytes the disk should keep free: while it has fewer the
	// store grows no more, by the same rule. Zero is none.
	Reserve int64
	// Least is what the store may hold all the same: with none of it a short disk
	// would leave it empty, and everybody's newest events would go.
	Least int64
	// QueueBytes bounds what waits for the disk; zero means DefaultQueueBytes.
	QueueBytes int64
	// BatchEvery is how long an event may wait for others to be written with it,
	// or four times as long where that saves work; zero means DefaultBatchEvery.
	// A query never waits for it.
	BatchEvery time.Duration
	// Log is where outages are reported; nil is silent.
	Log *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	// free measures the disk; nil means freeBytes.
	free func(dir string) (int64, error)
}

// Errors that callers tell apart.
var (
	ErrNoGroup   = errors.New("logs: no such log group")
	ErrNoStream  = errors.New("logs: no such log stream")
	ErrExists    = errors.New("logs: exists already")
	ErrBadCursor = errors.New("logs: not a cursor of this store")
	ErrClosed    = errors.New("logs: closed")
)

// Stats counts what happened since Open.
type Stats struct {
	Lines, LineBytes       int64 // stored
	Dropped, DroppedBytes  int64 // refused, because their writer was too fast
	Lost, LostBytes        int64 // taken, then not stored, because the disk failed
	Queued                 int64 // bytes that wait
	Days                   int   // databases of events
	Bytes                  int64 // of all files
	DaysDeleted, Trimmings int64 // for the budget or the disk's sake
	Err                    error // the failure that lasts at this moment
}

// Store is an open log store. Its methods are for any number of goroutines.
type Store struct {
	cfg    Config
	log    *slog.Logger
	now    func() time.Time
	index  *index
	shards shards
	queue  queue
	names  names
	codec  codec

	// committed is the highest event number that queries can see.
	committed atomic.Int64
	commands  chan command
	stopping  chan struct{}
	stopped   chan struct{}
	closing   sync.Once

	// For the writing goroutine only.
	lastID     int64 // the highest event number given
	generation uint64
	sweeps     []sweep
	planned    int64         // the day up to which sweeps were planned
	sinceCheck int64         // bytes written since the budget was looked at
	usedBefore int64         // bytes in use then
	storing    time.Duration // what the last batch took
	untold     untold

	mu        sync.Mutex
	followers map[chan struct{}]struct{}
	stats     Stats
}

// command is something that the writing goroutine does between batches, after
// everything that was queued before it.
type command struct {
	run  func() error
	done chan error
}

// Open opens the store in cfg.Dir. It reads the index and the names of the
// days; days are opened when they are needed.
func Open(cfg Config) (*Store, error) {
	if cfg.QueueBytes <= 0 {
		cfg.QueueBytes = DefaultQueueBytes
	}
	if cfg.BatchEvery <= 0 {
		cfg.BatchEvery = DefaultBatchEvery
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.free == nil {
		cfg.free = freeBytes
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("logs: make directory: %w", err)
	}
	s := &Store{
		cfg: cfg, log: cfg.Log, now: cfg.Now,
		queue:     queue{limit: cfg.QueueBytes, wake: make(chan struct{}, 1)},
		names:     names{byID: make(map[int64]string)},
		codec:     newCodec(),
		commands:  make(chan command),
		stopping:  make(chan struct{}),
		stopped:   make(chan struct{}),
		followers: make(map[chan struct{}]struct{}),
	}
	var err error
	if s.index, err = openIndex(cfg.Dir, cfg.Log); err != nil {
		return nil, err
	}
	if err := s.shards.load(cfg.Dir); err != nil {
		return nil, errors.Join(err, s.index.close())
	}
	s.lastID = s.now().UnixMicro()
	s.committed.Store(s.lastID)
	go s.run()
	return s, nil
}

// Close stores what is queued and closes the files. What is appended after is
// dropped.
func (s *Store) Close() error {
	s.closing.Do(func() { close(s.stopping) })
	<-s.stopped
	return errors.Join(s.index.close(), s.shards.close())
}

// Flush returns when everything appended before can be read.
func (s *Store) Flush(ctx context.Context) error {
	if s.queue.idle() {
		return nil
	}
	return s.do(ctx, func() error { return nil })
}

// do runs f in the writing goroutine after everything queued before.
func (s *Store) do(ctx context.Context, f func() error) error {
	c := command{f, make(chan error, 1)}
	select {
	case s.commands <- c:
	case <-s.stopped:
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case err := <-c.done:
		return err
	case <-s.stopped:
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Stats tells what happened since Open.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	st := s.stats
	s.mu.Unlock()
	s.queue.mu.Lock()
	st.Dropped, st.DroppedBytes, st.Queued = s.queue.dropped.records, s.queue.dropped.bytes, s.queue.bytes
	s.queue.mu.Unlock()
	st.Days, st.Bytes = s.shards.size()
	st.Bytes += s.index.size()
	return st
}

// count changes the counters.
func (s *Store) count(f func(*Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.stats)
}
