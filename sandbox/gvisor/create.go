package gvisor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/internal/timerslack"
	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/cgroup"
)

// errClosed ends what is under way when the driver closes.
var errClosed = errors.New("gvisor: driver is closed")

// Create implements sandbox.Driver.
func (d *Driver) Create(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	began := time.Now()
	if err := validate(spec); err != nil {
		return nil, err
	}
	if len(spec.Late) > 0 && !d.root {
		return nil, errNoLate
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	b, err := d.register(spec.ID, cancel)
	if err != nil {
		return nil, err
	}
	defer close(b.settled)
	var made sandbox.Sandbox = b
	err = b.create(ctx, spec)
	if err == nil && (len(spec.Late) > 0 || held(spec)) {
		late, lerr := newBlank(b, spec)
		made, err = late, lerr
		if held(spec) {
			made = heldBox{late}
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("gvisor: sandbox %s: %w", spec.ID, err), b.remove())
	}
	b.trace.Total = time.Since(began)
	t := b.trace
	b.trace.Finish = t.Total - t.Prepare - t.Launch - t.Cgroup - t.Create - t.Start
	b.watch()
	return made, nil
}

// register makes the sandbox known before anything of it exists, so that Close
// finds it at any moment.
func (d *Driver) register(id string, cancel context.CancelCauseFunc) (*box, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, errClosed
	}
	if d.boxes[id] != nil {
		return nil, fmt.Errorf("gvisor: sandbox %s exists", id)
	}
	b := &box{
		driver:  d,
		id:      id,
		dir:     layout(filepath.Join(d.conf.Dir, boxesName, id)),
		cancel:  cancel,
		settled: make(chan struct{}),
		done:    make(chan struct{}),
		reaped:  make(chan struct{}),
	}
	d.boxes[id] = b
	return b, nil
}

// create makes everything of the sandbox. What it has made when it fails is
// for remove.
func (b *box) create(ctx context.Context, spec sandbox.Spec) error {
	began := time.Now()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	var err error
	if b.slots, err = writeBundle(spec, b.dir); err != nil {
		return err
	}
	if len(spec.Late) > 0 {
		if b.late, err = openLate(b.dir); err != nil {
			return err
		}
	}
	if b.exitPipe, err = openExitPipe(b.dir.path(exitName)); err != nil {
		return err
	}
	b.group, err = b.driver.conf.Cgroups.New(spec.ID, cgroup.Limits{
		Memory:    spec.Limits.Memory + memoryOverhead,
		CPU:       spec.Limits.CPU,
		Processes: 2*spec.Limits.Processes + processOverhead,
	})
	if err != nil {
		return err
	}
	if b.memoryEvent, err = endTogether(b.group.Paths()); err != nil {
		b.driver.noMemoryEvents.Do(func() {
			b.driver.conf.Log.Warn("a sandbox that is out of memory may lose single processes", "error", err)
		})
	}
	prepared, launched := time.Since(began), monotonic()
	ans, err := b.runStarter(ctx, spec)
	if err != nil {
		return err
	}
	b.group.Settle()
	b.trace = ans.Trace
	b.trace.Prepare = prepared
	b.trace.Launch = ans.Received - launched
	return b.adopt(ans)
}

// adopt gets hold of the processes that have become children of this one. Even
// those that have ended are still there.
func (b *box) adopt(ans answer) error {
	var err error
	if b.sentry, err = openProcess(ans.Sentry); err != nil {
		return err
	}
	b.gofer, err = openProcess(ans.Gofer)
	return err
}

// openExitPipe makes the FIFO into which the sentry writes how its first
// process ended, and opens its reading end. Every writing end is closed when
// the sentry is gone, however it went.
func openExitPipe(path string) (*os.File, error) {
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return nil, fmt.Errorf("exit pipe: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("exit pipe: %w", err)
	}
	return f, nil
}

// runStarter starts a starter, lets it make the sandbox, and waits for its end.
func (b *box) runStarter(ctx context.Context, spec sandbox.Spec) (answer, error) {
	var ans answer
	ours, theirs, err := socketPair()
	if err != nil {
		return ans, err
	}
	defer ours.Close()
	req := request{ID: spec.ID, Dir: string(b.dir), V1: b.group.V1Paths(), Log: spec.Log != nil, Init: spec.TCP || held(spec), Held: held(spec), Link: spec.Link, Late: len(spec.Late) > 0, Netns: b.driver.root}
	var said bounded
	cmd, err := b.launch(theirs, &said, &req)
	_ = theirs.Close()
	if err != nil {
		return ans, fmt.Errorf("starter: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()

	files := []*os.File{spec.Stdout, spec.Stderr}
	if req.Netns {
		files = append(files, b.driver.netns)
	}
	if spec.Log != nil {
		files = append(files, spec.Log)
	}
	if req.Init {
		files = append(files, b.driver.door)
	}
	if req.Held {
		r, w, err := os.Pipe()
		if err != nil {
			return ans, fmt.Errorf("order pipe: %w", err)
		}
		defer r.Close()
		b.program = w
		files = append(files, r)
	}
	if req.Link {
		ours, theirs, err := linkPair()
		if err != nil {
			return ans, err
		}
		defer theirs.Close()
		b.link = ours
		files = append(files, theirs)
	}
	text, err := converse(ours, req, files)
	if err == nil {
		err = json.Unmarshal(text, &ans)
	}
	if err != nil {
		_ = cmd.Process.Kill()
	}
	err = errors.Join(err, cmd.Wait())
	switch {
	case ctx.Err() != nil:
		return ans, context.Cause(ctx)
	case ans.Error != "":
		return ans, fmt.Errorf("starter: %s", ans.Error)
	case err != nil:
		return ans, fmt.Errorf("starter: %w: %s", err, bytes.TrimSpace(said.kept))
	}
	return ans, nil
}

// slack is what a sandbox's sentry and gofer have for their timers. A sentry that
// has rested is awake for about a millisecond for each call, in which its runtime's
// monitor would sleep and wake fifteen times. A tenant's timers are the sentry's:
// one of its sleeps may last so much longer.
const slack = 500 * time.Microsecond

// launch starts a starter, in the sandbox's cgroup of version 2 if the kernel
// can give birth there, else with the order to enter it.
func (b *box) launch(socket *os.File, said *bounded, req *request) (*exec.Cmd, error) {
	command := func() *exec.Cmd {
		cmd := exec.Command(b.driver.conf.Exe)
		cmd.Args = []string{argStarter, string(b.dir)}
		cmd.Env = []string{}
		cmd.Stderr = said
		cmd.ExtraFiles = []*os.File{socket}
		cmd.SysProcAttr = starterAttr(b.driver.root)
		return cmd
	}
	begin := func(cmd *exec.Cmd) error { return timerslack.Lend(slack, cmd.Start) }
	cmd := command()
	if b.group.FD() < 0 {
		return cmd, begin(cmd)
	}
	cmd.SysProcAttr.UseCgroupFD = true
	cmd.SysProcAttr.CgroupFD = b.group.FD()
	err := begin(cmd)
	if err == nil {
		return cmd, nil
	}
	// A container's own filter may know nothing of clone3.
	for _, dir := range b.group.Paths() {
		if !slices.Contains(req.V1, dir) {
			req.V2 = append(req.V2, dir)
		}
	}
	cmd = command()
	if again := begin(cmd); again != nil {
		return nil, errors.Join(err, again)
	}
	return cmd, nil
}

// converse sends the request with its descriptors and reads the answer, which
// is empty if the starter ends without one.
func converse(conn *net.UnixConn, req request, files []*os.File) ([]byte, error) {
	text, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	fds := make([]int, len(files))
	for i, f := range files {
		// Fd also makes a pipe blocking, which is a property that the sandbox's
		// descriptor shares: programs expect it of their output.
		fds[i] = int(f.Fd())
	}
	if _, _, err := conn.WriteMsgUnix(text, unix.UnixRights(fds...), nil); err != nil {
		return nil, err
	}
	buf := make([]byte, maxMessage)
	n, err := conn.Read(buf)
	return buf[:n], err
}

// socketPair makes the socket between the node and a starter. It keeps message
// boundaries.
func socketPair() (*net.UnixConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socket pair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "node"), os.NewFile(uintptr(fds[1]), "starter")
	conn, err := net.FileConn(ours)
	_ = ours.Close()
	if err != nil {
		_ = theirs.Close()
		return nil, nil, fmt.Errorf("socket pair: %w", err)
	}
	return conn.(*net.UnixConn), theirs, nil
}

// bounded keeps the first bytes of what is written to it and drops the rest.
type bounded struct{ kept []byte }

func (w *bounded) Write(p []byte) (int, error) {
	w.kept = append(w.kept, p[:min(len(p), 8<<10-len(w.kept))]...)
	return len(p), nil
}
