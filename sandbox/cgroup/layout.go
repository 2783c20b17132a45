package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A hierarchy is one mounted tree of control groups.
type hierarchy struct {
	mount string // where it is mounted
	root  string // the group that is visible at mount
	path  string // the group of this process, as /proc/self/cgroup tells it
}

// own is the directory of this process's own group. If it is not visible below
// the mount (a container that sees another part of the tree), the topmost
// visible group takes its place.
func (h hierarchy) own() string {
	rel := h.path
	if h.root != "/" {
		var ok bool
		if rel, ok = strings.CutPrefix(h.path, h.root); !ok {
			return h.mount
		}
	}
	if strings.HasPrefix(rel, "/..") { // above the root of this process's cgroup namespace
		return h.mount
	}
	dir := filepath.Join(h.mount, rel)
	if _, err := os.Stat(dir); err != nil {
		return h.mount
	}
	return dir
}

// A layout is every hierarchy that matters here.
type layout struct {
	v1 map[string]hierarchy // by controller
	v2 *hierarchy
}

var wanted = []string{memoryController, cpuController, cpuacctController, pidsController, freezerController}

// readLayout parses the two files of proc(5) that tell where hierarchies are
// mounted and which groups this process is in.
func readLayout(mountinfo, cgroups string) (layout, error) {
	paths, v2path, err := readOwn(cgroups)
	if err != nil {
		return layout{}, err
	}
	f, err := os.Open(mountinfo)
	if err != nil {
		return layout{}, err
	}
	defer f.Close()

	l := layout{v1: map[string]hierarchy{}}
	for s := bufio.NewScanner(f); s.Scan(); {
		// 35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
		before, after, ok := strings.Cut(s.Text(), " - ")
		head, tail := strings.Fields(before), strings.Fields(after)
		if !ok || len(head) < 5 || len(tail) < 3 {
			continue
		}
		h := hierarchy{mount: unescape(head[4]), root: unescape(head[3])}
		switch tail[0] {
		case "cgroup2":
			if l.v2 == nil {
				h.path = v2path
				l.v2 = &h
			}
		case "cgroup":
			for _, option := range strings.Split(tail[2], ",") {
				path, mine := paths[option]
				if _, have := l.v1[option]; mine && !have && slices.Contains(wanted, option) {
					h.path = path
					l.v1[option] = h
				}
			}
		}
	}
	if l.v2 == nil && len(l.v1) == 0 {
		return l, errors.New("no control group hierarchy is mounted")
	}
	return l, nil
}

// readOwn reads the group of this process in each hierarchy.
func readOwn(file string) (v1 map[string]string, v2 string, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, "", fmt.Errorf("this kernel has no control groups: %w", err)
	}
	v1 = map[string]string{}
	for line := range strings.Lines(string(b)) {
		// 4:memory:/a/b for version 1, 0::/a/b for version 2
		part := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(part) != 3 {
			continue
		}
		if part[0] == "0" && part[1] == "" {
			v2 = part[2]
			continue
		}
		for _, controller := range strings.Split(part[1], ",") {
			v1[controller] = part[2]
		}
	}
	return v1, v2, nil
}

// unescape undoes the octal escapes of /proc/self/mountinfo.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
