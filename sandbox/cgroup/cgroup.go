// Package cgroup puts each sandbox into a control group of its own: its memory,
// processors and number of processes are bounded there, and it is frozen, killed
// and accounted there.
//
// It works on files below /sys/fs/cgroup and on nothing else, by hand, because
// the libraries for it bring more than the dozen files that are needed and stop
// at the mixed ("hybrid") layout. Three layouts are understood: version 1 (a
// hierarchy for each controller), version 2 (one hierarchy), and hybrid, where
// the controllers are version 1 and an otherwise empty version 2 hierarchy still
// freezes, kills and takes new processes at birth. A machine that offers none,
// or a user who may not write, yields a Root that bounds nothing and says so in
// its Findings.
//
// A node's group lies below the group that the node itself runs in, so that
// whatever bounds the node also bounds its sandboxes. (On version 2 a group with
// processes cannot have children with controllers: a node that is alone in its
// group moves to a leaf of it; one that shares it with the shell it was started
// from has its sandboxes at the top of the tree.) The group is found again by
// its name wherever it was (Halt), because a node that was killed and started
// anew may run in another group.
//
// The first write to cgroup.procs after a pause waits for an RCU grace period of
// the whole kernel, 5 to 15 ms. Nothing here does that on behalf of a caller
// except EnterPaths. On version 2 a sandbox is born in its group (FD,
// CLONE_INTO_CGROUP); on version 1 the drivers have each thread move itself
// (V1Paths), which needs no such wait since Linux 6.0.
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/internal/lazyregexp"

	"github.com/alcove-run/alcove/sandbox"
)

// The controllers that bound or account a sandbox.
const (
	memoryController  = "memory"
	cpuController     = "cpu"
	cpuacctController = "cpuacct" // version 1 only; version 2 accounts everywhere
	pidsController    = "pids"
	freezerController = "freezer" // version 1 only; version 2 freezes everywhere
)

// groupPrefix begins the name of every node's group.
const groupPrefix = "alcove-"

// A Mode is the layout of control groups that was found.
type Mode string

// The layouts.
const (
	V1     Mode = "v1"
	V2     Mode = "v2"
	Hybrid Mode = "hybrid"
	None   Mode = "none"
)

// Root is the group of one node, parent of its sandboxes' groups. Its methods
// are safe for concurrent use.
type Root struct {
	name   string
	log    *slog.Logger
	layout layout

	v1       map[string]string // controller → the node's group in that hierarchy
	v2       string            // the node's group in the unified hierarchy, or ""
	top      *os.File          // v2, open
	v2has    map[string]bool   // controllers that groups below v2 have
	problems map[string]string // controller or "v2" → why it cannot be used

	halted halted
}

var validName = lazyregexp.New(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// Open finds out what this machine offers and makes the group of the node called
// name. The name must be unique on the machine and stable over restarts of the
// node, because Halt stops whatever runs in a group of that name. Open fails only
// on an invalid name; what cannot be had is told by Findings.
func Open(name string, log *slog.Logger) (*Root, error) {
	if !validName.MatchString(name) {
		return nil, fmt.Errorf("cgroup: invalid name %q", name)
	}
	lay, err := readLayout("/proc/self/mountinfo", "/proc/self/cgroup")
	r := &Root{
		name:     name,
		log:      log,
		layout:   lay,
		v1:       map[string]string{},
		v2has:    map[string]bool{},
		problems: map[string]string{},
	}
	if err != nil {
		r.problems["v2"] = err.Error()
		return r, nil
	}
	if lay.v2 != nil {
		if err := r.openV2(); err != nil {
			r.problems["v2"] = err.Error()
		}
	}
	if r.v2 != "" {
		r.top, _ = os.Open(r.v2) // without it groups are found by their paths
	}
	for controller, h := range lay.v1 {
		if controller == freezerController && r.v2 != "" {
			continue // version 2 freezes better
		}
		dir := filepath.Join(h.own(), groupPrefix+name)
		if err := makeWritable(dir); err != nil {
			r.problems[controller] = err.Error()
			continue
		}
		r.v1[controller] = dir
	}
	if err := r.limitTogether(); err != nil {
		log.Warn("the processes of all sandboxes together are not bounded", "error", err)
	}
	return r, nil
}

// makeWritable makes a group and tries whether processes may be put below it.
func makeWritable(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, "cgroup.procs"), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// Mode tells the layout in use.
func (r *Root) Mode() Mode {
	switch {
	case r.v2 == "" && len(r.v1) == 0:
		return None
	case r.v2 == "":
		return V1
	case len(r.v1) == 0:
		return V2
	}
	return Hybrid
}

// has tells whether sandboxes have the controller, in either version.
func (r *Root) has(controller string) bool {
	return r.v1[controller] != "" || r.v2has[controller]
}

// Limits tells whether memory, processors and processes are all bounded.
func (r *Root) Limits() bool {
	return r.has(memoryController) && r.has(cpuController) && r.has(pidsController)
}

// Freezes tells whether groups can be frozen.
func (r *Root) Freezes() bool { return r.v2 != "" || r.v1[freezerController] != "" }

// Close removes the node's groups. Groups of sandboxes that are still there are
// ended first, but for those of earlier processes that End has not removed: they stay,
// and what they are in, for the next process.
func (r *Root) Close() error {
	kept := r.kept()
	err := r.Sweep(kept...)
	if r.top != nil {
		r.top.Close() // nothing was written
	}
	if len(kept) > 0 {
		return err
	}
	for _, dir := range r.dirs() {
		if rerr := removeDir(dir, removeWait); rerr != nil {
			err = errors.Join(err, rerr)
		}
	}
	return err
}

// dirs lists the node's group in every hierarchy.
func (r *Root) dirs() []string {
	var dirs []string
	for _, dir := range r.v1 {
		if !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	slices.Sort(dirs)
	if r.v2 != "" {
		dirs = append(dirs, r.v2)
	}
	return dirs
}

// read reads a control file. It asks the kernel for no more than that: os.ReadFile
// would also size the file, put it into the poller and take it out again, for
// files that are read on the way of invocations.
func read(dir, file string) (string, error) {
	path := filepath.Join(dir, file)
	fd, err := openFile(path, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	space := make([]byte, 0, 4096)
	for {
		n, err := ignoringEINTR(func() (int, error) { return unix.Read(fd, space[len(space):cap(space)]) })
		if err != nil {
			return "", &fs.PathError{Op: "read", Path: path, Err: err}
		}
		space = space[:len(space)+n]
		// The kernel puts the lines of a control file together before it copies
		// them: it gives less than half of what was asked for only at the end.
		if n == 0 || len(space) < cap(space)/2 {
			return strings.TrimSpace(string(space)), nil
		}
		if len(space) == cap(space) {
			space = slices.Grow(space, len(space))
		}
	}
}

// write writes a control file. Every such file takes its value in one write.
func write(dir, file, value string) error {
	path := filepath.Join(dir, file)
	fd, err := openFile(path, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd) // nothing is kept back
	if _, err := ignoringEINTR(func() (int, error) { return unix.Write(fd, []byte(value)) }); err != nil {
		return &fs.PathError{Op: "write", Path: path, Err: err}
	}
	return nil
}

func openFile(path string, flags int) (int, error) {
	fd, err := ignoringEINTR(func() (int, error) { return unix.Open(path, flags|unix.O_CLOEXEC, 0) })
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, nil
}

func ignoringEINTR(f func() (int, error)) (int, error) {
	for {
		n, err := f()
		if err != unix.EINTR {
			return n, err
		}
	}
}

// Findings says what of a sandbox's limits this machine enforces.
func (r *Root) Findings() []sandbox.Finding {
	out := []sandbox.Finding{r.modeFinding()}
	for _, c := range []struct{ name, controller string }{
		{"memory limit", memoryController},
		{"cpu share", cpuController},
		{"process limit", pidsController},
	} {
		f := sandbox.Finding{Name: c.name, State: sandbox.OK}
		switch {
		case r.v1[c.controller] != "":
			f.Detail = "enforced by the version 1 controller " + c.controller
		case r.v2has[c.controller]:
			f.Detail = "enforced by the version 2 controller " + c.controller
		default:
			f.State = sandbox.Missing
			f.Detail = "the controller " + c.controller + " cannot be used" + r.why(c.controller)
			f.Fix = r.fix(c.controller)
		}
		out = append(out, f)
	}
	f := sandbox.Finding{Name: "freezer", State: sandbox.OK, Detail: "idle sandboxes are frozen"}
	switch {
	case r.v2 != "":
		f.Detail += " by cgroup.freeze"
	case r.v1[freezerController] != "":
		f.Detail += " by the version 1 freezer"
	default:
		f.State = sandbox.Degraded
		f.Detail = "no control group can be frozen" + r.why("v2")
		f.Fix = r.fix("v2")
	}
	return append(out, f)
}

func (r *Root) modeFinding() sandbox.Finding {
	f := sandbox.Finding{Name: "control groups", State: sandbox.OK, Detail: "layout " + string(r.Mode())}
	if r.Mode() == None {
		f.State = sandbox.Missing
		f.Detail = "no control group can be made" + r.why("v2")
		f.Fix = r.fix("v2")
	}
	return f
}

func (r *Root) why(what string) string {
	for _, key := range []string{what, "v2"} {
		if p := r.problems[key]; p != "" {
			return ": " + p
		}
	}
	return ""
}

func (r *Root) fix(controller string) string {
	switch {
	case r.layout.v2 == nil && len(r.layout.v1) == 0:
		return "mount -t cgroup2 none /sys/fs/cgroup"
	case os.Geteuid() != 0 && r.layout.v2 != nil && len(r.layout.v1) == 0:
		return "systemd-run --user --scope -p Delegate=yes alcove serve, or run as root"
	case os.Geteuid() != 0:
		return "run as root"
	case r.problems[controller] == "" && r.problems["v2"] == "":
		return "boot with a kernel that has the controller " + controller + " enabled"
	}
	return "mount /sys/fs/cgroup read-write, or start the node in a systemd unit with Delegate=yes"
}
