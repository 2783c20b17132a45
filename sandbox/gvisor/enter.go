package gvisor

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"unsafe"
)

// enterV1 moves this process into cgroups of version 1, each given by its
// directory. Writing to cgroup.procs, which moves a process as one, waits for
// an RCU grace period of the whole kernel, 5 to 15 ms; a thread that moves
// nobody but itself does not wait. So every thread moves itself, and threads
// and processes that they start are born there.
func enterV1(dirs []string) error {
	self := []byte("0")
	var pin runtime.Pinner
	pin.Pin(&self[0])
	defer pin.Unpin()
	for _, dir := range dirs {
		f, err := os.OpenFile(filepath.Join(dir, "tasks"), os.O_WRONLY, 0)
		if err != nil {
			return fmt.Errorf("entering cgroup: %w", err)
		}
		_, _, errno := syscall.AllThreadsSyscall(syscall.SYS_WRITE, f.Fd(), uintptr(unsafe.Pointer(&self[0])), 1)
		_ = f.Close()
		if errno != 0 {
			return fmt.Errorf("entering cgroup %s: %w", dir, errno)
		}
	}
	return nil
}
