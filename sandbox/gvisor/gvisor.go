// Package gvisor is the default sandbox driver: gVisor, a kernel of its own
// around every function, built into this program. No runtime is installed and
// no daemon runs. The parts of a sandbox are processes that the driver starts
// from programs which it carries (package embedded) or from its own (Main):
//
//   - the starter, which enters the sandbox's cgroup, makes the rest, and exits;
//   - the sentry, gVisor's kernel, first process of a pid namespace in which
//     also the stub processes live that carry the function's address spaces;
//   - the gofer, which opens the sandbox's read-only directories for it;
//   - inside the sandbox, and only for Spec.TCP or without a program yet, the door
//     (package door).
//
// All of a sandbox's host processes are in its cgroup, from before they read
// anything that a tenant wrote. The node never is. It learns how the function
// ended from a FIFO that the sentry holds open, and reaps sentry and gofer,
// which become its children when the starter exits.
//
// The package owns its directory under the node's data directory, the cgroups
// of its sandboxes, and the processes in them. It makes no mount in the node's
// mount namespace. It knows nothing of tenants or functions.
package gvisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/cgroup"
	"github.com/alcove-run/alcove/sandbox/remains"
)

// Config says what a Driver works with. Dir, Cgroups and Log are required.
type Config struct {
	// Dir is a directory of the driver's own; New makes it. One process at a
	// time can use it.
	Dir string
	// Cgroups is the parent of the sandboxes' cgroups. The driver is its only
	// user.
	Cgroups *cgroup.Root
	Log     *slog.Logger
	// Exe is the program to start as the parts of a sandbox: one whose main
	// begins with Main. Empty means the embedded one, or else the running one.
	Exe string
}

// Driver makes gVisor sandboxes. It is safe for concurrent use.
type Driver struct {
	conf     Config
	root     bool              // the node is root
	findings []sandbox.Finding // of Probe
	lock     *os.File          // flock on the directory, for as long as the driver lives
	netns    *os.File          // an empty network namespace, for all gofers; nil if not root
	door     *os.File          // the program of package door

	remains *remains.Remains // what an earlier process left

	noMemoryEvents sync.Once // for saying so

	mu     sync.Mutex
	boxes  map[string]*box // by id; those whose Destroy has not succeeded yet
	closed bool
}

var _ sandbox.Driver = (*Driver)(nil)

// New makes a driver and stops whatever sandboxes an earlier process with the
// same Dir has left: their processes, cgroups and files are removed by Sweep. It fails if another
// process uses Dir, and if this machine or this program cannot make gVisor
// sandboxes at all, naming the reason (Probe lists all of them).
func New(ctx context.Context, conf Config) (*Driver, error) {
	if os.Args[0] == argStarter {
		// Without this, a program that forgets Main would start itself for ever.
		return nil, errors.New("gvisor: main does not begin with gvisor.Main")
	}
	dir, err := filepath.Abs(conf.Dir)
	if err != nil {
		return nil, fmt.Errorf("gvisor: %w", err)
	}
	conf.Dir = dir
	if err := usable([]sandbox.Finding{probeBuild()}); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, boxesName), 0o700); err != nil {
		return nil, fmt.Errorf("gvisor: %w", err)
	}
	d := &Driver{conf: conf, root: os.Geteuid() == 0, boxes: map[string]*box{}}
	if d.lock, err = lockDir(ctx, dir); err != nil {
		return nil, err
	}
	if err := d.open(ctx); err != nil {
		return nil, errors.Join(err, d.lock.Close())
	}
	return d, nil
}

// open does what New does once the directory is locked.
func (d *Driver) open(ctx context.Context) error {
	if err := d.halt(ctx); err != nil {
		return err
	}
	var chosen programs
	chosen, d.findings = choosePrograms(ctx, d.conf)
	d.conf.Exe = chosen.parts
	if err := usable(d.findings); err != nil {
		return err
	}
	// The starter's children outlive it and must become ours, not those of a
	// process 1 that may never wait for them. This driver waits for its own
	// processes by id; nothing else of this program is disturbed.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("gvisor: becoming a subreaper: %w", err)
	}
	var err error
	if d.root {
		if d.netns, err = emptyNetns(); err != nil {
			return err
		}
	}
	if d.door, err = os.Open(chosen.door); err != nil {
		_ = d.netns.Close() // a nil file says that there is none
		return fmt.Errorf("gvisor: %w", err)
	}
	return nil
}

// Name implements sandbox.Driver.
func (d *Driver) Name() string { return "gvisor" }

// Close implements sandbox.Driver. It closes Config.Cgroups, too.
func (d *Driver) Close() error {
	d.mu.Lock()
	d.closed = true
	boxes := make([]*box, 0, len(d.boxes))
	for _, b := range d.boxes {
		boxes = append(boxes, b)
	}
	d.mu.Unlock()

	errs := make([]error, len(boxes))
	var wg sync.WaitGroup
	for i, b := range boxes {
		wg.Go(func() { errs[i] = b.Destroy() })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err // what is left can be tried again
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lock == nil {
		return nil
	}
	d.remains.Close() // tells what is still there
	errs = append(errs, d.conf.Cgroups.Close(), d.door.Close())
	if d.netns != nil {
		errs = append(errs, d.netns.Close())
	}
	for _, name := range []string{boxesName, lockName} {
		errs = append(errs, os.RemoveAll(filepath.Join(d.conf.Dir, name)))
	}
	errs = append(errs, d.lock.Close())
	d.lock = nil
	return errors.Join(errs...)
}
