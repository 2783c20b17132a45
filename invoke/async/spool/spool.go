package spool

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// maxBatch is how much one write carries, but for the record that comes last.
const maxBatch = 32 << 20

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

// Place is where a record is.
type Place struct {
	Segment uint32
	Offset  uint32
	Size    uint32 // of the frame
}

// Mark is a position in the spool that Sync can be asked for.
type Mark struct {
	segment *segment
	end     int64
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

// segment is one file.
type segment struct {
	number uint32
	file   File
	// The fields below are guarded by Spool.mu.
	end     int64 // bytes up to the last whole frame
	synced  int64 // bytes that are on the disk
	held    int64 // records that are needed
	bytes   int64 // of those
	syncErr error // since when nobody knows what of it is on the disk
	damaged bool
}

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

// batch is what one write carries: the records of all who came while the write
// before was under way.
type batch struct {
	frames  []byte
	records int64
	held    int64         // of them
	bytes   int64         // of those
	done    chan struct{} // closed when the rest is final
	segment *segment
	start   int64
	err     error
}

// joint is one sync, for all who wait for it.
type joint struct{ done chan struct{} }

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

const suffix = ".spool"

func nameOf(number uint32) string { return fmt.Sprintf("%08x%s", number, suffix) }

// numbers are those of the segments that there are, ascending.
func (s *Spool) numbers() ([]uint32, error) {
	names, err := s.cfg.FS.List()
	if err != nil {
		return nil, fmt.Errorf("spool: list segments: %w", err)
	}
	var list []uint32
	for _, name := range names {
		text, ok := strings.CutSuffix(name, suffix)
		if n, err := strconv.ParseUint(text, 16, 32); ok && len(text) == 8 && err == nil {
			list = append(list, uint32(n))
		}
	}
	slices.Sort(list)
	return list, nil
}

func (s *Spool) recover(visit Visit) error {
	numbers, err := s.numbers()
	if err != nil {
		return err
	}
	next := uint32(1)
	var files []File
	for _, n := range numbers {
		next = n + 1
		f, err := s.cfg.FS.Open(nameOf(n))
		if err != nil {
			return fmt.Errorf("spool: open segment: %w", err)
		}
		files = append(files, f)
		s.segments = append(s.segments, &segment{number: n, file: f})
	}
	for i, seg := range s.segments {
		end, known := int64(0), false
		if i+1 < len(files) {
			end, known = readHeader(files[i+1])
		}
		if err := s.load(seg, end, known, visit); err != nil {
			return err
		}
	}
	// A node whose disk is full can start: nothing is made that need not be.
	if n := len(s.segments); n > 0 && s.segments[n-1].end >= headerSize && s.segments[n-1].end < s.cfg.SegmentBytes {
		return nil
	}
	end := int64(0)
	if n := len(s.segments); n > 0 {
		end = s.segments[n-1].end
	}
	return s.begin(next, end)
}

// load reads one segment. Of one that another follows, that one says what was on
// the disk when it was left; where nobody says, what is torn was written last and
// never acknowledged.
func (s *Spool) load(seg *segment, end int64, known bool, visit Visit) error {
	f, number := seg.file, seg.number
	size, err := f.Size()
	if err != nil {
		return fmt.Errorf("spool: segment %08x: %w", number, err)
	}
	if known {
		size = min(size, end)
	}
	sc := &scanner{f: f, size: size, bodies: !known}
	if _, ok := readHeader(f); !ok {
		if known && end > 0 {
			s.damaged(seg, 0, size, errors.New("no header"))
		}
		sc.size = 0
	}
	if sc.size > 0 {
		sc.at = headerSize
	}
	for {
		meta, body, offset, n, err := sc.next()
		if err == io.EOF {
			break
		}
		if errors.Is(err, ErrDamaged) {
			if !known {
				if err := f.Truncate(sc.at); err != nil {
					return fmt.Errorf("spool: cut off a torn end: %w", err)
				}
				s.cfg.Log.Warn("spool: cut off a torn end, which was never acknowledged", "segment", nameOf(number), "bytes", size-sc.at)
			} else {
				s.damaged(seg, sc.at, size-sc.at, err)
			}
			break
		}
		if err != nil {
			return fmt.Errorf("spool: read segment %08x: %w", number, err)
		}
		if err := visit(meta, body, Place{number, uint32(offset), uint32(n)}); err != nil {
			return err
		}
	}
	seg.end = sc.at
	if !known {
		// What a killed process wrote may be in the system's memory only.
		if err := f.Sync(); err != nil {
			return fmt.Errorf("spool: sync: %w", err)
		}
	}
	seg.synced = seg.end
	return nil
}

// damaged notes that a segment that was once whole cannot be read on. It will be
// renamed, not deleted.
func (s *Spool) damaged(seg *segment, at, bytes int64, err error) {
	seg.damaged = true
	s.stats.Damaged++
	s.cfg.Log.Error("spool: the rest of a segment cannot be read: what was in it is lost unless the disk gives it back",
		"segment", nameOf(seg.number), "offset", at, "bytes", bytes, "error", err)
}

// begin makes the segment of that number the active one, behind one of which so
// much is on the disk. For the holder of writing.
func (s *Spool) begin(number uint32, before int64) error {
	f, err := s.cfg.FS.Create(nameOf(number))
	if err != nil {
		return fmt.Errorf("spool: create segment: %w", err)
	}
	_, err = f.WriteAt(appendHeader(nil, before), 0)
	if err == nil {
		err = s.cfg.FS.SyncNames()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("spool: create segment: %w", err), f.Close(), s.cfg.FS.Remove(nameOf(number)))
	}
	s.leave = false
	s.mu.Lock()
	s.segments = append(s.segments, &segment{number: number, file: f, end: headerSize})
	s.mu.Unlock()
	return nil
}

func (s *Spool) active() *segment { return s.segments[len(s.segments)-1] }

// Append writes records, one behind the other, and returns when the operating
// system has them: they survive the end of this process. Several callers at once
// share a write. After an error none of them is in the spool. Each that is not
// passing is held until Release.
func (s *Spool) Append(records ...Record) ([]Place, Mark, error) {
	for _, r := range records {
		if len(r.Meta) == 0 || len(r.Meta) > MaxMeta || len(r.Body) > MaxBody {
			return nil, Mark{}, fmt.Errorf("%w: %d and %d bytes", ErrTooLarge, len(r.Meta), len(r.Body))
		}
	}
	s.mu.Lock()
	for s.pending != nil && len(s.pending.frames) > maxBatch {
		b := s.pending
		s.mu.Unlock()
		s.flush(b)
		s.mu.Lock()
	}
	if s.closed {
		s.mu.Unlock()
		return nil, Mark{}, ErrClosed
	}
	b := s.pending
	if b == nil {
		b = &batch{done: make(chan struct{})}
		s.pending = b
	}
	places := make([]Place, len(records))
	for i, r := range records {
		places[i] = Place{Offset: uint32(len(b.frames)), Size: uint32(r.size())}
		b.frames = appendFrame(b.frames, r)
		if !r.Passing {
			b.held++
			b.bytes += r.size()
		}
	}
	b.records += int64(len(records))
	end := int64(len(b.frames))
	s.mu.Unlock()
	s.flush(b)
	if b.err != nil {
		return nil, Mark{}, b.err
	}
	for i := range places {
		places[i].Segment = b.segment.number
		places[i].Offset += uint32(b.start)
	}
	return places, Mark{b.segment, b.start + end}, nil
}

// flush returns when a batch is written, by this caller or by another.
func (s *Spool) flush(b *batch) {
	select {
	case <-b.done:
	case s.writing <- struct{}{}:
		select {
		case <-b.done: // by whoever had the turn before
		default:
			// Only the holder of the turn takes the pending batch, so it is still b.
			s.mu.Lock()
			s.pending = nil
			s.mu.Unlock()
			s.write(b)
		}
		<-s.writing
	}
}

// write writes a batch at the end of the active segment. For the holder of
// writing.
func (s *Spool) write(b *batch) {
	defer close(b.done)
	s.mu.Lock()
	seg := s.active()
	full := s.leave || seg.syncErr != nil || seg.end >= s.cfg.SegmentBytes
	s.mu.Unlock()
	if full {
		if b.err = s.rotate(seg); b.err != nil {
			return
		}
		s.mu.Lock()
		seg = s.active()
		s.mu.Unlock()
	}
	if _, err := seg.file.WriteAt(b.frames, seg.end); err != nil {
		b.err = fmt.Errorf("spool: append: %w", err)
		// What a failed write left behind must not be taken for records.
		if err := seg.file.Truncate(seg.end); err != nil {
			s.leave = true
		}
		return
	}
	s.mu.Lock()
	b.segment, b.start = seg, seg.end
	seg.held += b.held
	seg.bytes += b.bytes
	seg.end += int64(len(b.frames))
	s.stats.Appended += b.records
	s.mu.Unlock()
}

// rotate leaves the active segment for a new one, when all of it is on the disk.
// For the holder of writing.
func (s *Spool) rotate(old *segment) error {
	s.syncing <- struct{}{}
	err := s.syncSegment(old, old.end)
	<-s.syncing
	if err != nil {
		// It is left in any case: what is in it and was acknowledged is on the
		// disk, the rest nobody was promised.
		s.cfg.Log.Error("spool: a segment is not all on the disk", "segment", nameOf(old.number), "error", err)
	}
	s.mu.Lock()
	end := old.synced
	s.mu.Unlock()
	return s.begin(old.number+1, end)
}

// syncSegment syncs a segment whose records end at end. For the holder of syncing.
func (s *Spool) syncSegment(seg *segment, end int64) error {
	s.mu.Lock()
	done, failed := seg.synced >= end, seg.syncErr
	s.mu.Unlock()
	if done || failed != nil {
		return failed
	}
	err := seg.file.Sync()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Syncs++
	if err != nil {
		// The kernel tells an error once; asked again, it would say that all is
		// well.
		seg.syncErr = fmt.Errorf("spool: sync: %w", err)
		return seg.syncErr
	}
	seg.synced = max(seg.synced, end)
	return nil
}

// Sync returns when everything up to m is on the disk. All who wait at once share
// one sync. After an error nobody knows whether it is.
func (s *Spool) Sync(m Mark) error {
	s.mu.Lock()
	if done, err := m.state(); done {
		s.mu.Unlock()
		return err
	}
	b := s.nextSync
	if b == nil {
		b = &joint{done: make(chan struct{})}
		s.nextSync = b
	}
	s.mu.Unlock()
	select {
	case <-b.done:
	case s.syncing <- struct{}{}:
		select {
		case <-b.done:
		default:
			s.mu.Lock()
			s.nextSync = nil
			seg := s.active()
			end := seg.end
			s.mu.Unlock()
			if err := s.syncSegment(seg, end); err != nil {
				s.cfg.Log.Error("spool: a sync failed; writing goes on in a new segment", "segment", nameOf(seg.number), "error", err)
			}
			close(b.done)
		}
		<-s.syncing
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	done, err := m.state()
	if !done {
		err = errors.New("spool: sync: not reached")
	}
	return err
}

// state says whether it is settled if m is on the disk. For the holder of
// Spool.mu.
func (m Mark) state() (settled bool, err error) {
	switch {
	case m.segment == nil || m.segment.synced >= m.end:
		return true, nil
	case m.segment.syncErr != nil:
		return true, m.segment.syncErr
	}
	return false, nil
}

// Hold counts a record that Open gave as needed; Release says that one is needed
// no more. A place is read only while it is held.
func (s *Spool) Hold(at Place) { s.count(at, 1) }

// Release is the opposite of Hold.
func (s *Spool) Release(at Place) { s.count(at, -1) }

func (s *Spool) count(at Place, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if seg := s.find(at.Segment); seg != nil {
		seg.held += n
		seg.bytes += n * int64(at.Size)
	}
}

// find gives the segment of a number. For the holder of mu.
func (s *Spool) find(number uint32) *segment {
	i, ok := slices.BinarySearchFunc(s.segments, number, func(seg *segment, n uint32) int {
		return int(int64(seg.number) - int64(n))
	})
	if !ok {
		return nil
	}
	return s.segments[i]
}

// Read gives the record at a place.
func (s *Spool) Read(at Place) (Record, error) {
	s.mu.Lock()
	seg := s.find(at.Segment)
	s.mu.Unlock()
	if seg == nil {
		return Record{}, fmt.Errorf("%w: segment %08x is not there", ErrDamaged, at.Segment)
	}
	b := make([]byte, at.Size)
	if n, err := seg.file.ReadAt(b, int64(at.Offset)); n < len(b) {
		return Record{}, fmt.Errorf("spool: read: %w", err)
	}
	return parseFrame(b)
}

// Usage tells how much of the disk the spool takes, and how much of that is held.
func (s *Spool) Usage() (total, held int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seg := range s.segments {
		total += seg.end
		held += seg.bytes
	}
	return total, held
}

// Oldest gives the number of the oldest segment that is not written to any more,
// and how many bytes of it are held.
func (s *Spool) Oldest() (number uint32, held int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.segments) < 2 {
		return 0, 0, false
	}
	return s.segments[0].number, s.segments[0].bytes, true
}

// Rotate has writing go on in a new segment, and gives the number of the one before.
func (s *Spool) Rotate() (before uint32, err error) {
	s.writing <- struct{}{}
	defer func() { <-s.writing }()
	s.mu.Lock()
	act, closed := s.active(), s.closed
	s.mu.Unlock()
	if closed {
		return 0, ErrClosed
	}
	return act.number, s.rotate(act)
}

// Trim deletes the oldest segments as long as nothing in them is held. What was
// appended before the call is synced first: it may take back what is deleted.
func (s *Spool) Trim() error {
	for {
		s.writing <- struct{}{}
		s.mu.Lock()
		// After a failed sync, writing has to go on in a new segment first.
		if s.closed || len(s.segments) < 2 || s.segments[0].held > 0 || s.active().syncErr != nil {
			s.mu.Unlock()
			<-s.writing
			return nil
		}
		gone, act := s.segments[0], s.active()
		end := act.end
		s.mu.Unlock()
		s.syncing <- struct{}{}
		err := s.syncSegment(act, end)
		<-s.syncing
		if err == nil {
			s.mu.Lock()
			s.segments = slices.Delete(s.segments, 0, 1)
			s.mu.Unlock()
			err = errors.Join(gone.file.Close(), s.remove(gone), s.cfg.FS.SyncNames())
		}
		<-s.writing
		if err != nil {
			return fmt.Errorf("spool: delete a segment: %w", err)
		}
	}
}

func (s *Spool) remove(seg *segment) error {
	if seg.damaged { // for whoever can read it
		return s.cfg.FS.Rename(nameOf(seg.number), nameOf(seg.number)+".damaged")
	}
	return s.cfg.FS.Remove(nameOf(seg.number))
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

// SyncAll syncs what was appended before, but for what a sync failed for.
func (s *Spool) SyncAll() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	seg := s.active()
	m := Mark{seg, seg.end}
	s.mu.Unlock()
	return s.Sync(m)
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
