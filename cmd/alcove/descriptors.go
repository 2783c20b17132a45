package main

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/sandbox"
)

// What a node needs file descriptors for. An idle environment holds some ten in
// the node, with its link and the one or two connections that a runtime needs
// (runtimeapi.OwnConns). More connections of runtimes share places.
const (
	descriptorsOfNode        = 512 // stores, logs, journal, trees being read, environments being made
	descriptorsOfEnvironment = 15
	// Connections of callers, and what connections of runtimes share, may each
	// hold one in so many of all descriptors.
	connectionShare = 8
)

// descriptors is how a process's limit of open files is shared out.
type descriptors struct {
	limit uint64
	// connections is how many callers may have; others wait to be accepted.
	connections int
	// spare is how many connections of runtimes there may be beyond what each
	// environment has of its own.
	spare int
	// egress is how many connections functions may have to the outside: the relay,
	// which has the same limit, holds them, and the links of environments.
	egress int
	// environments is how many may exist; what would be one more is refused.
	environments int
}

// openFiles raises this process's limit of open files to its hard limit, and
// shares it out.
func openFiles() (descriptors, error) {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return descriptors{}, fmt.Errorf("limit of open files: %w", err)
	}
	// The Go runtime has done it already where it can, and gives the programs
	// that it starts the old one.
	if r.Cur < r.Max {
		raised := unix.Rlimit{Cur: r.Max, Max: r.Max}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &raised); err == nil {
			r = raised
		}
	}
	return shareDescriptors(r.Cur), nil
}

func shareDescriptors(limit uint64) descriptors {
	n := int(min(limit, 1<<30))
	d := descriptors{limit: limit, connections: n / connectionShare, spare: n / connectionShare}
	d.environments = max(0, n-descriptorsOfNode-d.connections-d.spare) / descriptorsOfEnvironment
	d.egress = max(0, n-descriptorsOfNode-d.environments)
	return d
}

// check refuses a limit that no environment fits in.
func (d descriptors) check() error {
	if d.environments < 1 {
		return fmt.Errorf("the limit of open files is %d, too few for a single environment: raise it with ulimit -Hn, or LimitNOFILE= of systemd", d.limit)
	}
	return nil
}

// fewEnvironments is where the limit is worth a word.
const fewEnvironments = 100

// finding is the limit as the doctor tells it.
func (d descriptors) finding() sandbox.Finding {
	f := sandbox.Finding{Name: "open files", State: sandbox.OK,
		Detail: fmt.Sprintf("%d: %d environments and %d connections of callers at once", d.limit, d.environments, d.connections)}
	if d.environments < fewEnvironments {
		f.State = sandbox.Degraded
		f.Fix = "raise the hard limit: ulimit -Hn 65536, or LimitNOFILE=65536 of systemd"
	}
	return f
}
