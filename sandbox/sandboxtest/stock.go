package sandboxtest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/alcove-run/alcove/internal/slow"
)

// stock is what this process holds at one time.
type stock struct {
	fds        map[string]int // what descriptors lead to, and how many
	children   []int
	goroutines int
	mounts     []string
	cgroups    []string
	files      [sha256.Size]byte // what sandboxes may only read
	suite      *suite
}

func takeStock(s *suite) stock {
	runtime.GC() // closes what is held by nobody
	return stock{fds: descriptors(), children: children(), goroutines: runtime.NumGoroutine(), mounts: mountPoints(), cgroups: cgroupDirs(), files: s.readOnlyFiles(), suite: s}
}

func descriptors() map[string]int {
	out := make(map[string]int)
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil {
			continue // the descriptor that reads the directory
		}
		if kind, _, ok := strings.Cut(target, ":["); ok {
			target = kind
		}
		out[target]++
	}
	return out
}

func children() []int {
	var out []int
	tasks, _ := filepath.Glob("/proc/self/task/*/children")
	for _, name := range tasks {
		raw, _ := os.ReadFile(name)
		for f := range strings.FieldsSeq(string(raw)) {
			if pid, err := strconv.Atoi(f); err == nil {
				out = append(out, pid)
			}
		}
	}
	slices.Sort(out)
	return out
}

func mountPoints() []string {
	raw, _ := os.ReadFile("/proc/self/mountinfo")
	var out []string
	for line := range strings.Lines(string(raw)) {
		if f := strings.Fields(line); len(f) > 4 {
			out = append(out, f[4])
		}
	}
	return out
}

// since lists what has been added and does not go by itself.
func (was stock) since() []string {
	var left []string
	eventually(slow.Patience(2*time.Second), func() bool {
		left = left[:0]
		now := takeStock(was.suite)
		for _, target := range slices.Sorted(maps.Keys(now.fds)) {
			if n := now.fds[target] - was.fds[target]; n > 0 {
				left = append(left, fmt.Sprintf("%d open descriptor(s) of %s", n, target))
			}
		}
		for _, pid := range now.children {
			if !slices.Contains(was.children, pid) {
				raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
				left = append(left, fmt.Sprintf("child process %.40q", raw)) // number, name, state
			}
		}
		if now.goroutines > was.goroutines {
			left = append(left, fmt.Sprintf("%d goroutines more than before", now.goroutines-was.goroutines))
		}
		for _, m := range now.mounts {
			if !slices.Contains(was.mounts, m) && strings.HasPrefix(m, was.suite.work) {
				left = append(left, "mount "+m)
			}
		}
		for _, c := range was.suite.cgroupParents() {
			if slices.Contains(now.cgroups, c) && !slices.Contains(was.cgroups, c) {
				left = append(left, "cgroup "+c)
			}
		}
		if now.files != was.files {
			left = append(left, "changes in the root tree, the code or the layers")
		}
		return len(left) == 0
	})
	return left
}

// readOnlyFiles is a digest of the states of all files that sandboxes are
// given to read.
func (s *suite) readOnlyFiles() [sha256.Size]byte {
	h := sha256.New()
	for _, top := range []string{s.root, s.code} {
		_ = filepath.WalkDir(top, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if st, err := d.Info(); err == nil {
				fmt.Fprintln(h, name, st.Mode(), st.Size(), st.ModTime().UnixNano())
			}
			return nil
		})
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// cgroupParents are the cgroups in which the driver made those of sandboxes.
func (s *suite) cgroupParents() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.parents)
}

// seeCgroups remembers the parents of a running sandbox's cgroups.
func (s *suite) seeCgroups(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.parents) > 0 {
		return // they are the same for all
	}
	for _, c := range cgroupsOf(id) {
		s.parents = append(s.parents, filepath.Dir(c))
	}
}

func cgroupDirs() []string {
	var out []string
	_ = filepath.WalkDir("/sys/fs/cgroup", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			out = append(out, name)
		}
		return nil // what is gone meanwhile does not matter
	})
	return out
}

// leftovers lists what of a sandbox can still be found on this machine:
// processes, mounts, cgroups, files. Dying processes get a moment; all else
// must be gone at once.
func (s *suite) leftovers(id string) []string {
	var left []string
	add := func(format string, args ...any) { left = append(left, fmt.Sprintf(format, args...)) }
	if len(id) < 16 {
		return nil // a name that a driver must refuse: nothing could be told by it
	}
	eventually(slow.Patience(2*time.Second), func() bool { return len(zombies(hostProcesses(id))) == 0 })
	for _, pid := range hostProcesses(id) {
		raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		add("process %d %.200q", pid, raw)
	}
	for _, m := range mountPoints() {
		if strings.Contains(m, id) {
			add("mount %s", m)
		}
	}
	for _, c := range cgroupsOf(id) {
		add("cgroup %s", c)
	}
	for _, top := range []string{s.dir, "/tmp", "/run", "/var/tmp", "/dev/shm"} {
		for _, name := range named(top, id, top == s.dir) {
			add("file %s", name)
		}
	}
	return left
}

// hostProcesses are the processes that belong to a sandbox: its id is in their
// arguments, their environment, or the name of their cgroup.
func hostProcesses(id string) []int {
	var out []int
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		for _, file := range []string{"cgroup", "cmdline", "environ"} {
			raw, err := os.ReadFile(filepath.Join("/proc", e.Name(), file))
			if err == nil && bytes.Contains(raw, []byte(id)) {
				out = append(out, pid)
				break
			}
		}
	}
	return out
}

// reap waits for processes of a sandbox that have ended and have become children
// of this process, as those of a killed node do (see collectOrphans). What is
// about to end is given a moment; what runs on is left to be found.
func reap(id string) {
	eventually(slow.Patience(2*time.Second), func() bool {
		left := hostProcesses(id)
		for _, pid := range zombies(left) {
			_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
		}
		return len(left) == 0
	})
}

// zombies are those of the processes that have ended and wait to be waited
// for.
func zombies(pids []int) []int {
	var out []int
	for _, pid := range pids {
		raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if i := bytes.LastIndexByte(raw, ')'); i >= 0 && i+2 < len(raw) && (raw[i+2] == 'Z' || raw[i+2] == 'X') {
			out = append(out, pid)
		}
	}
	return out
}

// cgroupsOf are the cgroup directories with id in their names.
func cgroupsOf(id string) []string {
	return named("/sys/fs/cgroup", id, true)
}

// named lists what below top has id in its name; what is in such a directory
// is not looked at.
func named(top, id string, deep bool) []string {
	var out []string
	_ = filepath.WalkDir(top, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // gone meanwhile
		}
		if strings.Contains(d.Name(), id) {
			out = append(out, name)
			if d.IsDir() {
				return filepath.SkipDir
			}
		}
		if d.IsDir() && name != top && !deep {
			return filepath.SkipDir
		}
		return nil
	})
	return out
}
