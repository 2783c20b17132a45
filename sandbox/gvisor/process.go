package gvisor

import (
	"errors"
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
	// how it ended, if wait has reaped it.
	how unix.WaitStatus
}

// openProcess returns nil if there is no such process.
func openProcess(pid int) (*process, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	switch err {
	case nil:
		return &process{pidfd: os.NewFile(uintptr(fd), fmt.Sprintf("process %d", pid)), pid: pid}, nil
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
// one, and closes p. With a limit above zero it waits no longer than that; p may be
// waited for again if it answers os.ErrDeadlineExceeded.
func (p *process) wait(limit time.Duration) (err error) {
	if p == nil {
		return nil
	}
	defer func() {
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			p.pidfd.Close()
		}
	}()
	var until time.Time
	if limit > 0 {
		until = time.Now().Add(limit)
	}
	if err := p.pidfd.SetReadDeadline(until); err != nil {
		return err
	}
	raw, err := p.pidfd.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Read(func(fd uintptr) bool {
		for {
			err := unix.Waitid(unix.P_PIDFD, int(fd), nil, unix.WEXITED|unix.WNOWAIT, nil)
			switch err {
			case unix.EINTR:
				continue
			case unix.EAGAIN: // it runs; the poller says when it has ended
				return false
			case unix.ECHILD: // not ours to reap: all there is to know is whether it runs
				return readable(int(fd))
			}
			// It is ours and has ended, so its number is still its own.
			for {
				if _, err := unix.Wait4(p.pid, &p.how, 0, nil); err != unix.EINTR {
					break
				}
			}
			return true
		}
	})
}

// ended is how the process ended; zero if wait has not reaped it.
func (p *process) ended() unix.WaitStatus {
	if p == nil {
		return 0
	}
	return p.how
}

// readable tells whether the process behind a pidfd has ended.
func readable(fd int) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	return err == nil && n > 0
}
