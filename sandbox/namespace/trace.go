package namespace

import (
	"time"

	"github.com/alcove-run/alcove/sandbox/namespace/launch"
)

// Trace says where the time of one Create went.
type Trace struct {
	Prepare  time.Duration // user id, cgroup, file system for /tmp
	Launcher time.Duration // namespaces, and the launcher's own start
	Order    time.Duration // from there until it has its order
	Enter    time.Duration // cgroups, host name, loopback
	Mounts   time.Duration // the root and everything in it
	Program  time.Duration // fork, ids, rights, filter, exec
	Answer   time.Duration // until the node knows
	Total    time.Duration // Create as its caller sees it
}

// Trace says where the time of the sandbox's Create went.
func (b *box) Trace() Trace { return b.trace }

// traced fills in the trace from moments of CLOCK_MONOTONIC.
func (b *box) traced(began, prepared int64, at launch.Stamps) {
	now := launch.Now()
	b.trace = Trace{
		Prepare:  time.Duration(prepared - began),
		Launcher: time.Duration(at.Begun - prepared),
		Order:    time.Duration(at.Ordered - at.Begun),
		Enter:    time.Duration(at.Entered - at.Ordered),
		Mounts:   time.Duration(at.Built - at.Entered),
		Program:  time.Duration(at.Started - at.Built),
		Answer:   time.Duration(now - at.Started),
		Total:    time.Duration(now - began),
	}
}
