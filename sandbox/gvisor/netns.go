package gvisor

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// emptyNetns makes a network namespace with nothing in it, for gofers to live
// in. It exists as long as the file is open; gVisor's own way is a mount that
// somebody has to find and remove.
func emptyNetns() (*os.File, error) {
	type result struct {
		file *os.File
		err  error
	}
	made := make(chan result, 1)
	go func() {
		// Never unlocked: the thread, now in another namespace, ends with the
		// goroutine.
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			made <- result{err: fmt.Errorf("gvisor: new network namespace: %w", err)}
			return
		}
		f, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			err = fmt.Errorf("gvisor: new network namespace: %w", err)
		}
		made <- result{f, err}
	}()
	r := <-made
	return r.file, r.err
}
