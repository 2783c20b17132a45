package namespace

import (
	"os"

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
	dir, err := b.tmp.find(b)
	if err != nil {
		return 0 // of one that cannot be read nothing is known
	}
	defer dir.Close()
	n, _ := usedBelow(dir)
	return n
}

// usedBelow is how many bytes the file system of a directory holds.
func usedBelow(dir *os.File) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(dir.Fd()), &st); err != nil {
		return 0, err
	}
	return int64(st.Blocks-st.Bfree) * st.Bsize, nil
}
