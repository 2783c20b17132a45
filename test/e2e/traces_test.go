package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove/internal/slow"
)

// traces is what a node has made on the machine at some moment, as the machine
// tells it, not the node.
type traces struct {
	processes map[string]string // "pid start-time" -> command line
	cgroups   []string
}

// traces finds the node's processes, by descent, and its control groups.
func (n *node) traces() traces {
	tr := traces{processes: map[string]string{}, cgroups: n.cgroups()}
	parents := map[int]int{}
	start := map[int]string{}
	entries, _ := os.ReadDir("/proc") // if it cannot be read, nothing here works
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if ppid, since, ok := stat(pid); ok {
			parents[pid], start[pid] = ppid, since
		}
	}
	for pid := range parents {
		for up := parents[pid]; up > 1; up = parents[up] {
			if up == n.Cmd.Process.Pid {
				args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // gone, perhaps
				tr.processes[fmt.Sprintf("%d %s", pid, start[pid])] = strings.ReplaceAll(string(args), "\x00", " ")
				break
			}
		}
	}
	return tr
}

// stat reads a process's parent and start time (proc(5), fields 4 and 22).
func stat(pid int) (ppid int, since string, ok bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, "", false
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(f) < 20 || f[0] == "Z" {
		return 0, "", false
	}
	// PF_EXITING: it runs no program any more, and waits until somebody has
	// collected its children.
	if flags, err := strconv.ParseUint(f[6], 10, 64); err != nil || flags&4 != 0 {
		return 0, "", false
	}
	ppid, err = strconv.Atoi(f[1])
	return ppid, f[19], err == nil
}

// cgroups are the directories of the node's control groups and of its sandboxes',
// in every hierarchy. They bear the digest of the data directory.
func (n *node) cgroups() []string {
	sum := sha256.Sum256([]byte(n.data))
	name := hex.EncodeToString(sum[:6])
	var found []string
	filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // groups of others come and go
		}
		if d.IsDir() && strings.Contains(path, name) {
			found = append(found, path)
		}
		return nil
	})
	return found
}

// inside lists the processes in an environment's control groups.
func (n *node) inside(t *testing.T, id string) []int {
	t.Helper()
	found := map[int]bool{}
	for _, g := range n.cgroups() {
		if !strings.Contains(g, id) {
			continue
		}
		b, err := os.ReadFile(filepath.Join(g, "cgroup.procs"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range strings.Fields(string(b)) {
			pid, err := strconv.Atoi(f)
			if err != nil {
				t.Fatal(err)
			}
			found[pid] = true
		}
	}
	return slices.Collect(maps.Keys(found))
}

// mounts are those of this machine below the data directory.
func (n *node) mounts() []string {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, n.data+"/") {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

// left tells what is still there of a node that has ended: of the processes that
// it had, anything that names its directory, and every cgroup and mount. What a
// dying process holds goes with it, which this waits for.
func (n *node) left(before traces) []string {
	for deadline := time.Now().Add(slow.Patience(time.Minute)); ; time.Sleep(10 * time.Millisecond) {
		left := n.leftNow(before)
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
	}
}

func (n *node) leftNow(before traces) []string {
	left := before.alive()
	for _, g := range n.cgroups() {
		left = append(left, "cgroup "+g)
	}
	for _, m := range n.mounts() {
		left = append(left, "mount "+m)
	}
	return left
}

// alive lists those of the processes that are still there.
func (tr traces) alive() []string {
	var left []string
	for id, args := range tr.processes {
		pid, since, _ := strings.Cut(id, " ")
		p, _ := strconv.Atoi(pid)
		if _, now, ok := stat(p); ok && now == since {
			left = append(left, fmt.Sprintf("process %s: %s", pid, args))
		}
	}
	return left
}
