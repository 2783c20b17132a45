package alcove

import (
	"errors"
	"sync"
	"sync/atomic"
)

// Stream carries the answer of one invocation from its runtime to its caller
// while it is being made. Nothing is kept in it: a piece is handed from the one
// who writes to the one who reads, who returns it by asking for the next, so that
// a caller who reads slowly slows the function down.
//
// One goroutine reads: Begun, then Next until it is false, then Leave. Whoever
// runs the invocation calls Begin and Write, and End when it is over, whatever
// came of it. An invocation whose answer comes whole never begins its stream.
type Stream struct {
	start   StreamStart   // set before begun is closed
	begun   chan struct{} // closed by Begin
	pieces  chan []byte
	taken   chan struct{} // the reader has done with a piece
	reading bool          // the reader has a piece; the reader's own
	left    chan struct{} // closed by Leave
	ended   chan struct{} // closed by End
	leaving sync.Once
	ending  sync.Once
	written atomic.Int64
}

// StreamStart is what is known when an answer begins.
type StreamStart struct {
	RequestID   string
	Version     string // the number of the one that runs
	ContentType string // as the runtime gave it; may be empty
	Start       Start
	Trace       string // the X-Ray trace header that the function runs with
}

// ErrStreamEnded is Write's answer when the invocation is over: its deadline has
// passed, or its environment has ended.
var ErrStreamEnded = errors.New("the invocation is over")

// NewStream makes a stream that has not begun.
func NewStream() *Stream {
	return &Stream{
		begun: make(chan struct{}), pieces: make(chan []byte), taken: make(chan struct{}),
		left: make(chan struct{}), ended: make(chan struct{}),
	}
}

// Begin says that the answer begins. It is called at most once.
func (s *Stream) Begin(start StreamStart) {
	s.start = start
	close(s.begun)
}

// Write hands p over, and returns when the reader has done with it. A reader who
// has left is no reason to stop: what is written then goes nowhere, for the
// function runs on.
func (s *Stream) Write(p []byte) (int, error) {
	select {
	case s.pieces <- p:
	case <-s.left:
		s.written.Add(int64(len(p)))
		return len(p), nil
	case <-s.ended:
		return 0, ErrStreamEnded
	}
	s.written.Add(int64(len(p)))
	select {
	case <-s.taken:
	case <-s.left:
	case <-s.ended:
		// The reader may still look at p, which is not to be used again.
		return 0, ErrStreamEnded
	}
	return len(p), nil
}

// Written is how many bytes have been handed over.
func (s *Stream) Written() int64 { return s.written.Load() }

// End ends the stream. It may be called more than once.
func (s *Stream) End() { s.ending.Do(func() { close(s.ended) }) }

// Ended is closed when the invocation is over.
func (s *Stream) Ended() <-chan struct{} { return s.ended }

// Begun waits until the answer begins, or the invocation is over, and tells
// whether it did begin.
func (s *Stream) Begun() (StreamStart, bool) {
	select {
	case <-s.begun:
		return s.start, true
	case <-s.ended:
	}
	select {
	case <-s.begun: // both: what has begun comes first
		return s.start, true
	default:
		return StreamStart{}, false
	}
}

// Next waits for the next piece, which is the reader's until it calls Next or
// Leave. False is the end.
func (s *Stream) Next() ([]byte, bool) {
	if s.reading {
		s.reading = false
		select {
		case s.taken <- struct{}{}:
		case <-s.ended:
		}
	}
	select {
	case p := <-s.pieces:
		s.reading = true
		return p, true
	case <-s.ended:
		return nil, false
	}
}

// Leave says that nobody reads any more.
func (s *Stream) Leave() { s.leaving.Do(func() { close(s.left) }) }
