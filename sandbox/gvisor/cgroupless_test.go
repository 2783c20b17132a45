package gvisor

import (
	"log/slog"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/sandbox/cgroup"
)

// newCgroupless makes a driver as it is on a machine that offers no cgroups.
func newCgroupless(t *testing.T, dir string) *Driver {
	t.Helper()
	d, err := New(t.Context(), Config{Dir: dir, Cgroups: &cgroup.Root{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// TestWithoutCgroups: nothing is bounded then, but all of a sandbox is found
// and ended.
func TestWithoutCgroups(t *testing.T) {
	root, dir := pythonRoot(t), t.TempDir()
	d := newCgroupless(t, dir)
	spec := newSpec(t, root)
	spec.Args = []string{"/bin/sh", "-c", "sleep 1000 & sleep 1000"}
	s, err := d.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Destroy(); err != nil {
		t.Error(err)
	}
	nothingLeft(t, d, spec.ID)

	for _, arg0 := range []string{argStarter, argSentry, argGofer} {
		for delay := time.Duration(0); delay < 40*time.Millisecond; delay += 10 * time.Millisecond {
			spec := newSpec(t, root)
			spec.Args = []string{"/bin/sh", "-c", "sleep 1000"}
			stop, killed := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(killed)
				killPart(arg0, spec.ID, delay, stop)
			}()
			s, err := d.Create(t.Context(), spec)
			close(stop)
			<-killed
			if err == nil {
				if err := s.Destroy(); err != nil {
					t.Error(err)
				}
			}
			nothingLeft(t, d, spec.ID)
		}
	}
}

// TestSweepWithoutCgroups: what a killed node has left is found by its
// arguments alone.
func TestSweepWithoutCgroups(t *testing.T) {
	root, dir := pythonRoot(t), t.TempDir()
	d := newCgroupless(t, dir)
	spec := newSpec(t, root)
	spec.Args = []string{"/bin/sh", "-c", "sleep 1000"}
	s, err := d.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	// As if this process had been killed: the lock is free.
	if err := unix.Flock(int(d.lock.Fd()), unix.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	newCgroupless(t, dir)
	nothing := parts(argSentry, spec.ID)
	if len(nothing) > 0 || len(parts(argGofer, spec.ID)) > 0 {
		t.Errorf("left: %v", nothing)
	}
	<-s.Done()
	if e := s.Exit(); e.Signal != unix.SIGKILL {
		t.Errorf("ended with %+v", e)
	}
}
