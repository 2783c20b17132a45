package gvisor

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

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
	handles, err := openPids(pids)
	if err != nil {
		return err
	}
	defer closeAll(handles)
	if err := b.group.Kill(); err != nil {
		return err
	}
	for _, h := range handles {
		_ = unix.PidfdSendSignal(h, unix.SIGKILL, nil, 0)
		if err := waitGone(h); err != nil {
			return err
		}
	}
	return reapZombies(b.id)
}

// openPids gets a pidfd of each process that is still there.
func openPids(pids []int) ([]int, error) {
	var handles []int
	for _, pid := range pids {
		h, err := unix.PidfdOpen(pid, 0)
		if err == unix.ESRCH || err == unix.EINVAL { // gone, or a thread
			continue
		}
		if err != nil {
			closeAll(handles)
			return nil, fmt.Errorf("pidfd of %d: %w", pid, err)
		}
		handles = append(handles, h)
	}
	return handles, nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

// waitGone waits until a killed process has ended, and reaps it if it is a
// child of this process.
func waitGone(pidfd int) error {
	deadline := time.Now().Add(killTimeout)
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return fmt.Errorf("a process is left after %v", killTimeout)
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("waiting for a process: %w", err)
		}
		if n > 0 {
			break
		}
	}
	for {
		// ECHILD: not ours to wait for.
		err := unix.Waitid(unix.P_PIDFD, pidfd, nil, unix.WEXITED|unix.WNOHANG, nil)
		if err != unix.EINTR {
			return nil
		}
	}
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
