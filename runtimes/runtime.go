package runtimes

import (
	"slices"
	"strconv"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/sandbox/rootfs"
)

// Where things are inside every sandbox.
const (
	TaskDir    = "/var/task"    // the function's code
	LayerDir   = "/opt"         // its layers
	RuntimeDir = "/var/runtime" // our bootstraps, part of the root tree
)

// Runtime is what a runtime name stands for on this machine.
type Runtime struct {
	// Name is the one that the function was created with, "python3.12".
	Name   string
	Family Family
	// Version is that of the interpreter that really runs, "3.11.2", or the digest
	// of the image; empty for provided.* without an image.
	Version string
	// Image says that the root is a container image that stands for the runtime.
	Image bool
	// Want is what the root tree must have beyond every tree's base.
	Want rootfs.Want
	// TCP says that whatever runs wants the Runtime API at
	// sandbox.RuntimeAPIAddr, not only at the socket.
	TCP bool
	// Args is the command. Its first element is an absolute path inside the
	// sandbox, except for provided.*, where it is empty until [Runtime.For].
	Args []string
}

// wrapperScript starts a program in front of the runtime. Messages and exit
// codes are those of the bootstraps of AWS's images.
const wrapperScript = `w=$AWS_LAMBDA_EXEC_WRAPPER
[ -f "$w" ] || { echo "$w: does not exist" >&2; exit 127; }
[ -x "$w" ] || { echo "$w: is not an executable" >&2; exit 126; }
exec "$w" "$@"`

// For gives the runtime as one version wants it: heap limits by memory size, and
// the program that AWS_LAMBDA_EXEC_WRAPPER names in front of the interpreter.
// Such a program may speak to the Runtime API itself and gets TCP for that.
//
// For provided.* nothing changes: whoever knows the code chooses between
// /var/task/bootstrap and /opt/bootstrap. Nor does it for images, which bring all
// that along.
func (r Runtime) For(v *alcove.Version) Runtime {
	if r.Family == Provided || r.Family == Container {
		return r
	}
	r.Args = slices.Clone(r.Args)
	if r.Family == NodeJS {
		// As AWS does: 90 % of the memory for old objects, 5 % for young ones.
		mem := v.Config.MemorySize
		r.Args = slices.Insert(r.Args, 1,
			"--expose-gc", "--max-http-header-size=81920",
			"--max-semi-space-size="+strconv.Itoa(max(1, mem*5/100)),
			"--max-old-space-size="+strconv.Itoa(mem*90/100))
	}
	if v.Config.Environment["AWS_LAMBDA_EXEC_WRAPPER"] != "" {
		r.Args = append([]string{"/bin/sh", "-c", wrapperScript, "bootstrap"}, r.Args...)
		r.TCP = true
	}
	return r
}
