package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/alcove-run/alcove/internal/slow"
)

// follower keeps a map by watching, as users of Watch do.
type follower struct {
	mu     sync.Mutex
	rounds int
	fresh  map[string]string // of the round that has not reached Current
	have   map[string]string
	moved  chan struct{}
}

func follow(t *testing.T, b *Bucket) *follower {
	f := &follower{moved: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Watch(ctx, f.event) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) && !errors.Is(err, ErrClosed) {
			t.Errorf("Watch ended with %v", err)
		}
	})
	return f
}

func (f *follower) event(ev Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.have
	if f.fresh != nil {
		m = f.fresh
	}
	switch ev.Kind {
	case Begin:
		f.fresh = make(map[string]string)
	case Put:
		m[ev.Key] = string(ev.Value)
	case Deleted:
		delete(m, ev.Key)
	case Current:
		f.have, f.fresh = f.fresh, nil
		f.rounds++
	}
	select {
	case f.moved <- struct{}{}:
	default:
	}
}

// await waits until the follower has exactly want, in a round from the given on.
func (f *follower) await(t *testing.T, rounds int, want map[string]string) {
	t.Helper()
	deadline := time.After(slow.Patience(time.Minute))
	for {
		f.mu.Lock()
		ok := f.rounds >= rounds && maps.Equal(f.have, want)
		have, n := maps.Clone(f.have), f.rounds
		f.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-f.moved:
		case <-deadline:
			t.Fatalf("in round %d the watch has %v, want %v", n, have, want)
		}
	}
}

func TestWatchFollowsOverAnEngineThatFailed(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir()})
	b, ctx := s.Bucket("watched"), t.Context()
	want := make(map[string]string)
	put := func(k, v string) {
		t.Helper()
		if _, err := b.Put(ctx, k, []byte(v)); err != nil {
			t.Fatal(err)
		}
		want[k] = v
	}
	put("a.b", "1")
	put("gone", "1")
	if err := b.Delete(ctx, "gone", 0); err != nil {
		t.Fatal(err)
	}
	delete(want, "gone")
	f := follow(t, b)
	f.await(t, 1, want)
	put("c", "2")
	put("a.b", "3")
	f.await(t, 1, want)

	for round := 2; round <= 3; round++ {
		s.mu.Lock()
		eng := s.current
		s.mu.Unlock()
		eng.fail(errors.New("as if the disk had refused a write"))
		// The next write waits for the engine that replaces this one.
		put(fmt.Sprint("after ", round), "4")
		f.await(t, round, want)
	}
}

func TestCloseEndsWatches(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir()})
	done := make(chan error, 1)
	begun := make(chan struct{})
	go func() {
		done <- s.Bucket("b").Watch(t.Context(), func(ev Event) {
			if ev.Kind == Current {
				close(begun)
			}
		})
	}()
	<-begun
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Fatalf("Watch ended with %v", err)
	}
	if err := s.Bucket("b").Watch(t.Context(), func(Event) {}); !errors.Is(err, ErrClosed) {
		t.Fatalf("Watch after Close: %v", err)
	}
}
