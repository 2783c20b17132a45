package gvisor

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/sandbox"
)

// Without root's rights, a sandbox is made by a starter that is root in a user
// namespace of its own, in which there is one user: the one who runs the node. What
// gVisor needs rights for is done in namespaces that belong to that one. So a sandbox
// has the same parts behind the same filters; on the host they are processes of
// the node's user.

// starterAttr is how a starter is started.
func starterAttr(root bool) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true}
	if !root {
		// The empty network namespace is for the gofer.
		attr.Cloneflags = unix.CLONE_NEWUSER | unix.CLONE_NEWNET
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	return attr
}

// errNoLate: what comes late is a mount that the node makes, which is for root.
var errNoLate = errors.New("gvisor: a sandbox cannot be made before its function is known: that needs root's rights")

func (d *Driver) lateFinding() sandbox.Finding {
	f := sandbox.Finding{Name: "made ahead", State: sandbox.OK, Detail: "sandboxes can be made before their function is known"}
	if !d.root {
		f.State = sandbox.Degraded
		f.Detail = "sandboxes are made for one function each, from the start: what is mounted afterwards needs root's rights"
		f.Fix = "run as root"
	}
	return f
}
