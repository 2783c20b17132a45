// Package journal keeps the reports of this node's invocations in append-only
// files: one frame a report, written before the invocation's answer goes out,
// read back by whatever is made of reports (ledger, metrics). The same files
// serve others who keep records of their own as bytes (package audit).
//
// It owns one directory and touches nothing else. What it promises:
//
//   - When [Journal.Append] returns nil, the report survives the end of the
//     process, kill -9 included. Power loss may take what was appended within
//     the last Config.SyncEvery (and one sync's time).
//   - [Journal.Read] gives every such report exactly once, in one order that
//     never changes; a frame that was cut off by the end of the machine is never
//     given.
//   - A full disk costs the reports appended while it is full, says so, and
//     ends by itself when there is room again.
package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Defaults of [Config].
const (
	DefaultSyncEvery    = 100 * time.Millisecond
	DefaultSegmentBytes = 16 << 20
)

// Config says where the journal is and how long it keeps what.
type Config struct {
	// Dir is made if it is not there. It belongs to one open journal at a time.
	Dir string
	// SyncEvery is how long an appended report may be only in the operating
	// system's memory; zero means DefaultSyncEvery.
	SyncEvery time.Duration
	// SegmentBytes is about how large a file grows; zero means
	// DefaultSegmentBytes.
	SegmentBytes int64
	// Consumers are the names of all that must have acknowledged a segment
	// ([Journal.Acknowledge]) before it is deleted: it stays until then, whatever
	// it costs.
	Consumers []string
	// Budget bounds the bytes of all segments: beyond it the oldest goes. Zero is
	// no bound, and with consumers a segment goes as soon as they have passed it.
	Budget int64
	// Log is where outages and damage are reported; nil is silent.
	Log *slog.Logger
}

// Stats counts what happened since Open.
type Stats struct {
	Appended  int64 // reports written
	Failed    int64 // reports whose Append returned an error
	Corrupt   int64 // segments that Read left early because a frame was damaged
	Discarded int64 // segments deleted for Budget that nobody was to acknowledge
	Waiting   int64 // bytes beyond Budget that stay because a consumer has not passed them
	Segments  int
	Bytes     int64
	// Err is the failure that lasts at this moment, nil if none does.
	Err error
}

// ErrClosed is what a closed journal answers.
var ErrClosed = errors.New("journal: closed")

// Journal is an open journal. Its methods are for any number of goroutines.
type Journal struct {
	cfg Config
	log *slog.Logger
	dir *os.File // for syncing names
	id  string

	// turn is held by whoever writes: one element while somebody does.
	turn chan struct{}
	// The file that is written to, and whether to leave it; for the holder of
	// turn. offset is where the next frame goes.
	active *os.File
	offset int64
	leave  bool

	// files is held while a segment is deleted or replaced.
	files sync.Mutex

	mu       sync.Mutex
	pending  *batch    // frames waiting for the next write
	spare    []byte    // memory of a batch that was written, for the next
	segments []segment // oldest first; the last is active
	acked    map[string]Position
	waiters  map[chan struct{}]struct{}
	syncing  *time.Timer // armed while something is not synced
	closed   bool
	stats    Stats

	// done ends followers; work counts syncs in flight.
	done chan struct{}
	work sync.WaitGroup
}

// segment is one file of the journal.
type segment struct {
	number uint64
	end    int64 // bytes up to the last whole frame
}

// Open opens the journal in cfg.Dir. Frames that the end of the machine cut off
// are truncated. Writing goes on in a new segment, so that no position that a
// consumer has kept ever means another report.
func Open(cfg Config) (*Journal, error) {
	if cfg.SyncEvery <= 0 {
		cfg.SyncEvery = DefaultSyncEvery
	}
	if cfg.SegmentBytes <= 0 {
		cfg.SegmentBytes = DefaultSegmentBytes
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("journal: make directory: %w", err)
	}
	dir, err := os.Open(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("journal: open directory: %w", err)
	}
	j := &Journal{
		cfg: cfg, log: cfg.Log, dir: dir,
		turn:    make(chan struct{}, 1),
		acked:   make(map[string]Position),
		waiters: make(map[chan struct{}]struct{}),
		done:    make(chan struct{}),
	}
	if j.id, err = identify(cfg.Dir); err == nil {
		err = j.recover()
	}
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return j, nil
}

// ID names this journal: positions of one with another name mean nothing here.
func (j *Journal) ID() string { return j.id }

// recover lists the segments, mends the last one and opens a new one.
func (j *Journal) recover() error {
	numbers, err := listSegments(j.cfg.Dir)
	if err == nil {
		err = removeUnfinished(j.cfg.Dir)
	}
	if err != nil {
		return err
	}
	next := uint64(1)
	for i, n := range numbers {
		next = n + 1
		path := j.path(n)
		end, size, err := scanSegment(path, i < len(numbers)-1)
		if err != nil {
			return err
		}
		if size > end {
			if err := os.Truncate(path, end); err != nil {
				return fmt.Errorf("journal: cut off torn tail: %w", err)
			}
			j.log.Warn("journal: cut off a torn tail", "segment", filepath.Base(path), "bytes", size-end)
		}
		if end <= headerSize { // nothing in it
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("journal: remove empty segment: %w", err)
			}
			continue
		}
		j.segments = append(j.segments, segment{n, end})
	}
	return j.begin(next)
}

// begin makes the segment of that number the active one. For the holder of turn.
func (j *Journal) begin(number uint64) error {
	f, err := createSegment(j.path(number))
	if err != nil {
		return err
	}
	if err := j.dir.Sync(); err != nil {
		return errors.Join(fmt.Errorf("journal: sync directory: %w", err), f.Close(), os.Remove(f.Name()))
	}
	j.active, j.offset, j.leave = f, headerSize, false
	j.mu.Lock()
	j.segments = append(j.segments, segment{number, headerSize})
	j.mu.Unlock()
	return nil
}

// Stats tells what happened since Open.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.stats
	s.Segments = len(j.segments)
	for _, seg := range j.segments {
		s.Bytes += seg.end
	}
	return s
}

// Sync returns when everything appended before is on the disk.
func (j *Journal) Sync() error {
	j.turn <- struct{}{}
	defer func() { <-j.turn }()
	if j.isClosed() {
		return ErrClosed
	}
	if err := j.active.Sync(); err != nil {
		return fmt.Errorf("journal: sync: %w", err)
	}
	return nil
}

// Close writes what waits, syncs, and tells followers to end; it does not wait
// for their functions to return.
func (j *Journal) Close() error {
	j.turn <- struct{}{}
	defer func() { <-j.turn }()
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return nil
	}
	j.closed = true
	b := j.pending
	j.pending = nil
	if j.syncing != nil && j.syncing.Stop() {
		j.work.Done()
	}
	j.mu.Unlock()
	if b != nil {
		j.write(b)
	}
	close(j.done)
	j.work.Wait()
	err := j.active.Sync()
	return errors.Join(err, j.active.Close(), j.dir.Close())
}

func (j *Journal) isClosed() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.closed
}
