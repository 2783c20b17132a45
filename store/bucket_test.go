package store

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestRevisionsGuardWrites(t *testing.T) {
	s := open(t, Config{Dir: filepath.Join(t.TempDir(), "state")})
	b, ctx := s.Bucket("things"), t.Context()
	const key = "acme:blue.1 @$>*"

	if _, err := b.Get(ctx, key); !errors.Is(err, ErrNotFound) {
		t.Fatalf("Get of nothing: %v", err)
	}
	r1, err := b.Create(ctx, key, []byte("one"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Create(ctx, key, []byte("two")); !errors.Is(err, ErrExists) {
		t.Fatalf("second Create: %v", err)
	}
	r2, err := b.Update(ctx, key, []byte("two"), r1)
	if err != nil || r2 <= r1 {
		t.Fatalf("Update: revision %d after %d, %v", r2, r1, err)
	}
	if _, err := b.Update(ctx, key, []byte("three"), r1); !errors.Is(err, ErrConflict) {
		t.Fatalf("Update of an old revision: %v", err)
	}
	if err := b.Delete(ctx, key, r1); !errors.Is(err, ErrConflict) {
		t.Fatalf("Delete of an old revision: %v", err)
	}
	if e, err := b.Get(ctx, key); err != nil || string(e.Value) != "two" || e.Revision != r2 {
		t.Fatalf("Get: %+v, %v", e, err)
	}
	if err := b.Delete(ctx, key, r2); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Get(ctx, key); !errors.Is(err, ErrNotFound) {
		t.Fatalf("Get after Delete: %v", err)
	}
	r3, err := b.Create(ctx, key, []byte("again"))
	if err != nil || r3 <= r2 {
		t.Fatalf("Create after Delete: revision %d after %d, %v", r3, r2, err)
	}
	if err := b.Delete(ctx, "nothing", 0); err != nil {
		t.Fatalf("Delete of nothing: %v", err)
	}
	if _, err := b.Put(ctx, key, make([]byte, MaxValue+1)); !errors.Is(err, ErrTooLarge) {
		t.Fatalf("Put of a large value: %v", err)
	}
	if _, err := b.Put(ctx, key, make([]byte, MaxValue)); err != nil {
		t.Fatalf("Put of the largest value: %v", err)
	}
}

func TestOneProcessAtATime(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	if second, err := Open(t.Context(), Config{Dir: dir}); err == nil {
		_ = second.Close()
		t.Fatal("a directory was opened twice")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Bucket("b").Get(t.Context(), "k"); !errors.Is(err, ErrClosed) {
		t.Fatalf("Get after Close: %v", err)
	}
	open(t, Config{Dir: dir})
}

func TestReserveRefusesWritesFirst(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	b, ctx := s.Bucket("b"), t.Context()
	if _, err := b.Put(ctx, "k", []byte("v")); err != nil {
		t.Fatal(err)
	}
	s.cfg.Reserve = math.MaxInt64
	for name, write := range map[string]func() error{
		"Put":    func() error { _, err := b.Put(ctx, "k", nil); return err },
		"Create": func() error { _, err := b.Create(ctx, "n", nil); return err },
		"Update": func() error { _, err := b.Update(ctx, "k", nil, 1); return err },
		"Delete": func() error { return b.Delete(ctx, "k", 0) },
	} {
		if err := write(); !errors.Is(err, ErrNoSpace) {
			t.Errorf("%s with nothing to spare: %v", name, err)
		}
	}
	if e, err := b.Get(ctx, "k"); err != nil || string(e.Value) != "v" {
		t.Errorf("Get with nothing to spare: %q, %v", e.Value, err)
	}
}

// A bucket agrees with a map, over closing and opening too.
func TestBucketIsAMap(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		s, err := Open(t.Context(), Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		b, ctx := s.Bucket("map"), t.Context()
		want := make(map[string]string)
		list, err := b.List(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list { // what the last run left
			if err := b.Delete(ctx, e.Key, e.Revision); err != nil {
				t.Fatal(err)
			}
		}
		keys := rapid.SampledFrom([]string{"a", "b.c", "b", "$LATEST", "x y", ":1"})
		for i := range rapid.IntRange(1, 12).Draw(t, "steps") {
			k, v := keys.Draw(t, "key"), fmt.Sprint(i)
			_, there := want[k]
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0:
				if _, err := b.Put(ctx, k, []byte(v)); err != nil {
					t.Fatal(err)
				}
				want[k] = v
			case 1:
				_, err := b.Create(ctx, k, []byte(v))
				if there != errors.Is(err, ErrExists) || !there && err != nil {
					t.Fatalf("Create of %q, there before: %t: %v", k, there, err)
				}
				if !there {
					want[k] = v
				}
			case 2:
				if err := b.Delete(ctx, k, 0); err != nil {
					t.Fatal(err)
				}
				delete(want, k)
			case 3:
				if err := b.Compact(ctx, 0); err != nil {
					t.Fatal(err)
				}
			case 4:
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if s, err = Open(t.Context(), Config{Dir: dir}); err != nil {
					t.Fatal(err)
				}
				b = s.Bucket("map")
			}
			got := make(map[string]string)
			list, err := b.List(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range list {
				got[e.Key] = string(e.Value)
			}
			if !maps.Equal(got, want) {
				t.Fatalf("the bucket has %v, want %v", got, want)
			}
		}
	})
}

func TestEngineSyncsAndDoesNotListen(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir()})
	if c := s.current.srv.JetStreamConfig(); c == nil || !c.SyncAlways {
		t.Errorf("JetStream's configuration is %+v, want SyncAlways", c)
	}
	if a := s.current.srv.Addr(); a != nil {
		t.Errorf("the engine listens on %v", a)
	}
}

func BenchmarkPut(b *testing.B) {
	s := open(b, Config{Dir: b.TempDir()})
	bucket, value := s.Bucket("bench"), slices.Repeat([]byte("x"), 1500)
	for b.Loop() {
		if _, err := bucket.Put(b.Context(), "key", value); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	s := open(b, Config{Dir: dir})
	for i := range 1000 {
		if _, err := s.Bucket("bench").Put(b.Context(), fmt.Sprint(i), make([]byte, 1500)); err != nil {
			b.Fatal(err)
		}
	}
	_ = s.Close()
	for b.Loop() {
		s, err := Open(b.Context(), Config{Dir: dir})
		if err != nil {
			b.Fatal(err)
		}
		if list, err := s.Bucket("bench").List(b.Context()); err != nil || len(list) != 1000 {
			b.Fatal(len(list), err)
		}
		_ = s.Close()
	}
}
