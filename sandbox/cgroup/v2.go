package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// leafName is the group into which a node moves itself on version 2: a group
// whose children have controllers may not hold processes.
const leafName = "alcove.node"

// openV2 makes the node's group in the unified hierarchy and gives the groups
// below it as many of the wanted controllers as this machine allows.
func (r *Root) openV2() error {
	h := *r.layout.v2
	own := h.own()
	if filepath.Base(own) == leafName {
		own = filepath.Dir(own) // an earlier node, our parent, made room already
	}
	var want []string
	for _, c := range []string{memoryController, cpuController, pidsController} {
		if r.layout.v1[c].mount == "" {
			want = append(want, "+"+c)
		}
	}
	// Where all of them can be had is best, somewhere else as many as can; a
	// group without any still freezes and kills.
	var refused error
	for _, all := range []bool{true, false} {
		refused = nil
		for _, base := range []string{own, h.mount} {
			err := enable(h.mount, base, want)
			if err == nil || !all {
				err = errors.Join(err, r.makeV2(base, want, err))
			}
			if r.v2 != "" {
				return nil
			}
			refused = errors.Join(refused, err)
		}
	}
	return refused
}

// makeV2 makes the node's group below base. Of the wanted controllers it gives the
// groups below that those that base has; unable is why base has not all.
func (r *Root) makeV2(base string, want []string, unable error) error {
	dir := filepath.Join(base, groupPrefix+r.name)
	if err := makeWritable(dir); err != nil {
		return err
	}
	for _, c := range want {
		if err := write(dir, "cgroup.subtree_control", c); err != nil {
			if unable != nil {
				err = unable
			}
			r.problems[c[1:]] = err.Error()
			continue
		}
		r.v2has[c[1:]] = true
	}
	r.v2 = dir
	return nil
}

// enable gives the children of base the wanted controllers, making the way free
// from the top of the visible tree where that is permitted.
func enable(mount, base string, want []string) error {
	rel, err := filepath.Rel(mount, base)
	if err != nil {
		return err
	}
	dir := mount
	for _, part := range append([]string{""}, strings.Split(rel, "/")...) {
		if part == "." {
			continue
		}
		dir = filepath.Join(dir, part)
		if err := enableOne(dir, want, dir == base); err != nil && dir == base {
			return fmt.Errorf("controllers below %s: %w", dir, err)
		}
	}
	return nil
}

// enableOne writes cgroup.subtree_control of one group. If the group holds
// processes (EBUSY) and it is ours to rearrange, they move to a leaf.
func enableOne(dir string, want []string, ours bool) error {
	have, err := read(dir, "cgroup.subtree_control")
	if err != nil {
		return err
	}
	var missing []string
	for _, c := range want {
		if !slices.Contains(strings.Fields(have), c[1:]) {
			missing = append(missing, c)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if ours && occupied(dir) {
		if err := moveToLeaf(dir); err != nil {
			return err
		}
	}
	for _, c := range missing {
		err = errors.Join(err, write(dir, "cgroup.subtree_control", c))
	}
	return err
}

// occupied tells whether a group that may not hold processes does. The root of
// the whole tree, which alone has no cgroup.type, may.
func occupied(dir string) bool {
	if _, err := os.Stat(filepath.Join(dir, "cgroup.type")); err != nil {
		return false
	}
	procs, err := read(dir, "cgroup.procs")
	return err == nil && procs != ""
}

// moveToLeaf moves this process out of its group, together with the others that
// are there if the group is the top of a container. It refuses to move strangers,
// such as the shell that started the node in a login session.
func moveToLeaf(dir string) error {
	procs, err := read(dir, "cgroup.procs")
	if err != nil {
		return err
	}
	_, err = os.Stat(filepath.Join(filepath.Dir(dir), "cgroup.procs"))
	top := err != nil
	pids := strings.Fields(procs)
	self := strconv.Itoa(os.Getpid())
	if !top && (len(pids) != 1 || pids[0] != self) {
		return fmt.Errorf("%s holds other processes than the node", dir)
	}
	leaf := filepath.Join(dir, leafName)
	if err := makeWritable(leaf); err != nil {
		return err
	}
	for _, pid := range pids {
		if err := write(leaf, "cgroup.procs", pid); err != nil && pid == self {
			return err
		}
	}
	return nil
}
