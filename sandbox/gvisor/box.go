package gvisor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
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
	sentry   *os.Process
	gofer    *os.Process
	watched  bool // watch runs, so reaped will be closed
	trace    Trace

	done   chan struct{} // closed by watch, after it has set exit
	exit   sandbox.Exit
	reaped chan struct{} // closed by watch when no process is left to wait for

	mu      sync.Mutex // held while removing
	removed bool
}

var _ sandbox.Sandbox = (*box)(nil)

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
func (b *box) Freeze() error { return b.group.Freeze() }

// Thaw implements sandbox.Sandbox.
func (b *box) Thaw() error { return b.group.Thaw() }

// Usage implements sandbox.Sandbox. It counts the sentry with the function.
func (b *box) Usage() (sandbox.Usage, error) { return b.group.Usage() }

// Trace says where the time of the sandbox's Create went.
func (b *box) Trace() Trace { return b.trace }

// watch waits for the end of the sandbox, says how it ended, and waits for its
// host processes, which are children of this one since their starter exited.
func (b *box) watch() {
	defer close(b.reaped)
	said, err := io.ReadAll(io.LimitReader(b.exitPipe, 16))
	b.exit = b.verdict(said, err)
	close(b.done)
	_ = b.exitPipe.Close()

	// Without its exit pipe the sentry is dead or about to be, and without the
	// sentry the gofer has nothing to do.
	if _, err := b.sentry.Wait(); err != nil {
		b.driver.conf.Log.Warn("sentry not waited for", "sandbox", b.id, "err", err)
	}
	_ = b.gofer.Kill()
	if _, err := b.gofer.Wait(); err != nil {
		b.driver.conf.Log.Warn("gofer not waited for", "sandbox", b.id, "err", err)
	}
}

// verdict tells from the sentry's last word how the first process ended.
func (b *box) verdict(said []byte, readErr error) sandbox.Exit {
	kills, err := b.group.OOMKills()
	if err != nil {
		b.driver.conf.Log.Warn("out-of-memory kills not known", "sandbox", b.id, "err", err)
	}
	oom := kills > 0
	if len(said) == 4 {
		ws := syscall.WaitStatus(binary.LittleEndian.Uint32(said))
		if ws.Signaled() {
			return sandbox.Exit{Signal: ws.Signal(), OOM: oom}
		}
		return sandbox.Exit{Code: ws.ExitStatus(), OOM: oom}
	}
	// The sentry was killed: by the host for its memory, by Destroy, or it
	// crashed.
	exit := sandbox.Exit{Signal: unix.SIGKILL, OOM: oom}
	if words, _ := os.ReadFile(b.dir.path(panicName)); len(words) > 0 {
		exit.Err = fmt.Errorf("gvisor: sandbox %s: sentry crashed: %.2000s", b.id, words)
	} else if readErr != nil {
		exit.Err = fmt.Errorf("gvisor: sandbox %s: exit pipe: %w", b.id, readErr)
	}
	return exit
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
	if !b.watched && b.exitPipe != nil {
		_ = b.exitPipe.Close()
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

// killTimeout is how long killed processes may take to be gone. It is reached
// only by a process that hangs in the host's kernel.
const killTimeout = 10 * time.Second

// kill ends all processes of the sandbox, frozen or not, and waits for them.
func (b *box) kill() error {
	if !b.watched {
		return b.killStrays()
	}
	if err := b.group.Kill(); err != nil {
		return err
	}
	// Where there are no cgroups, and harmless where there are. The stub
	// processes live in the sentry's pid namespace and go with it.
	_, _ = b.sentry.Kill(), b.gofer.Kill()
	select {
	case <-b.reaped:
		return nil
	case <-time.After(killTimeout):
		return errors.New("processes are left")
	}
}
