package spool

import (
	"errors"
	"fmt"
	"slices"
)

// Place is where a record is.
type Place struct {
	Segment uint32
	Offset  uint32
	Size    uint32 // of the frame
}

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
	_ = s.cfg.FS.Remove(nameOf(seg.number) + unsynced) // seldom there
	if seg.damaged {                                   // for whoever can read it
		return s.cfg.FS.Rename(nameOf(seg.number), nameOf(seg.number)+".damaged")
	}
	return s.cfg.FS.Remove(nameOf(seg.number))
}
