package namespace

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
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
// the next; also when the node was killed, and sandboxes of the killed one are still
// being removed: a file says from where on no id was used.
type ids struct {
	base uint32

	mu   sync.Mutex
	used map[uint32]bool
	next uint32
	file string // or empty: nobody has to know
	told uint32 // up to here, file says that they are used
	log  *slog.Logger
}

// idBlock is how many ids are said to be used at a time.
const idBlock = 512

func newIDs(hash []byte) *ids {
	n := binary.LittleEndian.Uint32(hash) % idStretchs
	return &ids{base: idBase + n*idStretch, used: map[uint32]bool{}}
}

// open has ids start where those of earlier processes ended, as the file says.
func (s *ids) open(file string, log *slog.Logger) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.file, s.log = file, log
	if b, err := os.ReadFile(file); err == nil && len(b) == 4 {
		s.next = binary.LittleEndian.Uint32(b) % (2 * idPairs) &^ 1
	}
	s.told = s.next
}

// tell writes down that the next ids are used. A disk that has no room for four bytes
// is no reason to make no sandbox.
func (s *ids) tell() {
	if s.file == "" || s.next != s.told {
		return
	}
	s.told = (s.next + idBlock) % (2 * idPairs)
	// In place: what was there takes no more room.
	f, err := os.OpenFile(s.file, os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteAt(binary.LittleEndian.AppendUint32(nil, s.told), 0)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		s.log.Warn("after a kill, user ids may be used again while their sandboxes are still being removed", "error", err)
	}
}

func (s *ids) take() (uint32, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range idPairs {
		s.tell()
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
