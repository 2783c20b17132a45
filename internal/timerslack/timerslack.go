// Package timerslack has the kernel be less exact about timers of Go programs
// that hardly use any.
//
// Go's runtime has a thread of its own, the monitor, which looks after threads
// that are in system calls. While anything runs it sleeps for 20 µs at a time,
// which the kernel makes 70 (prctl(2), PR_SET_TIMERSLACK: 50 µs are the usual
// slack). A program that is woken a thousand times a second to do a little, as a
// node and the sentries of its sandboxes are, so has its monitor woken several
// times for each of them. With more slack the monitor sleeps longer. What comes of
// it is that a goroutine may wait that much longer, twice at most, for the
// processor of one that is in a system call, if there is no other.
//
// The package touches nothing but that setting, of this process's threads and of
// processes that it starts.
package timerslack

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Lend calls start with a thread that has this slack. A process that start forks
// keeps it, with all its threads and children. Where the slack cannot be set, start
// is called without: nothing is lost but speed.
func Lend(d time.Duration, start func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	own, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err == nil && set(d) == nil {
		defer func() { _ = set(time.Duration(own)) }() // it was so before
	}
	return start()
}

func set(d time.Duration) error { return unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(d), 0, 0, 0) }

// Monitor gives the runtime's monitor in this process the slack, and with it the
// threads that the monitor starts, one now and then. That is another thread than
// the caller's, for which the kernel wants CAP_SYS_NICE.
func Monitor(d time.Duration) error {
	tasks, err := os.Open("/proc/self/task")
	if err != nil {
		return err
	}
	defer tasks.Close()
	// Not sorted, they come in the order in which they were made: the monitor is the
	// first that the runtime makes, before any package is initialised.
	threads, err := tasks.Readdirnames(-1)
	if err != nil {
		return err
	}
	if len(threads) < 2 {
		return fmt.Errorf("the runtime has %d threads", len(threads))
	}
	path := filepath.Join("/proc", threads[1], "timerslack_ns")
	return os.WriteFile(path, []byte(strconv.FormatInt(d.Nanoseconds(), 10)), 0)
}
