package namespace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

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
