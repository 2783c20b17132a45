package namespace

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/cgroup"
	"github.com/alcove-run/alcove/sandbox/namespace/launch"
)

// A blank is a sandbox whose function is not known yet.
type blank struct {
	*box
	specialised bool // guarded by box.mu
}

var _ sandbox.Specialiser = (*blank)(nil)

// errNoLate: an ordinary user's mount namespace belongs to a user namespace,
// which a process with several threads cannot enter.
var errNoLate = errors.New("namespace: a sandbox cannot be made before its function is known: that needs root's rights")

// checkLate refuses what Specialise could mount nothing at.
func checkLate(spec *sandbox.Spec, target string) error {
	if !filepath.IsAbs(target) || filepath.Clean(target) != target || target == "/" {
		return fmt.Errorf("late mount at %q: not a clean absolute path", target)
	}
	for _, m := range spec.Mounts {
		if m.Target == target || strings.HasPrefix(m.Target, target+"/") {
			return fmt.Errorf("late mount at %s: it has the mount %s already", target, m.Target)
		}
	}
	info, err := os.Lstat(filepath.Join(spec.Root, target))
	if err != nil {
		return fmt.Errorf("late mount: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("late mount at %s: the root tree has no directory there", target)
	}
	return nil
}

// Specialise implements sandbox.Specialiser. Memory and CPU can change. The
// other limits are part of what the sandbox was made as: /tmp is a file system
// that Landlock's rules name, and limits of processes and descriptors have been
// inherited.
func (b *blank) Specialise(mounts []sandbox.Mount, limits sandbox.Limits) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.destroyed {
		return errDestroyed
	}
	if err := b.checkSpecialise(mounts, limits); err != nil {
		return fmt.Errorf("namespace: specialise %s: %w", b.spec.ID, err)
	}
	b.specialised = true
	if err := b.specialise(mounts, limits); err != nil {
		return fmt.Errorf("namespace: specialise %s: %w", b.spec.ID, err)
	}
	b.spec.Limits = limits
	return nil
}

func (b *blank) checkSpecialise(mounts []sandbox.Mount, limits sandbox.Limits) error {
	if b.specialised {
		return errors.New("it has been done already")
	}
	var taken []string
	for _, m := range mounts {
		switch {
		case !filepath.IsAbs(m.Source):
			return fmt.Errorf("mount %s at %s: not absolute", m.Source, m.Target)
		case !slices.Contains(b.spec.Late, m.Target):
			return fmt.Errorf("mount at %s: the sandbox was not made for that", m.Target)
		case slices.Contains(taken, m.Target):
			return fmt.Errorf("mount at %s: twice", m.Target)
		}
		taken = append(taken, m.Target)
	}
	fixed := limits
	fixed.Memory, fixed.CPU = b.spec.Limits.Memory, b.spec.Limits.CPU
	if fixed != b.spec.Limits {
		return fmt.Errorf("limits %+v: of a sandbox made with %+v, only memory and CPU can change", limits, b.spec.Limits)
	}
	if limits.Memory <= 0 || limits.CPU <= 0 {
		return errors.New("a limit is missing")
	}
	return nil
}

func (b *blank) specialise(mounts []sandbox.Mount, limits sandbox.Limits) error {
	var late launch.Late
	defer func() {
		for _, m := range late.Mounts {
			unix.Close(m.FD) // the mount lives where it was put, or nowhere
		}
	}()
	for _, m := range mounts {
		// Without overlays the code is a bind mount, as it is in the launcher;
		// Findings say so.
		fd, err := launch.Layer(m.Source, b.driver.empty, func(string) {})
		if err != nil {
			return fmt.Errorf("mount %s: %w", m.Source, err)
		}
		late.Mounts = append(late.Mounts, launch.LateMount{FD: fd, Target: m.Target})
	}
	var change cgroup.Limits
	if limits.Memory != b.spec.Limits.Memory {
		change.Memory, late.Memory = memoryOf(limits), uint64(limits.Memory)
	}
	if limits.CPU != b.spec.Limits.CPU {
		change.CPU = limits.CPU
	}
	if err := b.group.Set(change); err != nil {
		return fmt.Errorf("limits: %w", err)
	}
	return b.proc.withHandle(func(pidfd int) error {
		return onThread(func() error { return late.Apply(pidfd) })
	})
}

// onThread runs f on a thread of its own, which ends afterwards: f may leave the
// thread in namespaces that nothing else of the process must ever run in.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked, which ends the thread
		if unix.Gettid() == unix.Getpid() {
			// The first thread cannot end, and stands for the process in /proc.
			// While it is locked here, another goroutine gets another thread.
			done <- onThread(f)
			runtime.UnlockOSThread()
			return
		}
		done <- f()
	}()
	return <-done
}
