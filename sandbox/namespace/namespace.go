// Package namespace is the light sandbox driver: the kernel's own means, put
// together for each sandbox. Code runs as an ordinary process of the host's
// kernel, in user, mount, pid, network, ipc, uts and cgroup namespaces of its
// own, on a read-only root, as a user that exists nowhere else, without
// capabilities, behind a list of allowed system calls. It starts in
// milliseconds; a flaw in the kernel's system calls is a way out of it, which
// is why gVisor is the default and this driver is for code that its owner
// trusts, and for development.
//
// The driver starts a launcher (package launch) in the new namespaces, which
// builds the rest from inside, forks the program and leaves a reaper of one page
// as first process. The first process tells the node how the program ended, and
// its own end takes everything with it. If the node ends, in whatever way, the
// kernel ends the programs of all sandboxes; what is left of them then (frozen
// ones) the next New finds by its cgroup, or by its arguments where there are no
// cgroups, sees to it that none of it runs, and removes it afterwards (sweep.go).
//
// An idle sandbox costs the node one descriptor, by which it learns of the sandbox's
// end. What else is needed now and then is asked of the first process or found by its
// number: the link (which that process holds), /tmp, its namespaces. First processes
// of forked programs learn of the node's end by a pipe that all of them watch (life.go).
//
// Sandboxes of a Python program (sandbox.Spec.Template) are forked from a template
// process instead, once there is one: the launcher builds everything as always,
// and the template forks a child into it, which confines itself by the same list
// of calls (launch.Tape) before it returns to its program. A template runs the
// platform's code alone, on the same root, without network, and keeps the few
// rights that this takes; it holds nothing of any sandbox (template.go). A forked
// program is the node's child, not the first process's. Before a template
// forks for sandboxes it forks a scout, whose written pages tell which of the
// template's pages every program will write to: each gets its copies of those in one
// call, as that takes two thirds of what a fault for each takes (scout.go).
//
// A sandbox with sandbox.Spec.Late is given its directories and limits while it
// runs (late.go), by a thread of the node's that enters its mount namespace and
// ends.
//
// /tmp is an ext4 file system in a sparse file without a name, on a loop device,
// prepared ahead. The alternative, memory that is taken out of the sandbox's
// limit again as the file system fills, would need a watcher that is faster than
// the kernel's out-of-memory killer, and would let idle sandboxes keep the
// machine's memory; on a disk /tmp has its own size, and its cache is the first
// that the kernel takes back. Without loop devices or root's rights, /tmp is
// memory of the sandbox, and Findings say so. /dev/shm is memory: its size comes
// on top of the memory limit.
//
// Sandboxes with Spec.TCP implement
//
//	interface{ TCPListener() net.Listener }
//
// The listener is bound to sandbox.RuntimeAPIAddr inside the sandbox; whoever
// serves the Runtime API socket serves it, too. It is closed by Destroy.
//
// The package owns its directory under the node's data directory, its cgroups
// and the processes in them. It makes no mount in the node's mount namespace.
package namespace

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/cgroup"
	"github.com/alcove-run/alcove/sandbox/namespace/launch"
	"github.com/alcove-run/alcove/sandbox/namespace/seccomp"
	"github.com/alcove-run/alcove/sandbox/remains"
)

// Main must be called first in main() of every program that makes sandboxes with
// this package, and in TestMain of every test binary that does: a program that
// was built without the launcher (package initbin) is started again in its
// place. In such a process Main does not return; in every other it looks at one
// string and returns false.
func Main() bool {
	if len(os.Args) > 0 && os.Args[0] == launch.Arg0 {
		launch.Main()
	}
	return false
}

// Config says what a Driver works with. All fields are required.
type Config struct {
	// Dir is a directory of the driver's own; New makes it. One process at a
	// time can use it. Files that back /tmp take their space where it is.
	Dir string
	// Cgroups is the parent of the sandboxes' cgroups. The driver is its only
	// user and closes it.
	Cgroups *cgroup.Root
	Log     *slog.Logger
}

// Driver makes sandboxes. It is safe for concurrent use.
type Driver struct {
	conf      Config
	root      bool     // runs with root's rights
	lock      *os.File // flock on the directory, for as long as the driver lives
	launcher  *launcher
	empty     string // an empty directory
	marker    string
	filter    []byte
	masks     masks
	ids       *ids
	scratch   *scratchStock // nil: /tmp is memory
	templates *templates
	life      *life
	keepLinks bool // they cannot be had from first processes
	findings  []sandbox.Finding
	remains   *remains.Remains // what an earlier process left

	bindDevices bool
	pair        bool // links are pairs of devices, because there is no /dev/net/tun

	mu     sync.Mutex
	boxes  map[string]*box // by id; those whose Destroy has not succeeded yet
	closed bool
}

var _ sandbox.Forker = (*Driver)(nil)

// Names in the driver's directory.
const (
	lockName  = "lock"
	emptyName = "empty"
	probeName = "probe"
	idsName   = "ids"
)

// New makes a driver and stops whatever sandboxes an earlier process with the
// same Dir has left, which Sweep has removed. It fails if another process uses Dir, and if no sandbox can
// be made on this machine, naming the step that fails.
func New(ctx context.Context, conf Config) (*Driver, error) {
	if os.Args[0] == launch.Arg0 {
		return nil, errors.New("namespace: main does not begin with namespace.Main")
	}
	dir, err := filepath.Abs(conf.Dir)
	if err != nil {
		return nil, fmt.Errorf("namespace: %w", err)
	}
	conf.Dir = dir
	sum := sha256.Sum256([]byte(dir))
	d := &Driver{
		conf:   conf,
		root:   os.Geteuid() == 0,
		empty:  filepath.Join(dir, emptyName),
		marker: "alcove-" + hex.EncodeToString(sum[:8]),
		filter: seccomp.Program(),
		ids:    newIDs(sum[8:]),
		boxes:  map[string]*box{},
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("namespace: %w", err)
	}
	if d.lock, err = lockDir(ctx, filepath.Join(dir, lockName)); err != nil {
		return nil, fmt.Errorf("namespace: %s: %w", dir, err)
	}
	if err := d.prepare(ctx); err != nil {
		// A start that did not come so far as to look knows nothing of what is left.
		left := d.remains == nil || d.remains.Left().Left > 0
		return nil, errors.Join(fmt.Errorf("namespace: %w", err), d.release(left))
	}
	return d, nil
}

// prepare does what New does once the directory is its own.
func (d *Driver) prepare(ctx context.Context) error {
	if err := d.halt(); err != nil {
		return fmt.Errorf("stopping what an earlier node left: %w", err)
	}
	if d.root {
		d.ids.open(filepath.Join(d.conf.Dir, idsName), d.conf.Log)
	}
	if err := os.Mkdir(d.empty, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	// Whatever the umask is: an ordinary user in a sandbox has to see it empty.
	if err := os.Chmod(d.empty, 0o555); err != nil {
		return err
	}
	var err error
	if d.launcher, err = newLauncher(); err != nil {
		return err
	}
	if d.masks, err = findMasks("/proc"); err != nil {
		return err
	}
	d.templates = newTemplates(d)
	if d.life, err = newLife(); err != nil {
		return err
	}
	d.keepLinks = noAttach()
	d.bindDevices = !d.root || !canMakeDevices(d.conf.Dir)
	return d.probe(ctx)
}

// lockDir takes the lock on the directory. A node that was killed a moment ago
// may still be on its way out, so it waits for as long as ctx lets it.
func lockDir(ctx context.Context, path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = eventually(ctx, lockWait, func() (bool, error) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("in use by another process: %w", err), f.Close())
	}
	return f, nil
}

// Name implements sandbox.Driver.
func (d *Driver) Name() string { return "namespace" }

// Findings implements sandbox.Driver.
func (d *Driver) Findings() []sandbox.Finding {
	return append(append([]sandbox.Finding(nil), d.findings...), d.conf.Cgroups.Findings()...)
}

// Close implements sandbox.Driver. It closes Config.Cgroups, too.
func (d *Driver) Close() error {
	d.mu.Lock()
	already := d.closed
	d.closed = true
	boxes := make([]*box, 0, len(d.boxes))
	for _, b := range d.boxes {
		boxes = append(boxes, b)
	}
	d.mu.Unlock()
	if already && len(boxes) == 0 {
		return nil
	}
	errs := make([]error, len(boxes))
	var wg sync.WaitGroup
	for i, b := range boxes {
		wg.Go(func() { errs[i] = b.Destroy() })
	}
	wg.Wait()
	d.templates.Close()
	left := d.remains.Close()
	err := errors.Join(errors.Join(errs...), d.conf.Cgroups.Close())
	return errors.Join(err, d.release(left > 0 || err != nil)) // the next start finds what did not end
}

// release gives back what the driver holds besides sandboxes. What an earlier process
// left has ids, which then stay taken.
func (d *Driver) release(keepIDs bool) error {
	var errs []error
	if d.scratch != nil {
		errs = append(errs, d.scratch.Close())
	}
	if d.life != nil {
		errs = append(errs, d.life.Close())
	}
	if d.launcher != nil {
		errs = append(errs, d.launcher.Close())
	}
	names := []string{emptyName, probeName, lockName}
	if !keepIDs {
		names = append(names, idsName)
	}
	for _, name := range names {
		errs = append(errs, os.RemoveAll(filepath.Join(d.conf.Dir, name)))
	}
	return errors.Join(append(errs, d.lock.Close())...)
}

// admit registers a sandbox that is about to be made.
func (d *Driver) admit(b *box) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
		return errors.New("the driver is closed")
	case d.boxes[b.spec.ID] != nil:
		return errors.New("there is a sandbox of this id")
	}
	d.boxes[b.spec.ID] = b
	return nil
}

// forget is admit undone.
func (d *Driver) forget(b *box) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.boxes[b.spec.ID] == b {
		delete(d.boxes, b.spec.ID)
	}
}
