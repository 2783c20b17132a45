package namespace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/cgroup"
	"github.com/alcove-run/alcove/sandbox/namespace/launch"
)

// box is one sandbox.
type box struct {
	driver *Driver
	spec   sandbox.Spec

	// Set while it is made, and not changed afterwards.
	user    uint32 // on the host, or zero
	group   *cgroup.Group
	tmp     *scratch
	conn    *net.UnixConn // to the launcher, then to the reaper of a program that is its child
	proc    *child        // the first process
	tcp     net.Listener
	link    *os.File // until somebody has taken it; for good where keepLinks says so
	watched bool
	trace   Trace

	// Of a sandbox that is forked from a template; main is the program then, and
	// proc what was to become its first process and only waits.
	template   *template // while it is needed
	main       *child
	sync       *net.UnixConn
	unforked   string // why it was not forked although it could be
	forkFailed error  // until it is told

	done chan struct{}
	exit sandbox.Exit // once done is closed

	mu        sync.Mutex // held while it is made, destroyed, frozen or looked at
	destroyed bool
	frozen    bool          // some of it may be
	last      sandbox.Usage // the last that was seen before it was destroyed
}

var _ sandbox.Linked = (*box)(nil)

func newBox(d *Driver, spec sandbox.Spec) *box {
	return &box{driver: d, spec: spec, done: make(chan struct{})}
}

// errDestroyed is what a destroyed sandbox answers.
var errDestroyed = errors.New("namespace: the sandbox is destroyed")

// ID implements sandbox.Sandbox.
func (b *box) ID() string { return b.spec.ID }

// Done implements sandbox.Sandbox. It is closed when every process of the
// sandbox has ended.
func (b *box) Done() <-chan struct{} { return b.done }

// Exit implements sandbox.Sandbox.
func (b *box) Exit() sandbox.Exit { return b.exit }

// TCPListener is bound to sandbox.RuntimeAPIAddr inside the sandbox, or nil if
// Spec.TCP is false.
func (b *box) TCPListener() net.Listener { return b.tcp }

// Link implements sandbox.Linked.
func (b *box) Link() *os.File {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.destroyed || !b.spec.Link {
		return nil
	}
	f, err := b.openLink()
	if err != nil {
		b.driver.conf.Log.Error("a sandbox's link cannot be had again", "sandbox", b.spec.ID, "error", err)
		return nil
	}
	return f
}

// openLink is Link. The first process holds the link, so that it can be had again.
func (b *box) openLink() (*os.File, error) {
	if f := b.link; f != nil {
		if b.driver.keepLinks {
			return duplicate(f)
		}
		b.link = nil
		return f, nil
	}
	fd := -1
	err := b.proc.withHandle(func(pidfd int) (err error) {
		fd, err = unix.PidfdGetfd(pidfd, launch.LinkFD, 0)
		return os.NewSyscallError("pidfd_getfd", err)
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "link"), nil
}

func duplicate(f *os.File) (*os.File, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd, derr := -1, error(nil)
	err = raw.Control(func(n uintptr) { fd, derr = unix.FcntlInt(n, unix.F_DUPFD_CLOEXEC, 0) })
	if err = errors.Join(err, derr); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// watch waits for the end. The goroutine waits for the socket, and so keeps no
// thread; the process is waited for when it is about to end.
func (b *box) watch() {
	if b.main != nil {
		b.watchMain()
		return
	}
	var status syscall.WaitStatus
	told := false
	buf := make([]byte, 64)
	for {
		n, err := b.conn.Read(buf)
		if n == 4 {
			status, told = syscall.WaitStatus(binary.NativeEndian.Uint32(buf)), true
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			// A context that Create had was cancelled as it returned.
			b.conn.SetDeadline(time.Time{})
			continue
		}
		if err != nil || n == 0 {
			break
		}
	}
	own, err := b.proc.Wait()
	if !told {
		status = own
	}
	b.end(status, err)
}

// end says how the sandbox ended.
func (b *box) end(status syscall.WaitStatus, err error) {
	switch {
	case err != nil:
		b.exit.Err = fmt.Errorf("namespace: %w", err)
	case status.Signaled():
		b.exit.Signal = status.Signal()
	default:
		b.exit.Code = status.ExitStatus()
	}
	if b.exit.Signal == syscall.SIGKILL && b.group != nil {
		n, oerr := b.group.OOMKills()
		if oerr == nil {
			b.exit.OOM = n > 0
		}
	}
	close(b.done)
}

// OutOfMemory tells whether the host has ended a process of the sandbox because it
// had no memory left.
func (b *box) OutOfMemory() bool {
	if b.group == nil {
		return false
	}
	n, err := b.group.OOMKills()
	return err == nil && n > 0
}

// Freeze implements sandbox.Sandbox.
func (b *box) Freeze() error {
	return b.stopOrGo(true, (*cgroup.Group).StopRunning, b.stop)
}

// Thaw implements sandbox.Sandbox.
func (b *box) Thaw() error {
	return b.stopOrGo(false, (*cgroup.Group).Thaw, b.resume)
}

// Weigh implements sandbox.Weigher.
func (b *box) Weigh(parts int) error { return b.group.Weigh(parts) }

// stopOrGo does it to the cgroup, or, where that cannot be, to each process.
func (b *box) stopOrGo(frozen bool, group func(*cgroup.Group) error, each func() error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.destroyed {
		return errDestroyed
	}
	b.frozen = b.frozen || frozen // also if it fails half way
	err := group(b.group)
	if errors.Is(err, cgroup.ErrNoFreezer) {
		err = each()
	}
	if err == nil {
		b.frozen = frozen
	}
	return err
}

// Usage implements sandbox.Sandbox. Of a destroyed sandbox it is the last that
// was known.
func (b *box) Usage() (sandbox.Usage, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.destroyed {
		return b.last, nil
	}
	if b.driver.conf.Cgroups.Mode() == cgroup.None {
		return b.usageOfEach()
	}
	return b.group.Usage()
}

// MemoryPeak is the part of Usage that every report has.
func (b *box) MemoryPeak() (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.destroyed || b.driver.conf.Cgroups.Mode() == cgroup.None {
		return 0, nil // Usage knows
	}
	return b.group.MemoryPeak()
}

// Destroy implements sandbox.Sandbox.
func (b *box) Destroy() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.destroyed {
		return nil
	}
	if b.group != nil && b.proc != nil {
		if u, err := b.group.Usage(); err == nil {
			b.last = u
		}
	}
	if err := b.kill(); err != nil {
		return fmt.Errorf("namespace: end %s: %w", b.spec.ID, err)
	}
	if err := b.remove(); err != nil {
		return fmt.Errorf("namespace: remove %s: %w", b.spec.ID, err)
	}
	b.destroyed = true
	b.driver.forget(b)
	return nil
}

// kill ends every process and waits for that.
func (b *box) kill() error {
	if b.proc == nil {
		return nil
	}
	// The first process takes the others with it, and its end is the last of
	// theirs. Only the group ends processes that are frozen; to ask it who is still
	// there costs more than all the rest.
	if b.watched && b.tmp != nil {
		b.tmp.hold(b)
	}
	err := b.proc.Kill()
	if b.group != nil && (b.frozen || !b.watched) {
		err = errors.Join(err, b.group.Kill())
	}
	if err != nil {
		return err
	}
	if !b.watched { // Create failed: nobody waits for it yet
		b.watched = true
		b.conn.Close()
		if err := b.endMain(); err != nil {
			return err
		}
		status, err := b.proc.Wait()
		b.end(status, err)
		return nil
	}
	late := time.NewTimer(endWait)
	defer late.Stop()
	select {
	case <-b.done:
		return nil
	case <-late.C:
		return fmt.Errorf("not within %v", endWait)
	}
}

// remove takes away what is left of a sandbox without processes. Each part is
// removed once.
func (b *box) remove() error {
	var errs []error
	if b.conn != nil {
		b.conn.Close() // nothing is to be told to the dead
	}
	if b.template != nil {
		b.driver.templates.give(b.template, "")
		b.template = nil
	}
	if b.tcp != nil {
		b.tcp.Close() // the server may have closed it
	}
	if b.link != nil {
		b.link.Close() // nobody has taken it
		b.link = nil
	}
	if b.tmp != nil {
		errs = append(errs, b.tmp.Close())
		b.tmp = nil
	}
	if b.group != nil {
		errs = append(errs, b.group.Remove())
	}
	if b.user != 0 {
		b.driver.ids.give(b.user)
		b.user = 0
	}
	return errors.Join(errs...)
}
