// Package umount is gVisor's helper process that unmounts /proc, before anything
// else is initialised.
//
// The sentry of a sandbox that root makes starts this program again for that one
// system call, and a process that has initialised all of gVisor's packages for it
// is a tenth of what the sandbox costs. The package is for the program that is
// nothing but the parts of a sandbox (alcove-sandbox), works when it is imported,
// and imports so little that its turn comes before theirs: Go initialises packages
// in the order of their paths, those first that wait for none.
package umount

import (
	"os"
	"syscall"
)

func init() {
	if a := os.Args; len(a) == 4 && a[0] == "/proc/self/exe" && a[1] == "umount" && a[2] == "--sync-fd=3" {
		os.Exit(whenTold(3, a[3]))
	}
}

// whenTold does what gVisor's command of that name does: when a byte says so, it takes
// /proc away from the sentry that has started it. It returns the exit code, which
// is all that the sentry looks at.
func whenTold(told int, dir string) int {
	n, err := syscall.Read(told, make([]byte, 1))
	for err == syscall.EINTR {
		n, err = syscall.Read(told, make([]byte, 1))
	}
	if err != nil || n != 1 { // the sentry is gone
		return 1
	}
	if syscall.Unmount(dir, syscall.MNT_DETACH) != nil {
		return 1
	}
	return 0
}
