package spool

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

const suffix = ".spool"

// unsynced marks a segment that a sync failed for.
const unsynced = ".unsynced"

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
		if err := s.secure(seg); err != nil {
			return err
		}
	}
	seg.synced = seg.end
	return nil
}

// secure has a segment on the disk: what a killed process wrote may be in the
// system's memory only. If a sync of it failed, the system takes that for written,
// and syncs it again only if it is.
func (s *Spool) secure(seg *segment) error {
	mark, err := s.cfg.FS.Open(nameOf(seg.number) + unsynced)
	failed := err == nil
	if failed {
		mark.Close()
		buf := make([]byte, min(seg.end, scanAhead))
		for at := int64(0); at < seg.end; at += int64(len(buf)) {
			buf = buf[:min(int64(len(buf)), seg.end-at)]
			if _, err := seg.file.ReadAt(buf, at); err != nil {
				return fmt.Errorf("spool: write anew what a sync failed for: %w", err)
			}
			if _, err := seg.file.WriteAt(buf, at); err != nil {
				return fmt.Errorf("spool: write anew what a sync failed for: %w", err)
			}
		}
	}
	if err := seg.file.Sync(); err != nil {
		return fmt.Errorf("spool: sync: %w", err)
	}
	if failed {
		return s.cfg.FS.Remove(nameOf(seg.number) + unsynced)
	}
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
