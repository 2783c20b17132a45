package runtimeapi

import "sync/atomic"

// Spare is places for connections that all environments of a node share, so that
// descriptors need not be set aside for what hardly any of them uses. It is safe
// for concurrent use.
type Spare struct{ left atomic.Int64 }

// NewSpare makes n places.
func NewSpare(n int) *Spare {
	s := &Spare{}
	s.left.Store(int64(n))
	return s
}

func (s *Spare) take() bool {
	if s == nil {
		return true
	}
	if s.left.Add(-1) < 0 {
		s.left.Add(1)
		return false
	}
	return true
}

func (s *Spare) give() {
	if s != nil {
		s.left.Add(1)
	}
}
