package purge

import (
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
	"testing/synctest"
	"time"

	"github.com/alcove-run/alcove"
)

// world is everything around purges: who is held, and what was asked of whom.
type world struct {
	mu    sync.Mutex
	held  map[alcove.Tenant]int
	asked []string
	err   error         // what the second owner answers
	block chan struct{} // what the second owner waits for, or nil
}

func (w *world) config(dir string) Config {
	return Config{Dir: dir, Log: slog.New(slog.DiscardHandler),
		Hold: func(t alcove.Tenant) func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.held[t]++
			return func() { w.mu.Lock(); defer w.mu.Unlock(); w.held[t]-- }
		},
		Owners: []Owner{{"first", w.owner("first")}, {"second", w.owner("second")}, {"third", w.owner("third")}},
	}
}

func (w *world) owner(name string) func(context.Context, alcove.Tenant) error {
	return func(ctx context.Context, t alcove.Tenant) error {
		w.mu.Lock()
		w.asked = append(w.asked, name+" "+string(t))
		if w.held[t] == 0 {
			w.asked = append(w.asked, "not held")
		}
		err, block := w.err, w.block
		w.mu.Unlock()
		if name != "second" {
			return nil
		}
		if block != nil {
			select {
			case <-block:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return err
	}
}

func (w *world) said() (asked []string, held int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	asked, w.asked = w.asked, nil
	return asked, w.held["blue"]
}

func notes(t *testing.T, dir string) int {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if strings.Contains(e.Name(), "blue") {
			t.Errorf("the tenant is in the name of %s", e.Name())
		}
	}
	return len(list)
}

func open(t *testing.T, cfg Config) *Purges {
	t.Helper()
	p, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var everybody = []string{"first blue", "second blue", "third blue"}

func TestPurge(t *testing.T) {
	w, dir := &world{held: map[alcove.Tenant]int{}}, t.TempDir()
	p := open(t, w.config(dir))
	defer p.Close()
	if _, err := p.Purge(t.Context(), "blue"); err != nil {
		t.Fatal(err)
	}
	if asked, held := w.said(); !slices.Equal(asked, everybody) || held != 0 || notes(t, dir) != 0 {
		t.Errorf("asked %q, held %d, %d notes", asked, held, notes(t, dir))
	}
}

// An owner that fails is asked again, and until then the tenant is held and the purge
// on the disk.
func TestFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, dir := &world{held: map[alcove.Tenant]int{}, err: errors.New("disk full")}, t.TempDir()
		p := open(t, w.config(dir))
		defer p.Close()
		_, err := p.Purge(t.Context(), "blue")
		if err == nil || !strings.Contains(err.Error(), "second: disk full") {
			t.Errorf("%v", err)
		}
		if asked, held := w.said(); !slices.Equal(asked, everybody) || held != 1 || notes(t, dir) != 1 {
			t.Errorf("asked %q, held %d, %d notes", asked, held, notes(t, dir))
		}
		w.mu.Lock()
		w.err = nil
		w.mu.Unlock()
		time.Sleep(DefaultRetry + time.Second)
		synctest.Wait()
		if asked, held := w.said(); !slices.Equal(asked, everybody) || held != 0 || notes(t, dir) != 0 {
			t.Errorf("asked %q, held %d, %d notes", asked, held, notes(t, dir))
		}
	})
}

// Purges that were cut off go on at the next start, and their tenants are held before
// anybody can ask for them.
func TestGoesOn(t *testing.T) {
	w, dir := &world{held: map[alcove.Tenant]int{}, block: make(chan struct{})}, t.TempDir()
	p := open(t, w.config(dir))
	answered := make(chan error, 1)
	go func() {
		_, err := p.Purge(t.Context(), "blue")
		answered <- err
	}()
	for notes(t, dir) == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; !errors.Is(err, ErrClosed) {
		t.Errorf("cut off: %v", err)
	}
	if _, err := p.Purge(t.Context(), "red"); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	// And a note that was being written.
	if err := os.WriteFile(filepath.Join(dir, "0b0c"), []byte(`{"tenant":"bl`), 0o600); err != nil {
		t.Fatal(err)
	}
	w = &world{held: map[alcove.Tenant]int{}, block: make(chan struct{})}
	p = open(t, w.config(dir))
	defer p.Close()
	if _, held := w.said(); held != 1 {
		t.Errorf("held %d", held)
	}
	close(w.block)
	if _, err := p.Purge(t.Context(), "blue"); err != nil {
		t.Error(err)
	}
	if _, held := w.said(); held != 0 || notes(t, dir) != 0 {
		t.Errorf("held %d, %d notes", held, notes(t, dir))
	}
}

func TestManyAtOnce(t *testing.T) {
	w, dir := &world{held: map[alcove.Tenant]int{}}, t.TempDir()
	p := open(t, w.config(dir))
	defer p.Close()
	var work sync.WaitGroup
	for i := range 40 {
		work.Go(func() {
			if _, err := p.Purge(t.Context(), alcove.Tenant(fmt.Sprint("t", i%4))); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	asked, _ := w.said()
	for i := 0; i < len(asked); i += 3 { // one after the other
		_, tenant, _ := strings.Cut(asked[i], " ")
		if !slices.Equal(asked[i:min(i+3, len(asked))], []string{"first " + tenant, "second " + tenant, "third " + tenant}) {
			t.Fatalf("asked %q", asked)
		}
	}
	if notes(t, dir) != 0 {
		t.Error("notes are left")
	}
}

func TestDamagedNote(t *testing.T) {
	w, dir := &world{held: map[alcove.Tenant]int{}}, t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x"+suffix), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(w.config(dir)); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("%v", err)
	}
}
