package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// freezeWait bounds how long Freeze waits until every process stands still. A
// process in an uninterruptible wait (a disk) is what can delay it.
const freezeWait = 2 * time.Second

// ErrNoFreezer is returned where control groups cannot freeze.
var ErrNoFreezer = errors.New("cgroup: no freezer on this machine")

// StopRunning has the kernel stop every process of the group, now and until Thaw,
// and does not wait until all stand still, which is microseconds later: no
// process gets further than to its next way out of the kernel. On version 1 it
// is Freeze.
func (g *Group) StopRunning() error {
	if g.v2 != "" {
		return g.setFrozen("1")
	}
	return g.Freeze()
}

// setFrozen writes cgroup.freeze, on the way of invocations: from the node's group,
// which all sandboxes' are in, since to go there by the whole path costs more. To
// keep the file or its directory open would cost each idle environment a descriptor.
func (g *Group) setFrozen(value string) error {
	at, path := unix.AT_FDCWD, g.v2+"/cgroup.freeze"
	if g.top != nil {
		at, path = int(g.top.Fd()), g.id+"/cgroup.freeze"
	}
	fd, err := ignoringEINTR(func() (int, error) { return unix.Openat(at, path, unix.O_WRONLY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return fmt.Errorf("cgroup: freezer of %s: %w", g.id, err)
	}
	defer unix.Close(fd) // nothing is kept back
	if _, err := ignoringEINTR(func() (int, error) { return unix.Write(fd, []byte(value)) }); err != nil {
		return fmt.Errorf("cgroup: freezer of %s: %w", g.id, err)
	}
	return nil
}

// Freeze stops every process of the group and returns when all stand still.
func (g *Group) Freeze() error {
	if g.v2 != "" {
		if err := g.setFrozen("1"); err != nil {
			return err
		}
		return g.await(func() (bool, error) {
			n, err := readCounter(g.v2, "cgroup.events", "frozen")
			return n == 1, err
		})
	}
	dir := g.v1[freezerController]
	if dir == "" {
		return ErrNoFreezer
	}
	return g.await(func() (bool, error) {
		// Written again each time: a process forked in between is caught so.
		if err := write(dir, "freezer.state", "FROZEN"); err != nil {
			return false, err
		}
		state, err := read(dir, "freezer.state")
		return state == "FROZEN", err
	})
}

// startFreeze has the kernel begin to stop every process of the group.
func (g *Group) startFreeze() error {
	switch dir := g.v1[freezerController]; {
	case g.v2 != "":
		return g.setFrozen("1")
	case dir != "":
		return write(dir, "freezer.state", "FROZEN")
	}
	return ErrNoFreezer
}

// await polls a condition that the kernel reaches within microseconds as a rule.
func (g *Group) await(reached func() (bool, error)) error {
	deadline := time.Now().Add(freezeWait)
	for pause := 20 * time.Microsecond; ; pause = min(2*pause, 5*time.Millisecond) {
		ok, err := reached()
		if ok || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("cgroup: %s does not freeze", g.id)
		}
		time.Sleep(pause)
	}
}

// Thaw lets the processes of the group go on.
func (g *Group) Thaw() error {
	if g.v2 != "" {
		return g.setFrozen("0")
	}
	if dir := g.v1[freezerController]; dir != "" {
		return write(dir, "freezer.state", "THAWED")
	}
	return ErrNoFreezer
}

// Kill ends every process of the group, frozen or not, and returns when none is
// left but zombies that their parents have yet to collect.
func (g *Group) Kill() error { return g.kill(removeWait) }

func (g *Group) kill(wait time.Duration) error {
	killed := false
	if g.v2 != "" {
		err := write(g.v2, "cgroup.kill", "1")
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // Linux before 5.14 has no such file
			return err
		}
		killed = err == nil
	}
	deadline := time.Now().Add(wait)
	for pause := 50 * time.Microsecond; ; pause = min(2*pause, 10*time.Millisecond) {
		pids, err := g.Pids()
		if err != nil || len(pids) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("cgroup: %s: %d processes do not die", g.id, len(pids))
		}
		// What cgroup.kill has hit needs time and no more; what is still there
		// then is in a version 1 group alone.
		if !killed || pause > time.Millisecond {
			if err := g.killEach(); err != nil {
				return err
			}
		}
		time.Sleep(pause)
	}
}

// killEach signals every process while none can fork. A group that cannot be
// frozen is signalled anyway; Kill repeats it until it is empty.
func (g *Group) killEach() error {
	// Not Freeze: that waits until all stand still, and the dying never do.
	frozen := g.startFreeze() == nil
	pids, err := g.Pids()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		// A process that is gone (ESRCH) is what is wanted.
		if kerr := syscall.Kill(pid, syscall.SIGKILL); kerr != nil && kerr != syscall.ESRCH {
			err = errors.Join(err, fmt.Errorf("cgroup: kill %d: %w", pid, kerr))
		}
	}
	if frozen {
		err = errors.Join(err, g.Thaw()) // version 1 does not let frozen processes die
	}
	return err
}

// Pids lists the living processes of the group, in this process's pid namespace.
func (g *Group) Pids() ([]int, error) {
	var pids []int
	for _, dir := range g.Paths() {
		procs, err := read(dir, "cgroup.procs")
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) {
			continue // removed
		}
		if err != nil {
			return nil, err
		}
		for _, field := range strings.Fields(procs) {
			pid, err := strconv.Atoi(field)
			if err != nil || pid == 0 { // 0: a process outside our pid namespace
				return nil, fmt.Errorf("cgroup: %s: foreign process %q", filepath.Base(dir), field)
			}
			// Never this process, one thread of which may be in the group.
			if pid != os.Getpid() && !slices.Contains(pids, pid) && !zombie(pid) {
				pids = append(pids, pid)
			}
		}
	}
	return pids, nil
}

// zombie tells whether a process has ended and only waits for its parent.
// Version 1 goes on listing such a process. One whose first thread alone has
// ended is in state Z too, but counts more than one thread.
func zombie(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return true // gone altogether
	}
	// proc_pid_stat(5): the command in parentheses, then state (field 3) …
	// num_threads (field 20).
	field := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(field) < 18 {
		return false
	}
	ended := field[0] == "Z" || field[0] == "X"
	return ended && (field[17] == "0" || field[17] == "1")
}
