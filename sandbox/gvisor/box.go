package gvisor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/cgroup"
)

// box is one sandbox.
type box struct {
	driver *Driver
	id     string
	dir    layout

	// cancel interrupts Create; settled is closed when Create has returned.
	// Until then the fields below belong to Create, afterwards they do not
	// change.
	cancel   context.CancelCauseFunc
	settled  chan struct{}
	group    *cgroup.Group // nil if Create failed before it was made
	exitPipe *os.File      // likewise
	// memoryEvent tells that the group is out of memory, where the kernel does
	// not end all of it by itself; nil there.
	memoryEvent *os.File
	sentry      *process
	gofer       *process
	watched     bool // so done and reaped will be closed
	trace       Trace
	// Of a blank sandbox: the socket that its parts connect to, and the empty
	// directories of Spec.Late's targets, in their order.
	late  *net.UnixListener
	slots []slot
	// Of a sandbox without a program: where it is told which to run.
	program *os.File
	// The other end of the sandbox's link, until somebody has taken it.
	link *os.File
	// onRemove, if not nil, gives back what else there is of the sandbox.
	onRemove func() error

	done        chan struct{} // closed after exit is set
	exit        sandbox.Exit
	killed      atomic.Bool   // by Destroy
	outOfMemory atomic.Bool   // by watchMemory
	reaped      chan struct{} // closed when no process is left to wait for

	freezer sync.Mutex // held by whoever needs it frozen, or running
	frozen  bool       // by Freeze

	mu      sync.Mutex // held while removing
	removed bool
}

var _ sandbox.Linked = (*box)(nil)

// ID implements sandbox.Sandbox.
func (b *box) ID() string { return b.id }

// Done implements sandbox.Sandbox.
func (b *box) Done() <-chan struct{} { return b.done }

// Exit implements sandbox.Sandbox.
func (b *box) Exit() sandbox.Exit {
	select {
	case <-b.done:
		return b.exit
	default:
		return sandbox.Exit{Err: errors.New("gvisor: sandbox has not ended")}
	}
}

// Freeze implements sandbox.Sandbox.
func (b *box) Freeze() error {
	b.freezer.Lock()
	defer b.freezer.Unlock()
	b.frozen = true
	return b.group.StopRunning()
}

// Thaw implements sandbox.Sandbox.
func (b *box) Thaw() error {
	b.freezer.Lock()
	defer b.freezer.Unlock()
	b.frozen = false
	return b.group.Thaw()
}

// Weigh implements sandbox.Weigher. The sentry is weighed with the function.
func (b *box) Weigh(parts int) error { return b.group.Weigh(parts) }

// Usage implements sandbox.Sandbox. It counts the sentry with the function.
func (b *box) Usage() (sandbox.Usage, error) { return b.group.Usage() }

// MemoryPeak is the part of Usage that every report has.
func (b *box) MemoryPeak() (int64, error) { return b.group.MemoryPeak() }

// Trace says where the time of the sandbox's Create went.
func (b *box) Trace() Trace { return b.trace }

// watch has the end of the sandbox noticed: how it ended is then told by Exit,
// and its host processes, children of this one since their starter exited, are
// reaped.
func (b *box) watch() {
	b.watched = true
	var wg sync.WaitGroup
	wg.Go(b.watchSentry)
	wg.Go(b.watchGofer)
	if b.memoryEvent != nil {
		wg.Go(b.watchMemory)
	}
	go func() {
		wg.Wait()
		close(b.reaped)
	}()
}

func (b *box) watchSentry() {
	said := make([]byte, 4)
	n, err := io.ReadFull(b.exitPipe, said)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil // which says it all
	}
	reaped := false
	if n < len(said) { // then how it ended has to be seen
		werr := b.sentry.wait(sentryGrace)
		reaped, err = werr == nil, errors.Join(err, werr)
	}
	b.exit = b.verdict(said[:n], err)
	close(b.done)
	_ = b.exitPipe.Close()
	if b.memoryEvent != nil {
		_ = b.memoryEvent.Close() // ends watchMemory
	}
	if reaped {
		return
	}
	if err := b.sentry.wait(0); err != nil {
		b.driver.conf.Log.Error("sentry not reaped", "sandbox", b.id, "error", err)
	}
}

// watchGofer sees to the end of a sandbox whose gofer has ended. It does after
// the sentry; should it have ended before, so that the function could open no
// more files, the sentry notices and kills the function.
func (b *box) watchGofer() {
	if err := b.gofer.wait(0); err != nil {
		b.driver.conf.Log.Error("gofer not reaped", "sandbox", b.id, "error", err)
	}
	select {
	case <-b.done:
	case <-time.After(goferGrace):
		_, _ = b.group.Kill(), b.sentry.kill()
	}
}

// verdict tells from the sentry's last word how the first process ended.
func (b *box) verdict(said []byte, readErr error) sandbox.Exit {
	kills, err := b.group.OOMKills()
	if err != nil {
		b.driver.conf.Log.Warn("out-of-memory kills not known", "sandbox", b.id, "error", err)
	}
	oom := kills > 0 || b.outOfMemory.Load()
	if len(said) == 4 {
		ws := syscall.WaitStatus(binary.LittleEndian.Uint32(said))
		if ws.Signaled() {
			// The host may have ended the process that carried it.
			return sandbox.Exit{Signal: ws.Signal(), OOM: oom && ws.Signal() == unix.SIGKILL}
		}
		return sandbox.Exit{Code: ws.ExitStatus()}
	}
	exit := sandbox.Exit{Signal: unix.SIGKILL, OOM: oom}
	if oom || b.killed.Load() {
		return exit
	}
	// Somebody on the host has killed it, as the kernel does when it is out of
	// memory. For a part of the sandbox that is killed before its sentry, the sentry
	// says the same.
	if how := b.sentry.ended(); how.Signaled() && how.Signal() == unix.SIGKILL {
		return exit
	}
	// It has crashed.
	exit.Err = fmt.Errorf("gvisor: sandbox %s: the sentry is gone: %w", b.id, errors.Join(readErr, fmt.Errorf("it said %q", lastWords(b.dir))))
	return exit
}

// lastWords is the beginning of what the Go runtime wrote in a sentry that
// crashed, and no more: a sentry that was taken over writes what it likes.
func lastWords(dir layout) []byte {
	f, err := os.Open(dir.path(panicName))
	if err != nil {
		return nil // it said nothing
	}
	defer f.Close()
	words, _ := io.ReadAll(io.LimitReader(f, 2000))
	return words
}

// Destroy implements sandbox.Sandbox.
func (b *box) Destroy() error {
	b.cancel(errClosed)
	<-b.settled
	return b.remove()
}

// remove kills what runs and removes everything, as far as it exists. It is
// idempotent, and can be tried again after an error.
func (b *box) remove() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.removed {
		return nil
	}
	if b.group != nil {
		if err := b.kill(); err != nil {
			return fmt.Errorf("gvisor: sandbox %s: kill: %w", b.id, err)
		}
		if err := b.group.Remove(); err != nil {
			return fmt.Errorf("gvisor: sandbox %s: %w", b.id, err)
		}
	}
	if !b.watched {
		_, _ = b.exitPipe.Close(), b.memoryEvent.Close() // nil files say so
	}
	if b.late != nil {
		_ = b.late.Close() // by now it is
	}
	if b.program != nil {
		_ = b.program.Close() // likewise
	}
	if b.link != nil {
		_ = b.link.Close() // nobody has taken it
		b.link = nil
	}
	if b.onRemove != nil {
		if err := b.onRemove(); err != nil {
			return fmt.Errorf("gvisor: sandbox %s: %w", b.id, err)
		}
	}
	if err := os.RemoveAll(string(b.dir)); err != nil {
		return fmt.Errorf("gvisor: sandbox %s: %w", b.id, err)
	}
	b.removed = true
	b.driver.mu.Lock()
	delete(b.driver.boxes, b.id)
	b.driver.mu.Unlock()
	return nil
}

// sentryGrace is how long a sentry that has closed its exit pipe may take to end.
const sentryGrace = time.Second

// goferGrace is how long a sentry may outlive its gofer.
const goferGrace = 5 * time.Second

// killTimeout is how long killed processes may take to be gone. It is reached
// only by a process that hangs in the host's kernel.
const killTimeout = 10 * time.Second

// kill ends all processes of the sandbox, frozen or not, and waits for them.
func (b *box) kill() error {
	if !b.watched {
		return b.killStrays()
	}
	b.killed.Store(true)
	if err := b.group.Kill(); err != nil {
		return err
	}
	// Where there are no cgroups; elsewhere they are dead. The stub processes
	// live in the sentry's pid namespace and go with it.
	_, _ = b.sentry.kill(), b.gofer.kill()
	select {
	case <-b.reaped:
		return nil
	case <-time.After(killTimeout):
		return errors.New("processes are left")
	}
}
