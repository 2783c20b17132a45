package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
)

func open(t *testing.T, cfg Config) *Journal {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	j, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j
}

func report(id string) *alcove.Report {
	return &alcove.Report{
		RequestID: id, FunctionID: "6f1f2f6a-58a1-4a52-9b0c-0d5c1a3d4b5e", Function: "hello", Version: "$LATEST", Tenant: "blue",
		Environment: "env-1", Isolation: "gvisor", Started: time.Unix(1764000000, 123456789).UTC(), Duration: 3 * time.Millisecond,
		Billed: 3 * time.Millisecond, Start: alcove.StartWarm, Status: alcove.StatusSuccess, MemorySize: 128, MaxMemoryUsed: 36, Bound: true,
	}
}

func appendAll(t testing.TB, j *Journal, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := j.Append(report(id)); err != nil {
			t.Fatal(err)
		}
	}
}

func ids(t testing.TB, j *Journal, from Position) []string {
	t.Helper()
	var got []string
	if err := j.Read(from, func(_ Position, r *alcove.Report) error {
		got = append(got, r.RequestID)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

func numbered(n int) []string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("r%05d", i))
	}
	return list
}

func TestReadGivesWhatWasAppended(t *testing.T) {
	j := open(t, Config{})
	want := report("a")
	if err := j.Append(want); err != nil {
		t.Fatal(err)
	}
	var got []alcove.Report
	if err := j.Read(Position{}, func(_ Position, r *alcove.Report) error { got = append(got, *r); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0] != *want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// A consumer that keeps the position it was given goes on exactly there, over
// restarts and changes of segment.
func TestPositions(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), SegmentBytes: 2000}
	want := numbered(40)
	for part := range slices.Chunk(want, 10) {
		j, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		appendAll(t, j, part...)
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	j := open(t, cfg)
	if got := ids(t, j, Position{}); !slices.Equal(got, want) {
		t.Fatalf("read %q", got)
	}
	if n := j.Stats().Segments; n < 8 {
		t.Fatalf("only %d segments: the test does not cross any", n)
	}
	var at []Position
	if err := j.Read(Position{}, func(p Position, _ *alcove.Report) error { at = append(at, p); return nil }); err != nil {
		t.Fatal(err)
	}
	for i, p := range at {
		p, err := ParsePosition(p.String())
		if err != nil {
			t.Fatal(err)
		}
		if got := ids(t, j, p); !slices.Equal(got, want[i+1:]) {
			t.Errorf("after %v: read %q", p, got)
		}
	}
	stop := errors.New("stop")
	n := 0
	if err := j.Read(Position{}, func(Position, *alcove.Report) error { n++; return stop }); err != stop || n != 1 {
		t.Errorf("read went on: %v after %d", err, n)
	}
}

// However much of the last write is missing, whole frames are read and the rest
// is cut off; what is appended then is read too.
func TestTornTail(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Config{Dir: dir})
	appendAll(t, j, "a", "b", "c")
	j.Close()
	whole, err := os.ReadFile(filepath.Join(dir, "0000000000000001.journal"))
	if err != nil {
		t.Fatal(err)
	}
	frame := (len(whole) - int(headerSize)) / 3
	tails := map[string][]byte{"zeros": make([]byte, 5000), "noise": []byte("\x10\x00\x00\x00abcdefgh0123456789abcdef"), "huge": {255, 255, 255, 255, 0, 0, 0, 0, 1}}
	check := func(name string, content []byte, want []string) {
		cfg := Config{Dir: t.TempDir()}
		if err := os.WriteFile(filepath.Join(cfg.Dir, "0000000000000001.journal"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		j := open(t, cfg)
		appendAll(t, j, "z")
		if got, want := ids(t, j, Position{}), append(slices.Clone(want), "z"); !slices.Equal(got, want) {
			t.Errorf("%s: read %q, want %q", name, got, want)
		}
		if n := j.Stats().Corrupt; n != 0 {
			t.Errorf("%s: %d corrupt", name, n)
		}
	}
	all := []string{"a", "b", "c"}
	for cut := range len(whole) {
		check(fmt.Sprint("cut at ", cut), whole[:cut], all[:max(0, cut-int(headerSize))/frame])
	}
	for name, tail := range tails {
		check(name, append(slices.Clone(whole), tail...), all)
	}
	flipped := slices.Clone(whole)
	flipped[int(headerSize)+frame+frameHeader+3] ^= 1
	check("bit flipped in b", flipped, all[:1])
}

// Damage inside a segment that others follow costs its rest, not the journal.
func TestDamageInTheMiddle(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), SegmentBytes: 1}
	j, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	appendAll(t, j, "a", "b", "c")
	j.Close()
	numbers, _ := listSegments(cfg.Dir)
	if len(numbers) != 3 {
		t.Fatalf("%d segments", len(numbers))
	}
	if err := os.Truncate(filepath.Join(cfg.Dir, "0000000000000002.journal"), 50); err != nil {
		t.Fatal(err)
	}
	j = open(t, cfg)
	if got, want := ids(t, j, Position{}), []string{"a", "c"}; !slices.Equal(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}
	if n := j.Stats().Corrupt; n != 1 {
		t.Errorf("%d corrupt, want 1", n)
	}
}

// Many callers at once: each report is there once, each caller's in its order.
func TestConcurrentAppend(t *testing.T) {
	j := open(t, Config{SegmentBytes: 64 << 10, SyncEvery: time.Millisecond})
	const workers, each = 16, 100
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				if err := j.Append(report(fmt.Sprintf("%02d-%03d", w, i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got := ids(t, j, Position{})
	seen := make(map[string]string)
	for _, id := range got {
		if last := seen[id[:2]]; last >= id {
			t.Fatalf("%s after %s", id, last)
		}
		seen[id[:2]] = id
	}
	if len(got) != workers*each || j.Stats().Appended != workers*each {
		t.Errorf("read %d, appended %d, want %d", len(got), j.Stats().Appended, workers*each)
	}
	if again := ids(t, j, Position{}); !slices.Equal(again, got) {
		t.Error("another order when read again")
	}
}

func TestFollow(t *testing.T) {
	j := open(t, Config{SegmentBytes: 1000})
	want := numbered(30)
	appendAll(t, j, want[:5]...)
	ctx, cancel := context.WithCancelCause(t.Context())
	got := make(chan string, len(want))
	ended := make(chan error, 1)
	go func() {
		ended <- j.Follow(ctx, Position{}, func(_ Position, r *alcove.Report) error { got <- r.RequestID; return nil })
	}()
	for i, id := range want {
		if i >= 5 {
			appendAll(t, j, id)
		}
		if g := <-got; g != id {
			t.Fatalf("got %s, want %s", g, id)
		}
	}
	enough := errors.New("enough")
	cancel(enough)
	if err := <-ended; err != enough {
		t.Errorf("ended with %v", err)
	}
	if len(j.waiters) != 0 {
		t.Error("a waiter stays behind")
	}
	go func() {
		ended <- j.Follow(t.Context(), Position{}, func(_ Position, r *alcove.Report) error { got <- r.RequestID; return nil })
	}()
	for range want {
		<-got
	}
	j.Close()
	if err := <-ended; err != ErrClosed {
		t.Errorf("ended with %v", err)
	}
	if err := j.Append(report("late")); err != ErrClosed {
		t.Errorf("append to a closed journal: %v", err)
	}
}

func TestRetention(t *testing.T) {
	j := open(t, Config{SegmentBytes: 1, Consumers: []string{"ledger", "metrics"}})
	appendAll(t, j, "a", "b", "c", "d")
	var at []Position
	if err := j.Read(Position{}, func(p Position, _ *alcove.Report) error { at = append(at, p); return nil }); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		consumer string
		upTo     Position
		want     []string
	}{
		{"ledger", at[3], []string{"a", "b", "c", "d"}}, // metrics has not said
		{"other", at[3], []string{"a", "b", "c", "d"}},
		{"metrics", at[1], []string{"b", "c", "d"}},
		{"metrics", at[3], []string{"d"}}, // the active segment stays
	} {
		j.Acknowledge(step.consumer, step.upTo)
		if got := ids(t, j, Position{}); !slices.Equal(got, step.want) {
			t.Errorf("after %s acknowledged %v: %q, want %q", step.consumer, step.upTo, got, step.want)
		}
	}
	numbers, err := listSegments(j.cfg.Dir)
	if err != nil || len(numbers) != 1 {
		t.Errorf("files %v, %v", numbers, err)
	}
	appendAll(t, j, "e")
	if got := ids(t, j, at[3]); !slices.Equal(got, []string{"e"}) {
		t.Errorf("after retention: %q", got)
	}
}

func TestBudget(t *testing.T) {
	for _, consumers := range [][]string{{"ledger"}, nil} {
		var warnings bytes.Buffer
		j := open(t, Config{SegmentBytes: 4000, Budget: 20_000, Consumers: consumers,
			Log: slog.New(slog.NewTextHandler(&warnings, &slog.HandlerOptions{Level: slog.LevelWarn}))})
		want := numbered(200)
		appendAll(t, j, want...)
		j.work.Wait() // the changes of segment delete
		j.retain()
		if consumers != nil {
			// What the ledger has not read stays, and the operator is told once.
			if got := ids(t, j, Position{}); !slices.Equal(got, want) {
				t.Errorf("kept %q", got)
			}
			if s := j.Stats(); s.Waiting == 0 || s.Discarded != 0 || strings.Count(warnings.String(), "larger than its budget") != 1 {
				t.Errorf("stats %+v, warned %s", s, &warnings)
			}
			j.Acknowledge("ledger", Position{Segment: j.segments[len(j.segments)-1].number})
			if s := j.Stats(); s.Waiting != 0 {
				t.Errorf("stats %+v", s)
			}
		} else if warnings.Len() > 0 {
			t.Errorf("nobody was to read them, and: %s", &warnings)
		}
		if s := j.Stats(); s.Bytes > 20_000+4000 || (s.Discarded == 0) != (consumers != nil) {
			t.Errorf("consumers %q: stats %+v", consumers, s)
		}
		got := ids(t, j, Position{})
		if len(got) < 20 || !slices.Equal(got, want[len(want)-len(got):]) {
			t.Errorf("consumers %q: kept %q", consumers, got)
		}
	}
}

func TestSyncAndRefusals(t *testing.T) {
	j := open(t, Config{})
	appendAll(t, j, "a")
	if err := j.Sync(); err != nil {
		t.Error(err)
	}
	r := report("big")
	r.ErrorType = string(make([]byte, maxPayload))
	if err := j.Append(r); err == nil {
		t.Error("a report beyond the limit was taken")
	}
	j.Close()
	if err := j.Sync(); err != ErrClosed {
		t.Errorf("sync of a closed journal: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

// Whatever is in the last segment, the journal opens, reads and goes on.
func FuzzOpen(f *testing.F) {
	good := appendFrame([]byte(segmentMagic), []byte(`{"requestId":"a"}`))
	f.Add(good)
	f.Add(good[:20])
	f.Add(appendFrame(slices.Clone(good), []byte(`not json`)))
	f.Add([]byte(segmentMagic + "\xff\xff\xff\xff\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "0000000000000001.journal"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := Open(Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		appendAll(t, j, "z")
		if got := ids(t, j, Position{}); len(got) == 0 || got[len(got)-1] != "z" {
			t.Fatalf("read %q", got)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	j, err := Open(Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	r := report("6d68ca91-49c9-448d-89b8-7ca3e6dc66aa")
	b.ReportAllocs()
	for b.Loop() {
		if err := j.Append(r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendParallel(b *testing.B) {
	j, err := Open(Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	r := report("6d68ca91-49c9-448d-89b8-7ca3e6dc66aa")
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := j.Append(r); err != nil {
				b.Error(err)
			}
		}
	})
}
