package namespace

import (
	"encoding/binary"
	"errors"
	"sync"

	"github.com/alcove-run/alcove/sandbox"
)

// Sandboxes run under user ids that nobody else on the host has: those from
// idBase on, above what distributions, containers and container managers use
// (systemd-nspawn ends at 0x6fffffff). A node uses one stretch of them, found by
// its directory.
const (
	idBase     = 0x70000000
	idStretch  = 1 << 16
	idStretchs = 1 << 12
	// idPairs of a stretch are for sandboxes, two ids to each. What is left is for
	// the further groups of users.
	idPairs = (idStretch - sandbox.MaxGroups) / 2
)

// ids hands out pairs of host user ids, the first for a sandbox's programs, the
// second for its first process. The group ids are the same numbers. An id is
// used again only after all others, so that nothing of a sandbox's belongs to
// the next.
type ids struct {
	base uint32

	mu   sync.Mutex
	used map[uint32]bool
	next uint32
}

func newIDs(hash []byte) *ids {
	n := binary.LittleEndian.Uint32(hash) % idStretchs
	return &ids{base: idBase + n*idStretch, used: map[uint32]bool{}}
}

func (s *ids) take() (uint32, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range idPairs {
		id := s.base + s.next
		s.next = (s.next + 2) % (2 * idPairs)
		if !s.used[id] {
			s.used[id] = true
			return id, nil
		}
	}
	return 0, errors.New("no user id is left")
}

func (s *ids) give(id uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.used, id)
}

// group is the host id of a user's further group, the i-th of them. All sandboxes
// have the same ones, so that users of many groups use up no ids of others: what a
// sandbox can give to a group is in its own file systems, where no other comes.
func (s *ids) group(i int) uint32 { return s.base + 2*idPairs + uint32(i) }
