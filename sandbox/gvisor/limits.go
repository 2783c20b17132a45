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

// enter arranges that the starter is born in the group's version 2 part, and
// enters the version 1 parts itself before it does anything else.
func enter(g *cgroup.Group, cmd *exec.Cmd, req *request) {
	if fd := g.FD(); fd >= 0 {
		cmd.SysProcAttr.UseCgroupFD = true
		cmd.SysProcAttr.CgroupFD = fd
	}
	req.Cgroup = g.V1Paths()
}
