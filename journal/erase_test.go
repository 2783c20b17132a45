package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/alcove-run/alcove"
)

// rawHas says whether a file of a directory has these bytes.
func rawHas(t *testing.T, dir, needle string) bool {
	t.Helper()
	found := false
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		found = found || bytes.Contains(b, []byte(needle))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestErase(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), SegmentBytes: 2000}
	j, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		r := report(fmt.Sprintf("r%02d", i))
		if i%3 == 0 {
			r.Tenant = "canary-tenant"
		}
		if err := j.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	var before []Position
	if err := j.Read(Position{}, func(p Position, r *alcove.Report) error {
		if r.Tenant == "blue" {
			before = append(before, p)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if !rawHas(t, cfg.Dir, "canary-tenant") {
		t.Fatal("the test looks at the wrong place")
	}
	canary := func(b []byte) bool { return bytes.Contains(b, []byte("canary-tenant")) }
	// Others append meanwhile.
	var others sync.WaitGroup
	others.Go(func() {
		for i := range 200 {
			if err := j.Append(report(fmt.Sprintf("m%03d", i))); err != nil {
				t.Error(err)
			}
		}
	})
	n, err := j.Erase(canary)
	others.Wait()
	if err != nil || n != 14 {
		t.Errorf("erased %d, %v", n, err)
	}
	if rawHas(t, cfg.Dir, "canary-tenant") {
		t.Error("the bytes are still there")
	}
	check := func() {
		t.Helper()
		var after []Position
		met := 0
		if err := j.Read(Position{}, func(p Position, r *alcove.Report) error {
			if strings.HasPrefix(r.RequestID, "m") {
				met++
			} else {
				after = append(after, p)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(after, before) || met != 200 || j.Stats().Corrupt != 0 {
			t.Errorf("%d of %d at their places, %d of 200, %+v", len(after), len(before), met, j.Stats())
		}
	}
	check()
	if n, err := j.Erase(canary); n != 0 || err != nil {
		t.Errorf("again: %d, %v", n, err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	// The process was killed while it replaced a segment.
	if err := os.WriteFile(filepath.Join(cfg.Dir, "0000000000000001.journal"+unfinishedSuffix), []byte("canary-tenant"), 0o600); err != nil {
		t.Fatal(err)
	}
	if j, err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	check()
	if rawHas(t, cfg.Dir, "canary-tenant") {
		t.Error("an unfinished segment is left")
	}
	if err := j.AppendFrame([]byte{0, 1}); err == nil {
		t.Error("a frame like an erased one was taken")
	}
}

// What is behind damage nobody can read, so nobody can say whose it is.
func TestEraseBehindDamage(t *testing.T) {
	cfg := Config{Dir: t.TempDir()}
	j := open(t, cfg)
	appendAll(t, j, "a", "b", "c")
	if err := j.seal(); err != nil {
		t.Fatal(err)
	}
	path := j.path(1)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[bytes.Index(b, []byte(`"b"`))+1] = 'x'
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Erase(func([]byte) bool { return false }); err != nil {
		t.Fatal(err)
	}
	if rawHas(t, cfg.Dir, `"c"`) || !rawHas(t, cfg.Dir, `"a"`) {
		t.Error("what is behind the damage is still there, or what is before it is not")
	}
	if got := ids(t, j, Position{}); !slices.Equal(got, []string{"a"}) {
		t.Errorf("read %q", got)
	}
}

func TestWait(t *testing.T) {
	j := open(t, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	waited := make(chan error, 1)
	go func() { waited <- j.Wait(ctx, Position{}) }()
	appendAll(t, j, "a")
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	if err := j.Wait(ctx, Position{}); err != nil { // at once: there is something
		t.Fatal(err)
	}
	var end Position
	if err := j.Read(Position{}, func(p Position, _ *alcove.Report) error { end = p; return nil }); err != nil {
		t.Fatal(err)
	}
	go func() { waited <- j.Wait(ctx, end) }()
	cancel()
	if err := <-waited; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if err := j.seal(); err != nil {
		t.Fatal(err)
	}
	if err := j.Wait(ctx, end); !errors.Is(err, context.Canceled) { // a new segment has nothing in it
		t.Errorf("%v", err)
	}
}
