package namespace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/sandbox"
)

// processes lists the living processes in the sandbox's pid namespace, for where
// no cgroup lists them. The first process is not among them.
func (b *box) processes() ([]int, error) {
	namespace, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", b.proc.Pid))
	if err != nil {
		return nil, nil // it has ended
	}
	var pids []int
	err = eachProcess(func(pid int) {
		ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid))
		if err == nil && ns == namespace && pid != b.proc.Pid {
			pids = append(pids, pid)
		}
	})
	return pids, err
}

func eachProcess(f func(pid int)) error {
	dir, err := os.Open("/proc")
	if err != nil {
		return err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			f(pid)
		}
	}
	return nil
}

// stop stops each process by a signal, until none is found that was not there
// before: a process that is stopped makes no other.
func (b *box) stop() error {
	var stopped []int
	for {
		pids, err := b.processes()
		if err != nil {
			return err
		}
		found := false
		for _, pid := range pids {
			if slices.Contains(stopped, pid) {
				continue
			}
			found = true
			stopped = append(stopped, pid)
			if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil && err != syscall.ESRCH {
				return err
			}
		}
		if !found {
			return eventually(context.Background(), endWait, func() (bool, error) {
				for _, pid := range stopped {
					if state := fieldsOf(pid); len(state) > 0 && !strings.Contains("TtZX", state[0]) {
						return false, nil
					}
				}
				return true, nil
			})
		}
	}
}

// resume is the opposite of stop.
func (b *box) resume() error {
	pids, err := b.processes()
	for _, pid := range pids {
		if kerr := syscall.Kill(pid, syscall.SIGCONT); kerr != nil && kerr != syscall.ESRCH {
			err = errors.Join(err, kerr)
		}
	}
	return err
}

// fieldsOf is /proc/PID/stat from the third field, the state, on.
func fieldsOf(pid int) []string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
}

// usageOfEach adds up what /proc tells of the processes that there are now.
func (b *box) usageOfEach() (sandbox.Usage, error) {
	const ticksPerSecond = 100 // USER_HZ, on every architecture
	var u sandbox.Usage
	pids, err := b.processes()
	if err != nil {
		return u, err
	}
	for _, pid := range pids {
		if f := fieldsOf(pid); len(f) > 12 {
			for _, ticks := range f[11:13] { // user and system time
				n, _ := strconv.ParseInt(ticks, 10, 64) // the kernel writes numbers
				u.CPU += n * (1e9 / ticksPerSecond)
			}
		}
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if f := strings.Fields(string(raw)); err == nil && len(f) > 2 {
			resident, _ := strconv.ParseInt(f[1], 10, 64)
			shared, _ := strconv.ParseInt(f[2], 10, 64)
			u.Memory += (resident - shared) * int64(os.Getpagesize())
		}
	}
	return u, nil
}

// sweep ends what an earlier node with the same directory has left, and removes
// what it left in the directory. The caller has the directory's lock.
func (d *Driver) sweep(ctx context.Context) error {
	if err := d.conf.Cgroups.Sweep(); err != nil {
		return err
	}
	if err := d.sweepProcesses(ctx); err != nil {
		return err
	}
	entries, err := os.ReadDir(d.conf.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		// What has nothing of anybody's in it stays: a full disk has no room to make it again.
		if name := e.Name(); name != lockName && name != emptyName && name != probeName {
			err = errors.Join(err, os.RemoveAll(filepath.Join(d.conf.Dir, e.Name())))
		}
	}
	return err
}

// sweepProcesses ends the sandboxes whose first process has this driver's marker
// in its arguments. With cgroups there are none left by now, but for a launcher
// that had not entered its groups yet.
func (d *Driver) sweepProcesses(ctx context.Context) error {
	var left []int
	err := eachProcess(func(pid int) {
		if d.marked(pid) {
			left = append(left, pid)
		}
	})
	for _, pid := range left {
		err = errors.Join(err, d.endMarked(ctx, pid))
	}
	return err
}

// marked tells whether a process is a launcher or a reaper of this driver.
func (d *Driver) marked(pid int) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && pid != os.Getpid() && slices.Contains(strings.Split(string(line), "\x00"), d.marker)
}

func (d *Driver) endMarked(ctx context.Context, pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil // it has ended
	}
	defer unix.Close(fd)
	if !d.marked(pid) { // the number is another's by now
		return nil
	}
	d.conf.Log.Info("ending a sandbox that was left behind", "process", pid)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("process %d: %w", pid, err)
	}
	return eventually(ctx, endWait, func() (bool, error) {
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		if errors.Is(err, unix.EINTR) {
			err = nil
		}
		return ready == 1, err
	})
}
