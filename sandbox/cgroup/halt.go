package cgroup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// halted are the groups that earlier processes of the node left and that End has not
// removed yet, by their names.
type halted struct {
	mu    sync.Mutex
	left  map[string]int
	where []parent
}

// Halt finds the groups that earlier processes of the same node left and stops what
// is in them: when it returns, each is frozen, and nothing in it gets further than to
// its next way out of the kernel. Where no group can be frozen, everything in it has
// been killed. No group is removed: that is End's. What is made from now on has names
// of its own and is not touched.
//
// memory is what all of them hold together, in bytes, without the file cache; zero
// where the machine does not tell.
func (r *Root) Halt() (left []*Group, memory int64, err error) {
	parents := r.parents()
	if left, err = leftGroups(parents, nil); err != nil {
		return nil, 0, err
	}
	r.halted.mu.Lock()
	r.halted.where = parents
	r.halted.left = map[string]int{}
	for _, g := range left {
		r.halted.left[g.id]++
	}
	r.halted.mu.Unlock()
	var running []*Group
	for _, g := range left {
		if g.startFreeze() != nil { // it has no freezer, or is gone meanwhile
			running = append(running, g)
		}
	}
	err = each(running, (*Group).Kill)
	if len(left) > 0 {
		memory = memoryBelow(parents)
	}
	return left, memory, err
}

// memoryBelow is what the groups below the parents hold, without the file cache.
func memoryBelow(parents []parent) (sum int64) {
	for _, p := range parents {
		g := &Group{v1: map[string]string{}}
		switch p.controller {
		case memoryController:
			g.add(p.controller, p.dir)
		case "":
			if _, err := os.Stat(filepath.Join(p.dir, "memory.current")); err != nil {
				continue
			}
			g.v2, g.has = p.dir, map[string]bool{memoryController: true}
		default:
			continue
		}
		if n, err := g.memory(); err == nil { // it may be gone
			sum += n
		}
	}
	return sum
}

// endPatience is how long End waits for processes that are on their way out: it can be
// called again.
const endPatience = 2 * time.Second

// End kills what is in a group of Halt's and in those below it, and removes all. It
// may be called again after an error.
func (r *Root) End(g *Group) error {
	r.log.Debug("ending a sandbox that was left behind", "sandbox", g.id)
	if err := g.end(endPatience); err != nil {
		return err
	}
	r.halted.mu.Lock()
	defer r.halted.mu.Unlock()
	if r.halted.left[g.id]--; r.halted.left[g.id] <= 0 {
		delete(r.halted.left, g.id)
	}
	if len(r.halted.left) > 0 {
		return nil
	}
	// Where this process has its group is that of its own sandboxes, too.
	var err error
	current := r.dirs()
	for _, p := range r.halted.where {
		if !slices.Contains(current, p.dir) {
			err = errors.Join(err, removeDir(p.dir, endPatience))
		}
	}
	return err
}

// kept are the groups that Halt found and End has not removed.
func (r *Root) kept() []string {
	r.halted.mu.Lock()
	defer r.halted.mu.Unlock()
	var ids []string
	for id := range r.halted.left {
		ids = append(ids, id)
	}
	return ids
}

// Stops tells whether a process is in a sandbox's group of this node's name, in the
// hierarchy whose groups are frozen, so that Halt has stopped it. It is false where
// there is none.
func (r *Root) Stops(pid int) bool {
	if r.v2 == "" && r.v1[freezerController] == "" {
		return false
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) // it has ended
	}
	for line := range strings.Lines(string(b)) {
		part := strings.SplitN(line, ":", 3)
		if len(part) != 3 || !strings.Contains(part[2], "/"+groupPrefix+r.name+"/") {
			continue
		}
		if r.v2 != "" && part[1] == "" || r.v2 == "" && slices.Contains(strings.Split(part[1], ","), freezerController) {
			return true
		}
	}
	return false
}
