package alcove_test

import (
	"bytes"
	"errors"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/alcove-run/alcove"
)

// TestNothingIsKeptInAStream: the writer waits until what it wrote has been read,
// whatever the sizes, and all of it is read before the end.
func TestNothingIsKeptInAStream(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 1, 100), 0, 20).Draw(t, "pieces")
		s := alcove.NewStream()
		var returned atomic.Int32
		go func() {
			s.Begin(alcove.StreamStart{RequestID: "r"})
			for _, p := range pieces {
				if _, err := s.Write(p); err != nil {
					panic(err)
				}
				returned.Add(1)
			}
			s.End()
		}()
		if start, ok := s.Begun(); !ok || start.RequestID != "r" {
			t.Fatalf("begun: %+v, %v", start, ok)
		}
		for i, want := range pieces {
			p, ok := s.Next()
			if !ok || !bytes.Equal(p, want) {
				t.Fatalf("piece %d is %q, %v, want %q", i, p, ok, want)
			}
			if n := int(returned.Load()); n != i {
				t.Fatalf("the writer has done with %d pieces while piece %d is read", n, i)
			}
		}
		if p, ok := s.Next(); ok {
			t.Fatalf("one piece more: %q", p)
		}
	})
}

func TestStreamThatNobodyReadsOn(t *testing.T) {
	s := alcove.NewStream()
	s.Begin(alcove.StreamStart{})
	s.Leave()
	if n, err := s.Write(make([]byte, 10)); n != 10 || err != nil {
		t.Errorf("written %d, %v: the function runs on", n, err)
	}
	if s.Written() != 10 {
		t.Errorf("%d bytes counted", s.Written())
	}
}

func TestStreamThatIsOver(t *testing.T) {
	s := alcove.NewStream()
	go s.End()
	if _, ok := s.Begun(); ok {
		t.Error("begun")
	}
	if _, err := s.Write([]byte("x")); !errors.Is(err, alcove.ErrStreamEnded) {
		t.Errorf("a write after the end: %v", err)
	}
	if _, ok := s.Next(); ok {
		t.Error("a piece after the end")
	}
	s.End()
}
