package gvisor

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/sandbox/cgroup"
)

// killStrays ends the processes of a sandbox whose creation did not come to its
// end, so that nobody has told which they are. Those that were started by the
// starter are children of this process by now, if the starter is dead, which
// the caller sees to; they must be waited for.
func (b *box) killStrays() error {
	// Frozen, nobody in the group starts another process or ends while the
	// list is read. A failure to freeze costs this certainty, nothing else.
	_ = b.group.Freeze()
	pids, err := b.group.Pids()
	if err != nil {
		return err
	}
	if b.driver.conf.Cgroups.Mode() == cgroup.None {
		if pids, err = findByArgs(string(b.dir)); err != nil {
			return err
		}
	}
	left, err := openProcesses(pids)
	if err != nil {
		return err
	}
	if err := errors.Join(b.group.Kill(), killAll(left)); err != nil {
		return err
	}
	return reapZombies(b.id)
}

// openProcesses opens those of the processes that are still there.
func openProcesses(pids []int) ([]*process, error) {
	var open []*process
	for _, pid := range pids {
		p, err := openProcess(pid)
		if err != nil {
			return nil, errors.Join(err, closeAll(open))
		}
		if p != nil {
			open = append(open, p)
		}
	}
	return open, nil
}

func closeAll(all []*process) error {
	var errs []error
	for _, p := range all {
		errs = append(errs, p.pidfd.Close())
	}
	return errors.Join(errs...)
}

// killAll kills processes, waits for their end, and closes them.
func killAll(all []*process) error {
	var errs []error
	for _, p := range all {
		errs = append(errs, p.kill())
	}
	for _, p := range all {
		errs = append(errs, p.wait(killTimeout))
		_ = p.pidfd.Close() // if it is still there, it is looked for anew
	}
	return errors.Join(errs...)
}

// reapZombies waits for children of this process that died in the cgroup of
// the sandbox before anybody knew them. They are told by the cgroup's path,
// which a zombie keeps in the version 2 hierarchy; on a host without one,
// such a child stays a zombie until this process ends.
func reapZombies(id string) error {
	children, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		return err
	}
	for _, path := range children {
		list, err := os.ReadFile(path)
		if err != nil {
			continue // the thread is gone
		}
		for _, word := range bytes.Fields(list) {
			pid, err := strconv.Atoi(string(word))
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
			if err != nil || !bytes.Contains(groups, []byte("/"+id)) {
				continue
			}
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
		}
	}
	return nil
}
