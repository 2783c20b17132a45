package remains

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alcove-run/alcove/sandbox"
)

// A heap is pieces, each of which takes a second and cannot be removed for the first so
// many times.
type heap struct {
	mu             sync.Mutex
	now, most      int
	tries, removed map[string]int
}

func (h *heap) pieces(n int, refuses func(i int) int) []Piece {
	h.tries, h.removed = map[string]int{}, map[string]int{}
	var all []Piece
	for i := range n {
		name := fmt.Sprint("piece", i)
		all = append(all, Piece{Name: name, Memory: 10, Remove: func() error {
			h.mu.Lock()
			h.now++
			h.most = max(h.most, h.now)
			h.tries[name]++
			try := h.tries[name]
			h.mu.Unlock()
			time.Sleep(time.Second)
			h.mu.Lock()
			defer h.mu.Unlock()
			h.now--
			if try <= refuses(i) {
				return errors.New("busy")
			}
			h.removed[name]++
			return nil
		}})
	}
	return all
}

func never(int) int { return 0 }

func quiet(to *strings.Builder) *slog.Logger { return slog.New(slog.NewTextHandler(to, nil)) }

func TestAllIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h heap
		var said strings.Builder
		r := New(quiet(&said), h.pieces(20, func(i int) int { return i % 3 }))
		time.Sleep(time.Minute)
		if l := r.Left(); l != (sandbox.Leftovers{Found: 20, Left: 20, Memory: 200}) {
			t.Errorf("before Begin: %+v", l)
		}
		r.Begin()
		r.Begin()
		time.Sleep(2500 * time.Millisecond) // two have been tried twice: the first round is under way
		if l := r.Left(); l.Left != 18 && l.Left != 19 || l.Memory != 160 {
			t.Errorf("in the midst of it: %+v", l)
		}
		<-r.Gone()
		if l := r.Left(); l != (sandbox.Leftovers{Found: 20}) || len(h.removed) != 20 || h.most != atOnce {
			t.Errorf("%+v are left, %d removed, %d at once", l, len(h.removed), h.most)
		}
		for i := range 20 {
			if n := h.tries[fmt.Sprint("piece", i)]; n != i%3+1 {
				t.Errorf("piece %d was tried %d times", i, n)
			}
		}
		if n := r.Close(); n != 0 {
			t.Errorf("Close left %d", n)
		}
		if text := said.String(); strings.Count(text, "tried again") != 13 || !strings.Contains(text, "is removed") {
			t.Errorf("it said:\n%s", text)
		}
	})
}

// A node that ends hurries, also if it had not begun.
func TestCloseHurries(t *testing.T) {
	for _, begun := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var h heap
			r := New(quiet(new(strings.Builder)), h.pieces(100, never))
			if begun {
				r.Begin()
				time.Sleep(1500 * time.Millisecond)
			}
			if n := r.Close(); n != 0 || len(h.removed) != 100 || h.most != hurried {
				t.Errorf("Close left %d, %d removed, %d at once", n, len(h.removed), h.most)
			}
		})
	}
}

// What does not go keeps nobody from ending, and costs no memory after it was tried.
func TestCloseDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h heap
		var said strings.Builder
		r := New(quiet(&said), h.pieces(3, func(i int) int { return i * 1000 }))
		r.Begin()
		time.Sleep(10 * time.Minute)
		if l := r.Left(); l.Stuck != 2 || !strings.HasSuffix(l.Why, ": busy") || l.Found != 3 || l.Left != 2 || l.Memory != 0 {
			t.Errorf("%+v", l)
		}
		began := time.Now()
		if n := r.Close(); n != 2 || time.Since(began) != closeWait {
			t.Errorf("Close left %d after %v", n, time.Since(began))
		}
		if n := r.Close(); n != 2 {
			t.Errorf("Close left %d, again", n)
		}
		time.Sleep(10 * time.Minute) // nothing goes on
		if !strings.Contains(said.String(), "the next start goes on with it") {
			t.Errorf("it said:\n%s", said.String())
		}
	})
}

func TestNothing(t *testing.T) {
	var none *Remains
	for _, r := range []*Remains{none, New(quiet(new(strings.Builder)), nil)} {
		r.Begin()
		<-r.Gone()
		if l := r.Left(); l != (sandbox.Leftovers{}) || r.Close() != 0 {
			t.Errorf("%+v", l)
		}
	}
}

// What was tried often is told, until it goes.
func TestStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h heap
		r := New(quiet(new(strings.Builder)), h.pieces(2, func(i int) int { return i * 2 * stuckAfter }))
		r.Begin()
		for r.Left().Stuck == 0 {
			time.Sleep(time.Millisecond)
		}
		h.mu.Lock()
		tries := h.tries["piece1"]
		h.mu.Unlock()
		if l := r.Left(); tries != stuckAfter || l != (sandbox.Leftovers{Found: 2, Left: 1, Stuck: 1, Why: "piece1: busy"}) {
			t.Errorf("after %d tries: %+v", tries, l)
		}
		<-r.Gone()
		if l := r.Left(); l != (sandbox.Leftovers{Found: 2}) {
			t.Errorf("at last: %+v", l)
		}
	})
}
