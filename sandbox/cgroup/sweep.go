package cgroup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Sweep ends every process in a sandbox's group of this node and removes the
// group, except those named in keep. It looks for groups of the node's name in
// the whole tree, because an earlier process of the same node may have run in
// another group.
func (r *Root) Sweep(keep ...string) error {
	parents := r.parents()
	left, err := leftGroups(parents, keep)
	if err != nil {
		return err
	}
	err = each(left, func(g *Group) error {
		r.log.Debug("ending a sandbox that was left behind", "sandbox", g.id)
		return g.end(removeWait)
	})
	current := r.dirs()
	for _, p := range parents {
		if len(keep) == 0 && !slices.Contains(current, p.dir) {
			err = errors.Join(err, removeDir(p.dir, removeWait))
		}
	}
	return err
}

// sweepers is how many groups are being ended at a time: most of that is waiting for
// the kernel.
const sweepers = 16

// each does it to all groups.
func each(groups []*Group, do func(*Group) error) error {
	errs := make([]error, len(groups))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(sweepers, len(groups)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(groups); i = next.Add(1) - 1 {
				errs[i] = do(groups[i])
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// leftGroups collects the directories of each group over all hierarchies.
func leftGroups(parents []parent, keep []string) ([]*Group, error) {
	var groups []*Group
	byID := map[string]*Group{}
	for _, p := range parents {
		entries, err := os.ReadDir(p.dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			if !e.IsDir() || slices.Contains(keep, e.Name()) {
				continue
			}
			g := byID[e.Name()]
			if g == nil || g.holds(p.controller) {
				g = &Group{id: e.Name(), v1: map[string]string{}}
				byID[e.Name()] = g
				groups = append(groups, g)
			}
			g.add(p.controller, filepath.Join(p.dir, e.Name()))
		}
	}
	return groups, nil
}

// add notes the group's directory in a hierarchy; "" is the unified one.
func (g *Group) add(controller, dir string) {
	if controller == "" {
		g.v2 = dir
	} else {
		g.v1[controller] = dir
	}
}

func (g *Group) holds(controller string) bool {
	return controller == "" && g.v2 != "" || g.v1[controller] != ""
}

// end kills what is in the group and in groups below it, and removes all. It waits so
// long for each of them.
func (g *Group) end(wait time.Duration) error {
	err := g.kill(wait)
	for controller, dir := range g.v1 {
		err = errors.Join(err, endBelow(dir, controller, wait))
	}
	if g.v2 != "" {
		err = errors.Join(err, endBelow(g.v2, "", wait))
	}
	return errors.Join(err, g.remove(wait))
}

// endBelow does the same for the groups below one directory; a sandbox that made
// groups of its own has some.
func endBelow(dir, controller string, wait time.Duration) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		g := &Group{id: e.Name(), v1: map[string]string{}}
		g.add(controller, filepath.Join(dir, e.Name()))
		err = errors.Join(err, g.end(wait))
	}
	return err
}

// A parent is one directory that holds groups of sandboxes.
type parent struct {
	dir        string
	controller string // of version 1; "" for the unified hierarchy
}

// parents finds every group of the node's name.
func (r *Root) parents() []parent {
	var out []parent
	find := func(mount, controller string) {
		// Groups come and go while the tree is walked; what cannot be read is
		// not ours.
		_ = filepath.WalkDir(mount, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return fs.SkipDir
			}
			if d.IsDir() && d.Name() == groupPrefix+r.name {
				out = append(out, parent{dir: path, controller: controller})
				return fs.SkipDir
			}
			return nil
		})
	}
	seen := map[string]bool{}
	for _, controller := range wanted {
		h, ok := r.layout.v1[controller]
		if ok && !seen[h.mount] {
			seen[h.mount] = true
			find(h.mount, controller)
		}
	}
	if r.layout.v2 != nil {
		find(r.layout.v2.mount, "")
	}
	return out
}
