package namespace

import (
	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/sandbox"
)

var _ sandbox.DiskMeter = (*Driver)(nil)

// DiskUse implements sandbox.DiskMeter. What is in /dev/shm is memory here.
func (d *Driver) DiskUse() map[string]int64 {
	d.mu.Lock()
	boxes := make([]*box, 0, len(d.boxes))
	for _, b := range d.boxes {
		boxes = append(boxes, b)
	}
	d.mu.Unlock()
	use := make(map[string]int64, len(boxes))
	for _, b := range boxes {
		if n := b.diskUse(); n > 0 {
			use[b.spec.ID] = n
		}
	}
	return use
}

func (b *box) diskUse() int64 {
	// One that is being made or destroyed is not worth waiting for.
	if !b.mu.TryLock() {
		return 0
	}
	defer b.mu.Unlock()
	if b.destroyed || b.tmp == nil {
		return 0
	}
	n, _ := b.tmp.used() // of one that cannot be read nothing is known
	return n
}

// used is how many bytes the file system holds.
func (s *scratch) used() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(s.dir.Fd()), &st); err != nil {
		return 0, err
	}
	return int64(st.Blocks-st.Bfree) * st.Bsize, nil
}
