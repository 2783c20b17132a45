package gvisor

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// sweep removes what an earlier process has left in this driver's directory
// and cgroups. Its caller holds the directory's lock, so nobody adds to it.
func (d *Driver) sweep(ctx context.Context) error {
	if err := d.conf.Cgroups.Sweep(); err != nil {
		return fmt.Errorf("gvisor: %w", err)
	}
	// A starter that had not entered its cgroup yet, and everything, should the
	// cgroups have been removed under it.
	if err := d.killByArgs(ctx); err != nil {
		return fmt.Errorf("gvisor: left processes: %w", err)
	}
	// Again, for what such a starter may have made in the meantime.
	if err := d.conf.Cgroups.Sweep(); err != nil {
		return fmt.Errorf("gvisor: %w", err)
	}
	boxes := filepath.Join(d.conf.Dir, boxesName)
	left, err := os.ReadDir(boxes)
	if err != nil {
		return fmt.Errorf("gvisor: %w", err)
	}
	for _, e := range left {
		if err := os.RemoveAll(filepath.Join(boxes, e.Name())); err != nil {
			return fmt.Errorf("gvisor: left files: %w", err)
		}
	}
	if len(left) > 0 {
		d.conf.Log.Info("removed sandboxes of an earlier process", "driver", d.Name(), "count", len(left))
	}
	return nil
}

// killByArgs kills all processes of this driver's sandboxes, told by their
// arguments: each part of a sandbox names its directory there.
func (d *Driver) killByArgs(ctx context.Context) error {
	for {
		pids, err := findByArgs(filepath.Join(d.conf.Dir, boxesName) + "/")
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
