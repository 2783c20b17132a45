package gvisor

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/sandbox"
)

var _ sandbox.DiskMeter = (*Driver)(nil)

// DiskUse implements sandbox.DiskMeter. The files behind /tmp and /dev/shm have
// no names any more: they are found among the sentry's open ones, on the
// driver's file system.
func (d *Driver) DiskUse() map[string]int64 {
	var here unix.Stat_t
	if err := unix.Stat(d.conf.Dir, &here); err != nil {
		return nil
	}
	d.mu.Lock()
	boxes := make([]*box, 0, len(d.boxes))
	for _, b := range d.boxes {
		boxes = append(boxes, b)
	}
	d.mu.Unlock()
	use := make(map[string]int64, len(boxes))
	for _, b := range boxes {
		select {
		case <-b.settled:
			if n := b.diskUse(here.Dev); n > 0 {
				use[b.id] = n
			}
		default: // it runs nothing yet
		}
	}
	return use
}

// diskUse is what b's nameless files on a file system hold, in bytes.
func (b *box) diskUse(dev uint64) (sum int64) {
	if b.sentry == nil {
		return 0
	}
	select {
	case <-b.reaped: // its number may be somebody else's
		return 0
	default:
	}
	dir := "/proc/" + strconv.Itoa(b.sentry.pid) + "/fd/"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0 // it has just ended
	}
	counted := make(map[uint64]bool)
	for _, e := range entries {
		var st unix.Stat_t
		if unix.Stat(dir+e.Name(), &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Dev != dev || st.Nlink != 0 || counted[st.Ino] {
			continue
		}
		counted[st.Ino] = true
		sum += st.Blocks * 512
	}
	return sum
}
