package artifact

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/alcove-run/alcove"
)

func TestOpenRemovesWhatWasHalfDone(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"tmp/put-1/tree/a/b", "tmp/gone-2/zip"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if names := left(t, s); len(names) != 0 {
		t.Errorf("left: %v", names)
	}
}

func TestTreeComesBack(t *testing.T) {
	s := open(t)
	code, err := s.Put(t.Context(), Sent(makeZip(t, item{name: "a", body: "x"})))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(s.trees, code.SHA256)); err != nil {
		t.Fatal(err)
	}
	s, err = Open(s.dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.Size() != code.Size {
		t.Errorf("size after opening is %d, want %d", s.Size(), code.Size)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			dir, err := s.Tree(t.Context(), code)
			if err != nil {
				t.Error(err)
				return
			}
			if b, err := os.ReadFile(filepath.Join(dir, "a")); err != nil || string(b) != "x" {
				t.Errorf("%q, %v", b, err)
			}
		})
	}
	wg.Wait()
	if names := left(t, s); len(names) != 2 {
		t.Errorf("there is %v", names)
	}
}

// What a power failure left of a tree is not used.
func TestTreesAreOfThisBoot(t *testing.T) {
	s := open(t)
	code, err := s.Put(t.Context(), Sent(makeZip(t, item{name: "a", body: "x"})))
	if err != nil {
		t.Fatal(err)
	}
	before := s.path("tree", "before")
	if err := os.Rename(s.trees, before); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(before, code.SHA256, "a"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(s.dir, nil); err != nil {
		t.Fatal(err)
	}
	dir, err := s.Tree(t.Context(), code)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "a")); err != nil || string(b) != "x" {
		t.Errorf("the file is %q, %v", b, err)
	}
	if err := s.Remove(t.Context(), func(string) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if exists(before) || !exists(dir) {
		t.Errorf("after Remove: old trees %t, this boot's %t", exists(before), exists(dir))
	}
	if again, err := Open(s.dir, nil); err != nil || again.trees != s.trees {
		t.Errorf("the same boot has another name: %v, %v", again, err)
	}
}

func TestDamageIsNotUnpacked(t *testing.T) {
	s := open(t)
	code, err := s.Put(t.Context(), Sent(makeZip(t, item{name: "a", body: "x"})))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(s.trees, code.SHA256)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.path("zip", code.SHA256), makeZip(t, item{name: "b", body: "x"}), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = s.Tree(t.Context(), code)
	if e := alcove.AsError(err); err == nil || e.Fault != alcove.FaultPlatform {
		t.Errorf("Tree of a damaged package: %v", err)
	}
}

func TestDigestsAreNoPaths(t *testing.T) {
	s := open(t)
	for _, sha := range []string{"", ".", "..", "../zip", strings.Repeat("g", 64), strings.Repeat("A", 64), strings.Repeat("a", 63) + "/"} {
		if f, err := s.OpenZip(sha); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("OpenZip(%q): %v, %v", sha, f, err)
		}
		if dir, err := s.Tree(t.Context(), alcove.Code{SHA256: sha}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Tree(%q): %q, %v", sha, dir, err)
		}
	}
	if _, err := s.Tree(t.Context(), alcove.Code{SHA256: strings.Repeat("a", 64)}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Tree of a package that is not there: %v", err)
	}
}

func TestRemoveAsks(t *testing.T) {
	s := open(t)
	put := func(body string) alcove.Code {
		t.Helper()
		code, err := s.Put(t.Context(), Sent(makeZip(t, item{name: "a", body: body})))
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	kept, gone := put("kept"), put("gone")
	if err := s.Remove(t.Context(), func(sha string) bool { return sha == kept.SHA256 }); err != nil {
		t.Fatal(err)
	}
	if s.Size() != kept.Size {
		t.Errorf("size is %d, want %d", s.Size(), kept.Size)
	}
	if _, err := s.OpenZip(gone.SHA256); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the zip that nobody wants: %v", err)
	}
	if _, err := s.Tree(t.Context(), gone); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the tree that nobody wants: %v", err)
	}
	if _, err := s.Tree(t.Context(), kept); err != nil {
		t.Error(err)
	}
	if names := left(t, s); len(names) != 2 {
		t.Errorf("there is %v", names)
	}
	put("gone") // and it may come again
}

// A digest that is pinned before its package is put is never lost, though
// Remove runs all the time.
func TestRemoveNeverTakesWhatIsPinned(t *testing.T) {
	s := open(t)
	var mu sync.Mutex
	pinned := make(map[string]int)
	stop := make(chan struct{})
	var sweeper, writers sync.WaitGroup
	sweeper.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			err := s.Remove(t.Context(), func(sha string) bool {
				mu.Lock()
				defer mu.Unlock()
				return pinned[sha] > 0
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
	for w := range 4 {
		writers.Go(func() {
			for i := range 30 {
				raw := makeZip(t, item{name: "a", body: strings.Repeat("x", 1+(i+w)%3)})
				sha := digest(raw)
				mu.Lock()
				pinned[sha]++
				mu.Unlock()
				code, err := s.Put(t.Context(), Sent(raw))
				if err != nil {
					t.Error(err)
				}
				if f, err := s.OpenZip(sha); err != nil {
					t.Errorf("pinned, put and gone: %v", err)
				} else {
					_ = f.Close()
				}
				if _, err := s.Tree(t.Context(), code); err != nil {
					t.Error(err)
				}
				mu.Lock()
				pinned[sha]--
				mu.Unlock()
			}
		})
	}
	writers.Wait()
	close(stop)
	sweeper.Wait()
}
