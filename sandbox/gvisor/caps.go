package gvisor

import (
	"fmt"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// gVisor takes from sentry and gofer what capabilities they do not need. Those
// that they have go with one call. Those that they could get back by an execve,
// the bounding set, go one by one: some forty calls, each of which stops all
// threads, and together take either of them 5 ms. But neither can get any back:
// their filters know of no execve, and both have no_new_privs, with which an
// execve gives nobody more than he has. So this step is left out.

// keepBoundingSet has gVisor leave the bounding set of this process as it is. It
// does not try to change it without CAP_SETPCAP, which nothing else needs that is
// yet to come.
func keepBoundingSet() error {
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0); errno != 0 {
		return fmt.Errorf("no_new_privs: %w", errno)
	}
	args := &struct {
		header unix.CapUserHeader
		data   [2]unix.CapUserData
	}{header: unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}}
	if err := unix.Capget(&args.header, &args.data[0]); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	args.data[0].Effective &^= 1 << unix.CAP_SETPCAP
	var pin runtime.Pinner
	pin.Pin(args)
	defer pin.Unpin()
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&args.header)), uintptr(unsafe.Pointer(&args.data[0])), 0); errno != 0 {
		return fmt.Errorf("capabilities: %w", errno)
	}
	return nil
}
