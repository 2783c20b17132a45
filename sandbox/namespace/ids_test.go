package namespace

import (
	"log/slog"
	"path/filepath"
	"testing"
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
