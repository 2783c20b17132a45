package gvisor

import (
	"time"

	"golang.org/x/sys/unix"
)

// Trace says where the time of one Create went, one thing after the other.
type Trace struct {
	Prepare time.Duration `json:"prepare"` // directory, cgroup, spec
	Launch  time.Duration `json:"launch"`  // until the starter has its request
	Cgroup  time.Duration `json:"cgroup"`  // entering the cgroup (version 1 only)
	Create  time.Duration `json:"create"`  // gofer and sentry up
	Start   time.Duration `json:"start"`   // mounts, filter, first process, which runs from here on
	Finish  time.Duration `json:"finish"`  // files removed, the starter gone
	Total   time.Duration `json:"total"`   // Create as its caller sees it
}

// monotonic is the time by a clock that all processes of the machine share.
func monotonic() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0 // a trace is no reason to fail
	}
	return time.Duration(ts.Nano())
}
