package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cost is processor time, by who used it.
type cost struct {
	node      time.Duration // the node's own process, its kernel time included
	sandboxes time.Duration // everything in its control groups
	client    time.Duration // this process
}

func (c cost) since(before cost) cost {
	return cost{c.node - before.node, c.sandboxes - before.sandboxes, c.client - before.client}
}

// spent is what has been used so far. A node without control groups has no cost
// of sandboxes.
func (n *node) spent() cost {
	var own syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &own)
	c := cost{node: threads(n.cmd.Process.Pid), client: time.Duration(own.Utime.Nano() + own.Stime.Nano())}
	if b, err := os.ReadFile(filepath.Join(n.group, "cpuacct.usage")); err == nil {
		ns, _ := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
		c.sandboxes = time.Duration(ns)
	} else if b, err := os.ReadFile(filepath.Join(n.group, "cpu.stat")); err == nil {
		c.sandboxes = time.Duration(number(string(b), "usage_usec")) * time.Microsecond
	}
	return c
}

// threads is the processor time of a process's living threads, to the
// nanosecond.
func threads(pid int) (sum time.Duration) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has ended
		}
		ns, _, _ := strings.Cut(string(b), " ")
		v, _ := strconv.ParseInt(ns, 10, 64)
		sum += time.Duration(v)
	}
	return sum
}

// groupOf finds the control group in which the processor time of a node's
// sandboxes is counted; "" if there is none. A node names its group after its
// data directory.
func groupOf(data string) (found string) {
	sum := sha256.Sum256([]byte(data))
	name := "alcove-" + hex.EncodeToString(sum[:6])
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		if d.Name() != name {
			if strings.HasPrefix(d.Name(), "alcove-") {
				return filepath.SkipDir
			}
			return nil
		}
		for _, file := range []string{"cpuacct.usage", "cpu.stat"} {
			if _, err := os.Stat(filepath.Join(path, file)); err == nil && (found == "" || file == "cpuacct.usage") {
				found = path
			}
		}
		return filepath.SkipDir
	})
	return found
}

// memoryMB is the node's own proportional set size.
func (n *node) memoryMB() float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", n.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	return number(string(b), "Pss:") / 1024
}

// availableMB is what the machine could still give to programs.
func availableMB() float64 {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	return number(string(b), "MemAvailable:") / 1024
}

// number is the one behind a name at the beginning of a line.
func number(text, name string) float64 {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name {
			v, _ := strconv.ParseFloat(f[1], 64)
			return v
		}
	}
	return 0
}

func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(b))[:3], " ")
}
