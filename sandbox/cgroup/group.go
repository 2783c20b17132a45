package cgroup

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Limits bounds one group. A zero field bounds nothing.
type Limits struct {
	// Memory in bytes. Beyond it the kernel ends a process of the group; swap is
	// not used.
	Memory int64
	// CPU is a share in vCPUs: the weight against other groups when processors
	// are short, and, from one vCPU upwards, the most that the group may take.
	CPU float64
	// Processes bounds processes and threads together.
	Processes int
}

// Group is the control group of one sandbox, or of no sandbox if the machine
// offers none; all methods work on such a group and do nothing. They are safe
// for concurrent use.
type Group struct {
	id  string
	v1  map[string]string // controller → directory
	v2  string
	has map[string]bool // controllers of v2
	dir *os.File        // v2, open until Settle
	top *os.File        // the node's group in the unified hierarchy, open; not this group's

	weighing sync.Mutex
	// Guarded by weighing.
	vcpus float64 // 0 where no share was set
	parts int     // the weight is that of vcpus divided by it
}

// removeWait bounds how long Remove and Kill wait for processes to be gone.
const removeWait = 10 * time.Second

// New makes the group of the sandbox called id, empty and with its limits set.
// If it fails, nothing is left behind.
func (r *Root) New(id string, limits Limits) (*Group, error) {
	if !validName.MatchString(id) {
		return nil, fmt.Errorf("cgroup: invalid id %q", id)
	}
	g := &Group{id: id, v1: map[string]string{}, has: r.v2has, top: r.top}
	err := g.make(r, limits)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cgroup: %s: %w", id, err), g.Remove())
	}
	return g, nil
}

func (g *Group) make(r *Root, limits Limits) error {
	mkdir := func(dir string) error {
		err := os.Mkdir(dir, 0o755)
		if errors.Is(err, fs.ErrNotExist) { // somebody removed the node's group
			err = os.MkdirAll(dir, 0o755)
		}
		return err
	}
	made := map[string]bool{}
	for controller, parent := range r.v1 {
		dir := filepath.Join(parent, g.id)
		if !made[dir] { // cpu and cpuacct are often one hierarchy
			if err := mkdir(dir); err != nil {
				return err
			}
			made[dir] = true
		}
		g.v1[controller] = dir
	}
	if r.v2 != "" {
		dir := filepath.Join(r.v2, g.id)
		if err := mkdir(dir); err != nil {
			return err
		}
		g.v2 = dir
		var err error
		if g.dir, err = os.OpenFile(dir, syscall.O_DIRECTORY, 0); err != nil {
			return err
		}
	}
	return g.Set(limits)
}

// Set changes the limits of the group. A zero field leaves its limit as it is.
func (g *Group) Set(limits Limits) error {
	var err error
	if limits.Memory > 0 {
		err = errors.Join(err, g.setMemory(limits.Memory))
	}
	if limits.CPU > 0 {
		err = errors.Join(err, g.setCPU(limits.CPU), g.setWeight(limits.CPU, 0))
	}
	if limits.Processes > 0 {
		n := strconv.Itoa(limits.Processes)
		if dir := g.v1[pidsController]; dir != "" {
			err = errors.Join(err, write(dir, "pids.max", n))
		} else if g.has[pidsController] {
			err = errors.Join(err, write(g.v2, "pids.max", n))
		}
	}
	return err
}

// socketShare: sockets may buffer one in so many bytes of the memory limit, on top
// of it, where they are counted apart.
const socketShare = 4

// setMemory sets the limit and forbids swap. On version 1 the second limit,
// memory with swap, may never be below the first, so the order depends on the
// direction.
func (g *Group) setMemory(limit int64) error {
	n := strconv.FormatInt(limit, 10)
	if dir := g.v1[memoryController]; dir != "" {
		err := write(dir, "memory.limit_in_bytes", n)
		swap := write(dir, "memory.memsw.limit_in_bytes", n)
		if errors.Is(swap, fs.ErrNotExist) { // a kernel without swap accounting
			swap = nil
		}
		if errors.Is(err, syscall.EINVAL) {
			err = write(dir, "memory.limit_in_bytes", n)
		}
		// On version 1 what sockets buffer is no part of the memory, and counts
		// against the machine's limit alone unless it has one of its own.
		sockets := write(dir, "memory.kmem.tcp.limit_in_bytes", strconv.FormatInt(limit/socketShare, 10))
		if errors.Is(sockets, fs.ErrNotExist) || errors.Is(sockets, syscall.EBUSY) { // another kernel, or more in use
			sockets = nil
		}
		return errors.Join(err, swap, sockets)
	}
	if !g.has[memoryController] {
		return nil
	}
	err := write(g.v2, "memory.max", n)
	swap := write(g.v2, "memory.swap.max", "0")
	if errors.Is(swap, fs.ErrNotExist) {
		swap = nil
	}
	return errors.Join(err, swap)
}

// cpuPeriod is the period of the processor quota, in microseconds; the kernel's
// default.
const cpuPeriod = 100_000

// setCPU sets the quota.
func (g *Group) setCPU(vcpus float64) error {
	quota := int64(max(1, vcpus) * cpuPeriod)
	if dir := g.v1[cpuController]; dir != "" {
		err := write(dir, "cpu.cfs_quota_us", strconv.FormatInt(quota, 10))
		if errors.Is(err, syscall.EINVAL) || errors.Is(err, fs.ErrNotExist) {
			err = nil // a group above has a smaller quota, which holds then; or the kernel has none
		}
		return err
	}
	if !g.has[cpuController] {
		return nil
	}
	return write(g.v2, "cpu.max", fmt.Sprintf("%d %d", quota, cpuPeriod))
}

// Weigh has the group count for one part in so many of its share of the processors
// when they are short (Limits.CPU), which bounds it no more than before when they
// are not.
func (g *Group) Weigh(parts int) error { return g.setWeight(0, max(parts, 1)) }

// setWeight sets the weight; zero leaves what was. 1024 shares of version 1 and a
// weight of 100 on version 2 are what a group has by default; here they stand for one
// vCPU.
func (g *Group) setWeight(vcpus float64, parts int) error {
	g.weighing.Lock()
	defer g.weighing.Unlock()
	g.vcpus, g.parts = cmp.Or(vcpus, g.vcpus), cmp.Or(parts, g.parts, 1)
	if g.vcpus == 0 {
		return nil
	}
	part := g.vcpus / float64(g.parts)
	if dir := g.v1[cpuController]; dir != "" {
		shares := min(max(int64(part*1024), 2), 262_144)
		return write(dir, "cpu.shares", strconv.FormatInt(shares, 10))
	}
	if !g.has[cpuController] {
		return nil
	}
	weight := min(max(int64(part*100), 1), 10_000)
	return write(g.v2, "cpu.weight", strconv.FormatInt(weight, 10))
}

// ID is the name the group was made with.
func (g *Group) ID() string { return g.id }

// Paths lists the directories of the group, for EnterPaths.
func (g *Group) Paths() []string {
	paths := g.V1Paths()
	if g.v2 != "" {
		paths = append(paths, g.v2)
	}
	return paths
}

// V1Paths lists the directories of the group in version 1 hierarchies: what a
// process born into FD still has to enter. Each of its threads writes itself into
// their "tasks".
func (g *Group) V1Paths() []string {
	var paths []string
	for _, dir := range g.v1 {
		if !slices.Contains(paths, dir) {
			paths = append(paths, dir)
		}
	}
	slices.Sort(paths)
	return paths
}

// FD is a descriptor of the group in the unified hierarchy, for
// CLONE_INTO_CGROUP (syscall.SysProcAttr.CgroupFD), or -1 if there is none. It
// stays open until Settle.
func (g *Group) FD() int {
	if g.dir == nil {
		return -1
	}
	return int(g.dir.Fd())
}

// Settle closes FD, once every process that is to be born in the group has been: an
// idle sandbox holds no descriptor for its group.
func (g *Group) Settle() {
	if g.dir != nil {
		g.dir.Close() // nothing was written
		g.dir = nil
	}
}

// EnterPaths moves the whole calling process into the groups whose directories
// are given. It is for a process that was started to become a sandbox: the first
// move on a quiet machine takes 5 to 15 ms.
func EnterPaths(paths []string) error {
	for _, dir := range paths {
		if err := write(dir, "cgroup.procs", "0"); err != nil {
			return fmt.Errorf("cgroup: enter: %w", err)
		}
	}
	return nil
}

// Remove removes the group. It waits a little for processes that are on their
// way out, and fails if any stays. It is idempotent.
func (g *Group) Remove() error { return g.remove(removeWait) }

func (g *Group) remove(wait time.Duration) error {
	var err error
	for _, dir := range g.Paths() {
		err = errors.Join(err, removeDir(dir, wait))
	}
	g.Settle()
	return err
}

// removeDir removes one directory, waiting while the kernel calls it busy.
func removeDir(dir string, wait time.Duration) error {
	deadline := time.Now().Add(wait)
	for pause := 50 * time.Microsecond; ; pause = min(2*pause, 10*time.Millisecond) {
		err := syscall.Rmdir(dir)
		if err == nil || err == syscall.ENOENT {
			return nil
		}
		if err != syscall.EBUSY || time.Now().After(deadline) {
			return &fs.PathError{Op: "rmdir", Path: dir, Err: err}
		}
		time.Sleep(pause)
	}
}
