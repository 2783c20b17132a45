package gvisor

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/remains"
)

var _ sandbox.Sweeper = (*Driver)(nil)

// halt stops what an earlier process has left in this driver's directory and cgroups,
// and has the rest of it removed later (Sweep). Its caller holds the directory's lock,
// so nobody adds to it.
func (d *Driver) halt(ctx context.Context) error {
	groups, memory, err := d.conf.Cgroups.Halt()
	if err != nil {
		return fmt.Errorf("gvisor: %w", err)
	}
	// A starter that had not entered its cgroup yet, and everything where the cgroups
	// have been removed under it, or stop nothing. What such a starter made in a group
	// meanwhile has stopped, too.
	if err := d.killByArgs(ctx); err != nil {
		return fmt.Errorf("gvisor: left processes: %w", err)
	}
	var pieces []remains.Piece
	for _, g := range groups {
		pieces = append(pieces, remains.Piece{Name: g.ID(), Memory: memory / int64(len(groups)),
			Remove: func() error { return d.conf.Cgroups.End(g) }})
	}
	files, err := d.setAside()
	if err != nil {
		return fmt.Errorf("gvisor: left files: %w", err)
	}
	for _, dir := range files {
		pieces = append(pieces, remains.Piece{Name: dir, Remove: func() error { return os.RemoveAll(dir) }})
	}
	d.remains = remains.New(d.conf.Log, pieces)
	return nil
}

// setAside takes the directories of an earlier process's sandboxes out of the way, and
// lists all that are to be removed, also of what was set aside before.
func (d *Driver) setAside() (dirs []string, err error) {
	boxes := filepath.Join(d.conf.Dir, boxesName)
	left, err := os.ReadDir(boxes)
	if err == nil && len(left) > 0 {
		err = os.Rename(boxes, filepath.Join(d.conf.Dir, gonePrefix+rand.Text()))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := os.MkdirAll(boxes, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(d.conf.Dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), gonePrefix) {
			continue
		}
		gone := filepath.Join(d.conf.Dir, e.Name())
		below, err := os.ReadDir(gone)
		if err != nil {
			return nil, err
		}
		for _, b := range below {
			dirs = append(dirs, filepath.Join(gone, b.Name()))
		}
		dirs = append(dirs, gone)
	}
	return dirs, nil
}

// Sweep implements sandbox.Sweeper.
func (d *Driver) Sweep() { d.remains.Begin() }

// Swept implements sandbox.Sweeper.
func (d *Driver) Swept() <-chan struct{} { return d.remains.Gone() }

// Leftovers implements sandbox.Sweeper.
func (d *Driver) Leftovers() sandbox.Leftovers { return d.remains.Left() }

// killByArgs kills all processes of this driver's sandboxes that no cgroup has stopped,
// told by their arguments: each part of a sandbox names its directory there.
func (d *Driver) killByArgs(ctx context.Context) error {
	for {
		pids, err := findByArgs(filepath.Join(d.conf.Dir, boxesName) + "/")
		pids = slices.DeleteFunc(pids, d.conf.Cgroups.Stops)
		if err != nil || len(pids) == 0 {
			return err
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		left, err := openProcesses(pids)
		if err != nil {
			return err
		}
		if err := killAll(left); err != nil {
			return err
		}
	}
}

// findByArgs lists the processes that are a part of a sandbox and whose
// arguments contain dir.
func findByArgs(dir string) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		// Empty for a zombie, which has nothing left to kill.
		args, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err != nil {
			continue // gone
		}
		first, _, _ := bytes.Cut(args, []byte{0})
		switch string(first) {
		case argStarter, argSentry, argGofer:
			if bytes.Contains(args, []byte(dir)) {
				pids = append(pids, pid)
			}
		}
	}
	return pids, nil
}
