// Package disk tells how much room there is on the file system of a directory.
// It reads nothing else and writes nothing.
package disk

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// mostBlocks keeps a product of blocks and their size within an int64, whatever a
// file system claims.
const mostBlocks = 1 << 40

// Space measures the file system of dir, in bytes: how large it is, and how much
// of it is free for users without root's rights. It costs one system call, about
// a microsecond.
//
// Errors wrap the system call's: fs.ErrNotExist if dir is not there.
func Space(dir string) (size, free int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, fmt.Errorf("measure the disk of %s: %w", dir, err)
	}
	return int64(min(st.Blocks, mostBlocks)) * st.Bsize, int64(min(st.Bavail, mostBlocks)) * st.Bsize, nil
}
