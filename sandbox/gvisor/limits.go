package gvisor

import (
	"os/exec"

	"github.com/alcove-run/alcove/sandbox/cgroup"
)

// What the host's limits grant on top of the function's own, for the sentry,
// the stub processes and the gofer, which live in the same cgroup.
const (
	memoryOverhead  = 64 << 20
	processOverhead = 256
)

// enter arranges that the starter lives in the group from its first moment, or
// else enters it before it does anything.
func enter(g *cgroup.Group, cmd *exec.Cmd, req *request) error {
	req.Cgroup = g.Paths()
	return nil
}
