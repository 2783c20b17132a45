package spool

import (
	"errors"
	"fmt"
)

// Mark is a position in the spool that Sync can be asked for.
type Mark struct {
	segment *segment
	end     int64
}

// joint is one sync, for all who wait for it.
type joint struct{ done chan struct{} }

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
		// A process that comes after this one without a restart of the machine reads
		// from memory what is not on the disk, and has to know.
		if mark, err := s.cfg.FS.Create(nameOf(seg.number) + unsynced); err == nil {
			mark.Close()
		}
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
