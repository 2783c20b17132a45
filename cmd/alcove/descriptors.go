package main

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/gvisor"
	"github.com/alcove-run/alcove/sandbox/namespace"
)

// What a node needs file descriptors for. An idle environment holds, besides what
// its driver has for the sandbox, the Runtime API's socket, the two pipes of its
// output, and the connection that a bootstrap of alcove's own needs. One that takes
// two places (environment.Factory.Places) may hold a listener, a second connection,
// a third pipe and a supervisor's connection, too. More connections of runtimes share
// places.
const (
	descriptorsOfNode        = 512 // stores, logs, journal, trees being read, environments being made
	descriptorsOfEnvironment = 4
	// Connections of callers, and what connections of runtimes share, may each
	// hold one in so many of all descriptors.
	connectionShare, spareShare = 12, 16
	// So do connections of functions in the making, of which each is three
	// descriptors while it is made, and theirs to the node.
	makingShare, insideShare = 64, 64
	makingMax, insideAllMax  = 1024, 4096
)

// ofEnvironment is what an idle environment of a driver's holds.
func ofEnvironment(isolation string) int {
	if isolation == "gvisor" {
		return descriptorsOfEnvironment + gvisor.Descriptors
	}
	return descriptorsOfEnvironment + namespace.Descriptors()
}

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
	// making is how many connections of theirs may be in the making, and names be
	// looked up, at a time: until the relay has one, the node does.
	making int
	// inside is how many connections environments may have to the node itself.
	inside int
	// environments is how many may exist; what would be one more is refused.
	environments int
}

// openFiles raises this process's limit of open files to its hard limit, and
// shares it out.
func openFiles(isolation string) (descriptors, error) {
	limit, err := raiseOpenFiles()
	return shareDescriptors(limit, ofEnvironment(isolation)), err
}

func raiseOpenFiles() (uint64, error) {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 0, fmt.Errorf("limit of open files: %w", err)
	}
	// The Go runtime has done it already where it can, and gives the programs
	// that it starts the old one.
	if r.Cur < r.Max {
		raised := unix.Rlimit{Cur: r.Max, Max: r.Max}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &raised); err == nil {
			r = raised
		}
	}
	return r.Cur, nil
}

// shareDescriptors shares out a limit where an idle environment holds so many.
func shareDescriptors(limit uint64, each int) descriptors {
	n := int(min(limit, 1<<30))
	d := descriptors{limit: limit, connections: n / connectionShare, spare: n / spareShare,
		making: min(n/makingShare, makingMax), inside: min(n/insideShare, insideAllMax)}
	d.environments = max(0, n-descriptorsOfNode-d.connections-d.spare-3*d.making-d.inside) / each
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

// filesFinding is the limit as the doctor tells it.
func filesFinding(limit uint64, namespaces, gvisors int) sandbox.Finding {
	n, g := shareDescriptors(limit, namespaces), shareDescriptors(limit, gvisors)
	f := sandbox.Finding{Name: "open files", State: sandbox.OK,
		Detail: fmt.Sprintf("%d: %d environments of gvisor or %d of namespace, and %d connections of callers at once", limit, g.environments, n.environments, n.connections)}
	if g.environments < fewEnvironments {
		f.State = sandbox.Degraded
		f.Fix = "raise the hard limit: ulimit -Hn 65536, or LimitNOFILE=65536 of systemd"
	}
	return f
}
