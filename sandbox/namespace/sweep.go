package namespace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/remains"
)

var _ sandbox.Sweeper = (*Driver)(nil)

// halt stops what an earlier node with the same directory has left, and has the rest
// of it removed later (Sweep). The caller has the directory's lock. Sandboxes in
// cgroups are frozen, and end when their turn comes. Every process of one that has
// none has been killed, which is not to say that it has ended.
func (d *Driver) halt() error {
	groups, memory, err := d.conf.Cgroups.Halt()
	if err != nil {
		return err
	}
	var pieces []remains.Piece
	for _, g := range groups {
		pieces = append(pieces, remains.Piece{Name: g.ID(), Memory: memory / int64(len(groups)),
			Remove: func() error { return d.conf.Cgroups.End(g) }})
	}
	strays, err := d.strays(d.conf.Cgroups.Stops)
	if err != nil {
		return err
	}
	if err := killStrays(strays); err != nil {
		return err
	}
	for _, p := range strays {
		pieces = append(pieces, remains.Piece{Name: "process " + strconv.Itoa(p.pid), Remove: p.end})
	}
	d.remains = remains.New(d.conf.Log, pieces)
	entries, err := os.ReadDir(d.conf.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		// What has nothing of anybody's in it stays: a full disk has no room to make it again.
		if !slices.Contains([]string{lockName, emptyName, probeName, idsName}, e.Name()) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(d.conf.Dir, e.Name())))
		}
	}
	return err
}

// Sweep implements sandbox.Sweeper.
func (d *Driver) Sweep() { d.remains.Begin() }

// Swept implements sandbox.Sweeper.
func (d *Driver) Swept() <-chan struct{} { return d.remains.Gone() }

// Leftovers implements sandbox.Sweeper.
func (d *Driver) Leftovers() sandbox.Leftovers { return d.remains.Left() }

// A stray is a process of an earlier node's.
type stray struct {
	pid   int
	began string // when, as /proc tells: with that, no other process is taken for it
}

// strays are the first processes of sandboxes of this driver's that are not stopped
// by their cgroup: all of them where there are no cgroups, else launchers that had not
// entered theirs yet.
func (d *Driver) strays(stopped func(pid int) bool) (found []stray, err error) {
	var unclear []int
	look := func(pid int) {
		if stopped(pid) {
			return
		}
		s := strayOf(pid)
		switch marked, known := d.marked(pid); {
		case !known:
			unclear = append(unclear, pid)
		case marked && s.alive(): // the same process still
			found = append(found, s)
		}
	}
	err = eachProcess(look)
	for n := 0; n < executeLooks && len(unclear) > 0; n++ {
		time.Sleep(executePause)
		again := unclear
		unclear = nil
		for _, pid := range again {
			look(pid)
		}
	}
	return found, err
}

func strayOf(pid int) stray {
	if f := fieldsOf(pid); len(f) > 19 {
		return stray{pid, f[19]}
	}
	return stray{}
}

// alive tells whether the process has not ended.
func (s stray) alive() bool {
	f := fieldsOf(s.pid)
	return len(f) > 19 && s.began != "" && f[19] == s.began && f[0] != "Z" && f[0] != "X"
}

// kill does not wait for the end.
func (s stray) kill() error {
	fd, err := unix.PidfdOpen(s.pid, 0)
	if err != nil {
		return nil // it has ended
	}
	defer unix.Close(fd)
	if !s.alive() {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("process %d: %w", s.pid, err)
	}
	return nil
}

// end waits for it, too. The end of a sandbox's first process is the last of all in it.
func (s stray) end() error {
	if err := s.kill(); err != nil {
		return err
	}
	err := eventually(context.Background(), endWait, func() (bool, error) { return !s.alive(), nil })
	if err != nil {
		return fmt.Errorf("process %d does not end: %w", s.pid, err)
	}
	return nil
}

// killStrays kills the processes and all others in their pid namespaces, which would
// end with them, but after them. It does not wait.
func killStrays(strays []stray) error {
	if len(strays) == 0 {
		return nil
	}
	own, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return err
	}
	spaces := map[string]bool{}
	var errs []error
	for _, s := range strays {
		space, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", s.pid))
		if err == nil && space != own && s.alive() {
			spaces[space] = true
		}
		errs = append(errs, s.kill())
	}
	err = eachProcess(func(pid int) {
		s := strayOf(pid)
		if space, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid)); err == nil && spaces[space] {
			errs = append(errs, s.kill())
		}
	})
	return errors.Join(append(errs, err)...)
}

// marked tells whether a process is a launcher or a reaper of this driver. It is not
// known of a process without arguments that may be about to have some: a launcher that
// executes the reaper has its new memory a moment before the kernel writes them there.
func (d *Driver) marked(pid int) (is, known bool) {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || pid == os.Getpid() {
		return false, true
	}
	if len(line) == 0 {
		return false, !executing(pid)
	}
	return slices.Contains(strings.Split(string(line), "\x00"), d.marker), true
}

// How often processes are looked at again that may be executing a program, and after
// how long. Somebody's process may have no arguments for good.
const (
	executeLooks = 50
	executePause = 2 * time.Millisecond
)

// executing tells whether a process may be executing a program: it has neither ended
// nor is it the kernel's.
func executing(pid int) bool {
	const kernelThread = 0x0020_0000 // PF_KTHREAD, of the flags in proc_pid_stat(5)
	f := fieldsOf(pid)
	if len(f) <= 6 || f[0] == "Z" || f[0] == "X" {
		return false
	}
	flags, err := strconv.ParseUint(f[6], 10, 64)
	return err == nil && flags&kernelThread == 0
}
