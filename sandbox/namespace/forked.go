package namespace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/namespace/launch"
)

// forkMax bounds each step of a fork.
const forkMax = 10 * time.Second

// Forked tells whether the sandbox's first process was forked from a template,
// and if not although Spec.Template asked for it, why.
func (b *box) Forked() (bool, string) { return b.main != nil, b.unforked }

// forkAhead has the program forked while the launcher still builds the sandbox
// that it is for.
func (b *box) forkAhead() {
	if b.template != nil {
		b.forkFailed = b.fork()
	}
}

// forkInto lets the forked program into the sandbox, which has been built; the
// message brings the Landlock rules that the launcher has made there. If it cannot
// be, the launcher executes the program after all.
func (b *box) forkInto(oob []byte) error {
	rules, err := fileFrom(oob)
	if err != nil {
		return fmt.Errorf("landlock: %w", err)
	}
	defer rules.Close()
	if err = b.forkFailed; err == nil {
		err = b.letIn(rules)
	}
	answer, why := byte(1), ""
	if err != nil {
		why = fmt.Sprintf("forking failed: %v", err)
		b.driver.conf.Log.Warn("a sandbox is started without its template", "sandbox", b.spec.ID, "error", err)
		err = b.endMain()
		answer = 0
	}
	b.driver.templates.give(b.template, why)
	b.template, b.unforked = nil, why
	if err != nil {
		return err
	}
	if _, err := b.conn.Write([]byte{answer}); err != nil {
		return fmt.Errorf("tell the launcher: %w", err)
	}
	return nil
}

// fork makes b.main, which waits to be let in, and b.sync, which it waits at.
func (b *box) fork() error {
	sync, theirs, err := socketPair("fork")
	if err != nil {
		return err
	}
	defer theirs.Close()
	b.sync = sync
	var groups []*os.File
	defer func() {
		for _, f := range groups {
			f.Close()
		}
	}()
	for _, dir := range b.group.V1Paths() {
		f, err := os.OpenFile(filepath.Join(dir, "tasks"), os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		groups = append(groups, f)
	}
	return b.proc.withHandle(func(pidfd int) error {
		packet, fds := b.forkOrder(groups)
		fds[0], fds[1] = int(theirs.Fd()), pidfd
		pid, err := b.template.fork(packet, fds...)
		if err != nil {
			return err
		}
		b.main = &child{Pid: pid} // the template has it born as the node's
		return nil
	})
}

// letIn has the forked process enter the sandbox's namespaces and a user namespace
// of its own, and maps the ids there. It waits then.
func (b *box) letIn(rules *os.File) error {
	if err := b.sync.SetDeadline(time.Now().Add(forkMax)); err != nil {
		return err
	}
	if _, _, err := b.sync.WriteMsgUnix([]byte{'B'}, unix.UnixRights(int(rules.Fd())), nil); err != nil {
		return fmt.Errorf("the forked process ended: %w", err)
	}
	if err := b.hear('U'); err != nil {
		return err
	}
	return b.mapIDs(b.main.Pid)
}

// forkOrder is the packet for a template, and the descriptors that go with it:
// synchronisation and the launcher (which the caller puts in), stdout, stderr, the
// log, the cgroup to be born in, those to enter.
func (b *box) forkOrder(groups []*os.File) ([]byte, []int) {
	spec := &b.spec
	fds := []int{-1, -1, int(spec.Stdout.Fd()), int(spec.Stderr.Fd())}
	var log, cgroup uint64
	if spec.Log != nil {
		fds, log = append(fds, int(spec.Log.Fd())), 1
	}
	if fd := b.group.FD(); fd >= 0 {
		fds, cgroup = append(fds, fd), 1
	}
	for _, f := range groups {
		fds = append(fds, int(f.Fd()))
	}
	var packet []byte
	for _, n := range []uint64{log, cgroup, uint64(len(groups)), unix.SYS_GET_ROBUST_LIST, unix.SYS_SET_ROBUST_LIST, uint64(b.user)} {
		packet = binary.NativeEndian.AppendUint64(packet, n)
	}
	return append(packet, launch.ForkedTape(b.driver.order(b)).Encode()...), fds
}

// hear waits for a packet of the forked process that is this letter.
func (b *box) hear(letter byte) error {
	buf := make([]byte, 64)
	n, err := b.sync.Read(buf)
	switch {
	case err != nil || n == 0:
		return fmt.Errorf("the forked process ended: %w", orEOF(err))
	case buf[0] == 'E' && n == 17:
		return fmt.Errorf("%s: %w", launch.Step(word(buf[1:])), syscall.Errno(word(buf[9:])))
	case buf[0] != letter || n != 1:
		return fmt.Errorf("the forked process said %q", buf[:n])
	}
	return nil
}

func word(b []byte) uint64 { return binary.NativeEndian.Uint64(b) }

// mapIDs gives the forked process's user namespace its one user and one group.
func (b *box) mapIDs(pid int) error {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	for name, inside := range map[string]int{"uid_map": sandbox.UID, "gid_map": sandbox.GID} {
		line := fmt.Sprintf("%d %d 1", inside, b.user)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(line), 0); err != nil {
			return fmt.Errorf("map ids: %w", err)
		}
	}
	return nil
}

// release lets the forked process go on, now that it ends with the node, and
// waits until it is confined.
func (b *box) release() error {
	if _, err := b.sync.Write([]byte{'G'}); err != nil {
		return fmt.Errorf("the forked process ended: %w", err)
	}
	return errors.Join(b.hear('S'), b.sync.Close())
}

// endMain ends a process that was forked and will not be the sandbox's.
func (b *box) endMain() error {
	if b.sync != nil {
		b.sync.Close()
	}
	if b.main == nil {
		return nil
	}
	p := b.main
	b.main = nil
	return p.end()
}

// watchMain waits for the end of a forked program, and takes the rest of the
// sandbox with it.
func (b *box) watchMain() {
	b.main.awaitEnd()
	status, err := b.main.Wait()
	b.end(status, errors.Join(err, b.proc.end()))
}
