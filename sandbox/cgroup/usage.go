package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/alcove-run/alcove/sandbox"
)

// Usage is what the group takes and took. What the machine does not account is
// zero.
func (g *Group) Usage() (sandbox.Usage, error) {
	var u sandbox.Usage
	memory, err := g.memory()
	u.Memory = memory
	peak, perr := g.MemoryPeak()
	u.MemoryPeak = peak
	cpu, cerr := g.cpu()
	u.CPU = cpu
	if err := errors.Join(err, perr, cerr); err != nil {
		return u, fmt.Errorf("cgroup: usage of %s: %w", g.id, err)
	}
	return u, nil
}

// memory is what is charged to the group less the file cache, which the kernel
// takes back when memory is short.
func (g *Group) memory() (int64, error) {
	dir, file, prefix := g.v1[memoryController], "memory.usage_in_bytes", "total_"
	if dir == "" {
		if !g.has[memoryController] {
			return 0, nil
		}
		dir, file, prefix = g.v2, "memory.current", ""
	}
	used, err := readInt(dir, file)
	if err != nil {
		return 0, err
	}
	stat, err := read(dir, "memory.stat")
	if err != nil {
		return 0, err
	}
	for _, cache := range []string{"active_file", "inactive_file", "slab_reclaimable"} {
		if n, err := counter(stat, prefix+cache); err == nil {
			used -= n
		}
	}
	return max(used, 0), nil
}

// MemoryPeak is the most that was charged to the group so far; zero if the machine
// does not tell.
func (g *Group) MemoryPeak() (int64, error) {
	if dir := g.v1[memoryController]; dir != "" {
		return readInt(dir, "memory.max_usage_in_bytes")
	}
	if !g.has[memoryController] {
		return 0, nil
	}
	n, err := readInt(g.v2, "memory.peak")
	if errors.Is(err, fs.ErrNotExist) { // Linux before 5.19
		err = nil
	}
	return n, err
}

func (g *Group) cpu() (int64, error) {
	if dir := g.v1[cpuacctController]; dir != "" {
		return readInt(dir, "cpuacct.usage")
	}
	if g.v2 == "" {
		return 0, nil
	}
	usec, err := readCounter(g.v2, "cpu.stat", "usage_usec") // there without the controller too
	return usec * 1000, err
}

// OOMKills counts the processes of the group that the kernel ended because the
// group was out of memory.
func (g *Group) OOMKills() (int, error) {
	var n int64
	var err error
	if dir := g.v1[memoryController]; dir != "" {
		n, err = readCounter(dir, "memory.oom_control", "oom_kill")
	} else if g.has[memoryController] {
		n, err = readCounter(g.v2, "memory.events", "oom_kill")
	}
	return int(n), err
}

func readInt(dir, file string) (int64, error) {
	s, err := read(dir, file)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(s, 10, 64)
}

// readCounter reads one "name value" line of a file.
func readCounter(dir, file, name string) (int64, error) {
	s, err := read(dir, file)
	if err != nil {
		return 0, err
	}
	return counter(s, name)
}

func counter(lines, name string) (int64, error) {
	for line := range strings.Lines(lines) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		}
	}
	return 0, fmt.Errorf("no counter %q", name)
}
