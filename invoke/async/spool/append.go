package spool

import (
	"errors"
	"fmt"
)

// maxBatch is how much one write carries, but for the record that comes last.
const maxBatch = 32 << 20

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
