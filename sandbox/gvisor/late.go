package gvisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/cgroup"
)

// Code that comes late.
//
// A blank sandbox has an empty directory of its own mounted, read-only, wherever
// something may come. Nothing can be mounted over such a directory afterwards:
// the sentry walks from a descriptor of the directory itself, below which it
// would not notice. But it is this descriptor alone that makes the mount show
// this directory. So Specialise has the descriptor exchanged (see
// exchange.go) for one of the code: of a mount of its own, read-only, nosuid and
// nodev, that is attached nowhere, in no namespace, and is gone with its last
// descriptor. Inside, the mount at /var/task is the one that was there from the
// beginning, read-only by its own declaration; no path leads from anywhere else
// to the code, and nothing above it can be reached from it.
//
// The sentry and the gofer, which has a descriptor of its own, each connect to a
// socket in the sandbox's directory before they lock themselves in. They are
// told once, and close the connection.

// exchangeTimeout bounds how long sentry and gofer may take over one message.
// They take a fraction of a millisecond.
const exchangeTimeout = 5 * time.Second

// maxLate bounds Spec.Late.
const maxLate = 8

// exchangers are the parts of a sandbox that hold descriptors of its mounts.
const exchangers = 2

// blank is a sandbox with Spec.Late.
type blank struct {
	*box
	spec  sandbox.Spec // its limits, its targets
	conns []*net.UnixConn

	done bool // guarded by box.mu
}

var _ sandbox.Specialiser = (*blank)(nil)

// slot identifies an empty directory to those that have it open.
type slot struct {
	Dev uint64 `json:"dev"`
	Ino uint64 `json:"ino"`
}

// order is the one message to a part of a blank sandbox. For each slot that is
// filled there is a descriptor of a directory with it.
type order struct {
	Slots  []slot `json:"slots"`
	Memory int64  `json:"memory"` // what the sandbox shall believe to have, in bytes
}

// slotName is the empty directory of the target with this number.
func slotName(n int) string { return slotPrefix + strconv.Itoa(n) }

// makeSlots makes the empty directories of Spec.Late.
func makeSlots(s sandbox.Spec, dir layout) ([]slot, error) {
	var slots []slot
	for i := range s.Late {
		path := dir.path(slotName(i))
		if err := os.Mkdir(path, 0o700); err != nil {
			return nil, err
		}
		// Whatever the umask: everybody inside may see that there is nothing.
		if err := os.Chmod(path, 0o755); err != nil {
			return nil, err
		}
		id, err := identifyPath(path)
		if err != nil {
			return nil, err
		}
		slots = append(slots, id)
	}
	return slots, nil
}

// checkLate refuses a target that something else is mounted on, above or below.
func checkLate(s sandbox.Spec) error {
	if len(s.Late) > maxLate {
		return fmt.Errorf("late mounts: %d, more than %d", len(s.Late), maxLate)
	}
	for i, target := range s.Late {
		if !filepath.IsAbs(target) || filepath.Clean(target) != target || target == "/" {
			return fmt.Errorf("late mount: bad target %q", target)
		}
		if slices.Contains(s.Late[:i], target) {
			return fmt.Errorf("late mount: target %s twice", target)
		}
		for _, m := range s.Mounts {
			if within(target, m.Target) || within(m.Target, target) {
				return fmt.Errorf("late mount: target %s and the mount on %s are in each other's way", target, m.Target)
			}
		}
	}
	return nil
}

// within tells whether path is dir or below it; both are clean.
func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// openLate listens for the parts of a blank sandbox.
func openLate(dir layout) (*net.UnixListener, error) {
	d, err := os.Open(string(dir))
	if err != nil {
		return nil, fmt.Errorf("late socket: %w", err)
	}
	defer d.Close()
	// The name of a socket may have some hundred bytes, a directory's more.
	name := fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), lateName)
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: name, Net: "unixpacket"})
	if err != nil {
		return nil, fmt.Errorf("late socket: %w", err)
	}
	l.SetUnlinkOnClose(false) // by a name that will mean something else
	return l, nil
}

// newBlank collects what Specialise needs of a sandbox that has just been made.
func newBlank(b *box, spec sandbox.Spec) (*blank, error) {
	late := &blank{box: b, spec: spec}
	if b.late == nil {
		return late, nil
	}
	if err := b.late.SetDeadline(time.Now().Add(exchangeTimeout)); err != nil {
		return nil, err
	}
	for range exchangers {
		conn, err := b.late.AcceptUnix()
		if err != nil {
			return nil, errors.Join(fmt.Errorf("late socket: %w", err), late.hangUp())
		}
		late.conns = append(late.conns, conn)
	}
	b.onRemove = late.hangUp
	return late, errors.Join(b.late.Close(), os.Remove(b.dir.path(lateName)))
}

// hangUp lets sentry and gofer know that nothing more will come.
func (b *blank) hangUp() error {
	var errs []error
	for _, c := range b.conns {
		errs = append(errs, c.Close())
	}
	b.conns = nil
	return errors.Join(errs...)
}

// Specialise implements sandbox.Specialiser. Memory and CPU can change, and with
// memory what /proc/meminfo says. /tmp and /dev/shm have got their sizes when
// they were mounted, and the limits of processes and descriptors have been
// inherited. A frozen sandbox runs for the moment that this takes.
func (b *blank) Specialise(mounts []sandbox.Mount, limits sandbox.Limits) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.checkSpecialise(mounts, limits); err != nil {
		return fmt.Errorf("gvisor: sandbox %s: specialise: %w", b.id, err)
	}
	b.done = true
	if err := b.specialise(mounts, limits); err != nil {
		return fmt.Errorf("gvisor: sandbox %s: specialise: %w", b.id, err)
	}
	return nil
}

func (b *blank) checkSpecialise(mounts []sandbox.Mount, limits sandbox.Limits) error {
	select {
	case <-b.box.done:
		return errors.New("it has ended")
	default:
	}
	if b.removed {
		return errors.New("it has been destroyed")
	}
	if b.done {
		return errors.New("it has been done already")
	}
	for i, m := range mounts {
		switch {
		case !filepath.IsAbs(m.Source):
			return fmt.Errorf("mount source %q is not absolute", m.Source)
		case !slices.Contains(b.spec.Late, m.Target):
			return fmt.Errorf("target %q is none of %q, which the sandbox was made with", m.Target, b.spec.Late)
		case slices.ContainsFunc(mounts[:i], func(other sandbox.Mount) bool { return other.Target == m.Target }):
			return fmt.Errorf("target %s twice", m.Target)
		}
	}
	if limits.Memory <= 0 {
		return errors.New("no memory limit")
	}
	was := b.spec.Limits
	for _, l := range []struct {
		name     string
		was, now int64
	}{
		{"Tmp", was.Tmp, limits.Tmp}, {"Shm", was.Shm, limits.Shm},
		{"Processes", int64(was.Processes), int64(limits.Processes)}, {"OpenFiles", int64(was.OpenFiles), int64(limits.OpenFiles)},
	} {
		if l.was != l.now {
			return fmt.Errorf("limit %s is %d from the start and cannot become %d", l.name, l.was, l.now)
		}
	}
	return nil
}

func (b *blank) specialise(mounts []sandbox.Mount, limits sandbox.Limits) error {
	o := order{Memory: limits.Memory}
	var fds []int
	defer func() {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	}()
	for _, m := range mounts {
		fd, err := detachedMount(m.Source)
		if err != nil {
			return err
		}
		fds = append(fds, fd)
		o.Slots = append(o.Slots, b.slots[slices.Index(b.spec.Late, m.Target)])
	}
	if err := b.group.Set(cgroup.Limits{Memory: limits.Memory + memoryOverhead, CPU: limits.CPU}); err != nil {
		return fmt.Errorf("limits: %w", err)
	}
	b.freezer.Lock()
	defer b.freezer.Unlock()
	if b.frozen {
		if err := b.group.Thaw(); err != nil {
			return err
		}
		defer func() { _ = b.group.StopRunning() }() // or it runs, which costs a little
	}
	if err := b.tell(o, fds); err != nil {
		return err
	}
	return b.hangUp()
}

// detachedMount opens a directory by way of a mount of its own that is attached
// nowhere.
func detachedMount(dir string) (int, error) {
	tree, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("mount of %s: %w", dir, err)
	}
	defer unix.Close(tree)
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return -1, fmt.Errorf("mount of %s read-only: %w", dir, err)
	}
	// With the flags that gVisor opens its own with: it reads entries from it.
	fd, err := unix.Openat(tree, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("mount of %s: %w", dir, err)
	}
	return fd, nil
}

// tell gives sentry and gofer the order and waits until both have obeyed.
func (b *blank) tell(o order, fds []int) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	for _, c := range b.conns {
		if err := c.SetDeadline(time.Now().Add(exchangeTimeout)); err != nil {
			return err
		}
		if _, _, err := c.WriteMsgUnix(text, unix.UnixRights(fds...), nil); err != nil {
			return err
		}
	}
	var errs []error
	for _, c := range b.conns {
		said := make([]byte, 256)
		n, err := c.Read(said)
		if err == nil && string(said[:n]) != exchanged {
			err = fmt.Errorf("a part of the sandbox says %q", said[:n])
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
