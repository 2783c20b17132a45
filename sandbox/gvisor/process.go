package gvisor

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// process is a process that can be waited for without a thread of the node's
// and signalled without hitting another one that got its number. A child of
// this process is reaped by wait. A nil process is one that is gone.
type process struct {
	pidfd *os.File
	pid   int // for looking only: it may be another's once it is reaped
}

// openProcess returns nil if there is no such process.
func openProcess(pid int) (*process, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	switch err {
	case nil:
		return &process{os.NewFile(uintptr(fd), fmt.Sprintf("process %d", pid)), pid}, nil
	case unix.ESRCH, unix.EINVAL: // gone, or only a thread
		return nil, nil
	}
	return nil, fmt.Errorf("pidfd of process %d: %w", pid, err)
}

// kill sends SIGKILL. A process that has ended is what is wanted.
func (p *process) kill() error {
	if p == nil {
		return nil
	}
	raw, err := p.pidfd.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	if err := raw.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), unix.SIGKILL, nil, 0) }); err != nil {
		return err
	}
	if sent == unix.ESRCH {
		return nil
	}
	return sent
}

// wait waits until the process has ended, reaps it if it is a child of this
// one, and closes p. With a limit above zero it waits no longer than that.
func (p *process) wait(limit time.Duration) error {
	if p == nil {
		return nil
	}
	defer p.pidfd.Close()
	if limit > 0 {
		if err := p.pidfd.SetReadDeadline(time.Now().Add(limit)); err != nil {
			return err
		}
	}
	raw, err := p.pidfd.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Read(func(fd uintptr) bool {
		for {
			err := unix.Waitid(unix.P_PIDFD, int(fd), nil, unix.WEXITED, nil)
			switch err {
			case unix.EINTR:
				continue
			case unix.EAGAIN: // it runs; the poller says when it has ended
				return false
			case unix.ECHILD: // not ours to reap: all there is to know is whether it runs
				return readable(int(fd))
			}
			return true
		}
	})
}

// readable tells whether the process behind a pidfd has ended.
func readable(fd int) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	return err == nil && n > 0
}
