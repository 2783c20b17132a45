package namespace

import (
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/sandbox/cgroup"
)

// An id of a killed node's is not used again by the next ones, however many they used:
// sandboxes of the killed one may still be there.
func TestIDsGoOnAfterAKill(t *testing.T) {
	file, log := filepath.Join(t.TempDir(), idsName), slog.New(slog.DiscardHandler)
	seen := map[uint32]bool{}
	for node, n := range []int{3, idBlock/2 - 1, idBlock / 2, idBlock, 0, 3 * idBlock} {
		s := newIDs([]byte{1, 2, 3, 4})
		s.open(file, log)
		for range n {
			id, err := s.take()
			if err != nil || seen[id] || id < s.base || id >= s.base+2*idPairs || (id-s.base)%2 != 0 {
				t.Fatalf("node %d took %#x, which was taken: %v; %v", node, id, seen[id], err)
			}
			seen[id] = true
			s.give(id)
		}
	}
	// All of them come round, and the file keeps its place.
	s := newIDs([]byte{1, 2, 3, 4})
	s.open(file, log)
	first, err := s.take()
	if err != nil {
		t.Fatal(err)
	}
	s.give(first)
	for range idPairs - 1 {
		if id, err := s.take(); err != nil || id == first {
			t.Fatalf("took %#x too early, %v", id, err)
		}
	}
	if id, err := s.take(); err != nil || id != first {
		t.Errorf("after all others came %#x, not %#x: %v", id, first, err)
	}
}

// A start that cannot stop what a killed node left does not forget which ids that has:
// the next start may be able to.
func TestIDsGoOnAfterAFailedStart(t *testing.T) {
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	file := filepath.Join(dir, idsName)
	if err := os.WriteFile(file, []byte{0, 2, 0, 0}, 0o600); err != nil {
		t.Fatal(err)
	}
	groups, err := cgroup.Open("nstest-"+strings.ToLower(rand.Text()), log)
	if err != nil {
		t.Fatal(err)
	}
	left, err := groups.New("left", cgroup.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	left.Settle()
	// A group that cannot be frozen, with a process that cannot be killed.
	over := t.TempDir()
	if err := os.WriteFile(filepath.Join(over, "cgroup.procs"), []byte("0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range left.Paths() {
		if err := unix.Mount(over, path, "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		defer unix.Unmount(path, unix.MNT_DETACH)
	}
	if d, err := New(t.Context(), Config{Dir: dir, Cgroups: groups, Log: log}); err == nil || !strings.Contains(err.Error(), "stopping what") {
		t.Errorf("New gave %v, %v", d, err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
	for _, path := range left.Paths() {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}
	err = left.Remove()
	found, _, herr := groups.Halt()
	if err := errors.Join(err, herr, groups.Close()); err != nil || len(found) > 0 {
		t.Errorf("found %d groups, %v", len(found), err)
	}
}
