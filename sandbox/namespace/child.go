package namespace

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/internal/timerslack"
)

// A child is a process whose parent is the node. Until the node has collected it
// its number is nobody else's, so that, unlike os.Process, it needs no descriptor.
type child struct {
	Pid int

	mu        sync.Mutex
	collected bool // guarded by mu; the number may be another's
}

// slack is what a launcher has for its timers, which are those of Go's runtime
// alone. It takes the usual one again for the program.
const slack = time.Millisecond

// startChild starts a program in what attr says; files are its descriptors.
func startChild(path string, args, env []string, files []*os.File, attr *syscall.SysProcAttr) (*child, error) {
	fds := make([]uintptr, len(files))
	for i, f := range files {
		fds[i] = f.Fd()
	}
	pid := 0
	err := timerslack.Lend(slack, func() (err error) {
		pid, _, err = syscall.StartProcess(path, args, &syscall.ProcAttr{Dir: "/", Env: env, Files: fds, Sys: attr})
		return err
	})
	runtime.KeepAlive(files)
	if err != nil {
		return nil, &os.PathError{Op: "fork/exec", Path: path, Err: err}
	}
	return &child{Pid: pid}, nil
}

// Kill ends the process; one that has ended stays as it is.
func (c *child) Kill() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.collected {
		return nil
	}
	return syscall.Kill(c.Pid, syscall.SIGKILL)
}

// Wait waits until the process has ended, keeping a thread, and collects it. It is
// called once.
func (c *child) Wait() (syscall.WaitStatus, error) {
	var status syscall.WaitStatus
	// Without collecting it: for as long as this takes, the number can be used.
	err := eintr(func() error { return unix.Waitid(unix.P_PID, c.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil) })
	if err != nil {
		return status, os.NewSyscallError("waitid", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	err = eintr(func() error {
		_, err := syscall.Wait4(c.Pid, &status, 0, nil)
		return err
	})
	c.collected = err == nil
	return status, os.NewSyscallError("wait4", err)
}

// withHandle calls f with a descriptor of the process, which is closed afterwards.
func (c *child) withHandle(f func(pidfd int) error) error {
	pidfd, err := c.open(0)
	if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	return f(pidfd)
}

// open gives a descriptor of the process.
func (c *child) open(flags int) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.collected {
		return -1, os.ErrProcessDone
	}
	pidfd, err := unix.PidfdOpen(c.Pid, flags)
	return pidfd, os.NewSyscallError("pidfd_open", err)
}

// end kills the process and waits for it.
func (c *child) end() error {
	if err := c.Kill(); err != nil {
		return err
	}
	_, err := c.Wait()
	return err
}

// awaitEnd waits until the process has ended, without a thread for it. Where that
// cannot be it returns at once, and who waits then keeps a thread.
func (c *child) awaitEnd() {
	fd, err := c.open(unix.PIDFD_NONBLOCK)
	if err != nil {
		return
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	defer f.Close()
	conn, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Read(func(fd uintptr) bool {
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return ready != 0 || err != nil && !errors.Is(err, unix.EINTR)
	})
}

func eintr(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
