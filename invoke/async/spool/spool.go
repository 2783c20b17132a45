package spool

import (
	"errors"
	"log/slog"
	"sync"
)

// DefaultSegmentBytes is about how large a segment grows.
const DefaultSegmentBytes = 32 << 20

// Config says where the spool is.
type Config struct {
	FS FS
	// SegmentBytes is about how large a file grows; zero means
	// DefaultSegmentBytes.
	SegmentBytes int64
	// Log is where damage is reported; nil is silent.
	Log *slog.Logger
}

// Stats counts what happened since Open.
type Stats struct {
	Appended int64 // records written
	Syncs    int64 // how often the disk was asked to sync what was appended
	Damaged  int64 // places where a segment could not be read on
	Segments int
	Bytes    int64
}

// ErrClosed is what a closed spool answers.
var ErrClosed = errors.New("spool: closed")

// Spool is an open spool. Its methods are for any number of goroutines.
type Spool struct {
	cfg Config
	// writing and syncing have one element while somebody writes, or syncs.
	// Whoever needs both takes writing first.
	writing chan struct{}
	syncing chan struct{}
	// leave says that nothing more is to be written to the active segment; for
	// the holder of writing.
	leave bool

	mu       sync.Mutex
	pending  *batch // records waiting for the next write
	nextSync *joint // who waits for the next sync
	segments []*segment
	closed   bool
	stats    Stats
}

// Visit is called by Open for every record, oldest first. meta is good until it
// returns.
type Visit func(meta []byte, body int, at Place) error

// Open opens a spool and calls visit for what is in it. A torn end, which was
// never acknowledged, is cut off; everything else is on the disk when Open
// returns. Writing goes on in a new segment.
func Open(cfg Config, visit Visit) (*Spool, error) {
	if cfg.SegmentBytes <= 0 {
		cfg.SegmentBytes = DefaultSegmentBytes
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Spool{cfg: cfg, writing: make(chan struct{}, 1), syncing: make(chan struct{}, 1)}
	if err := s.recover(visit); err != nil {
		for _, seg := range s.segments {
			err = errors.Join(err, seg.file.Close())
		}
		return nil, err
	}
	return s, nil
}

// Stats tells what happened since Open.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.Segments = len(s.segments)
	for _, seg := range s.segments {
		st.Bytes += seg.end
	}
	return st
}

// Close writes and syncs what waits.
func (s *Spool) Close() error {
	s.writing <- struct{}{}
	defer func() { <-s.writing }()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	b := s.pending
	s.pending = nil
	s.mu.Unlock()
	if b != nil {
		s.write(b)
	}
	s.syncing <- struct{}{}
	defer func() { <-s.syncing }()
	s.mu.Lock()
	act := s.active()
	end := act.end
	s.mu.Unlock()
	err := s.syncSegment(act, end)
	for _, seg := range s.segments {
		err = errors.Join(err, seg.file.Close())
	}
	return errors.Join(err, s.cfg.FS.Close())
}
