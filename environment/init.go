package environment

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/alcove-run/alcove/runtimeapi"
	"github.com/alcove-run/alcove/sandbox"
)

// failure is why an environment, or an invocation in it, failed: an error type
// in Lambda's words, and the object that the caller is answered with.
type failure struct {
	kind    string
	message string
	bare    bool   // the message stands alone, without the request id
	body    []byte // as the runtime sent it; made from kind and message if nil
	oom     bool
}

// tcpListener is what a sandbox offers whose RuntimeAPIAddr is a listener held
// by this process rather than a forwarder in the sandbox.
type tcpListener interface{ TCPListener() net.Listener }

// created is what making the sandbox came to.
type created struct {
	box sandbox.Sandbox
	err error
}

// beginInit makes the directory, the socket and the pipes, and starts the
// sandbox in the background.
func (e *Environment) beginInit() {
	e.initBegan = time.Now()
	spec, err := e.prepare()
	if err != nil {
		e.cfg.Log.Error("environment cannot be prepared", "environment", e.cfg.ID, "error", err)
		e.failInit(platformFailure())
		return
	}
	if !e.cfg.Suppressed {
		e.deadline.Reset(e.cfg.InitTimeout)
		if !e.blank() {
			e.logInitStart()
		}
	}
	if f := e.cfg.invalid(); f != nil {
		e.output.closeWriters()
		e.failInit(f)
		return
	}
	e.making = true
	go func() {
		box, err := e.cfg.Driver.Create(context.Background(), spec)
		e.output.closeWriters()
		c := created{box, err}
		// Always delivered: end does not end the loop while a sandbox is in the
		// making.
		e.mail <- func() { e.sandboxCreated(c) }
	}()
}

// prepare makes what the sandbox needs on the host.
func (e *Environment) prepare() (sandbox.Spec, error) {
	sockets := filepath.Join(e.cfg.Dir, "socket")
	if err := os.MkdirAll(sockets, 0o755); err != nil {
		return sandbox.Spec{}, err
	}
	l, err := listenUnix(sockets, sandbox.SocketName)
	if err != nil {
		return sandbox.Spec{}, fmt.Errorf("listen on the Runtime API socket: %w", err)
	}
	e.server = runtimeapi.NewServer(runtimeSide{e}, ownConns(&e.cfg.Spec, e.cfg.Extensions), e.cfg.Spare, e.cfg.Log)
	e.serve(l)
	e.output, err = newOutput(e)
	if err != nil {
		return sandbox.Spec{}, fmt.Errorf("make pipes: %w", err)
	}
	spec := e.cfg.Spec
	spec.ID = e.cfg.ID
	spec.SocketDir = sockets
	spec.Link = e.cfg.Network != nil
	spec.Stdout, spec.Stderr, spec.Log = e.output.stdio.w, e.output.stdio.w, e.output.frames.w
	if e.cfg.supervised() {
		if err := e.supervised(&spec); err != nil {
			return sandbox.Spec{}, err
		}
	}
	return spec, nil
}

func (e *Environment) serve(l net.Listener) {
	e.serving.Go(func() {
		// The error is always that the listener was closed: by remove, or with
		// the sandbox.
		_ = e.server.Serve(l)
	})
}

// listenUnix listens on dir/name, however long dir is: a socket address has room
// for 107 bytes, so the directory is named by a descriptor.
func listenUnix(dir, name string) (net.Listener, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), name)})
	if err != nil {
		return nil, err
	}
	// The name dies with the directory; the descriptor's number may be
	// somebody else's by then.
	l.SetUnlinkOnClose(false)
	// The sandbox's user is nobody on this machine; the directory above is
	// closed to everybody else.
	if err := os.Chmod(filepath.Join(dir, name), 0o666); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// sandboxCreated goes on with Init, or gives up.
func (e *Environment) sandboxCreated(c created) {
	e.making = false
	if p, ok := errors.AsType[*sandbox.ProgramError](c.err); ok && !e.blank() {
		e.failInit(programFailure(p))
		return
	}
	if c.err != nil {
		e.cfg.Log.Error("sandbox cannot be made", "environment", e.cfg.ID, "error", c.err)
		e.failInit(platformFailure())
		return
	}
	e.box, e.boxDone = c.box, c.box.Done()
	e.sandboxMade = time.Now()
	if err := e.attach(); err != nil {
		e.cfg.Log.Error("environment has no network", "environment", e.cfg.ID, "error", err)
	}
	if t, ok := c.box.(tcpListener); ok {
		if l := t.TCPListener(); l != nil {
			e.serve(l)
		}
	}
	if e.closing { // decided while the sandbox was being made
		e.end()
		return
	}
	if e.blank() {
		e.readyBlank()
		return
	}
	e.become(Initialising)
	switch w := e.waiting; {
	case e.early != nil:
		e.failInit(e.early)
	case w != nil:
		e.waiting = nil
		e.arrived(w)
	}
}

// initDone is the first /next of the runtime, and of the last extension.
func (e *Environment) initDone() {
	e.initTook = time.Since(e.initBegan)
	if !e.cfg.Suppressed {
		e.deadline.Stop()
	}
	e.logInitDone()
	e.become(Idle)
	e.endSubscriptions()
	if e.cfg.OnInit != nil {
		e.cfg.OnInit(nil)
	}
}

// initialised goes on when a runtime, or an extension, has come to its first
// /next: Init is done when all have.
func (e *Environment) initialised() {
	if e.State() != Initialising || e.waiting == nil || !e.ext.ready() || e.owed != nil {
		return
	}
	e.initDone()
	if e.current != nil { // suppressed Init: the invocation has begun
		e.handOver(e.current)
		return
	}
	e.rested()
}

// failInit ends the environment because Init failed, and tells who waits for it.
func (e *Environment) failInit(f *failure) {
	if e.initFailed != nil {
		return
	}
	if e.blank() {
		e.failBlank(f)
		return
	}
	if e.cfg.Suppressed && e.current == nil && !e.closing && f.kind != platformKind {
		// The invocation that it is part of is on its way, and this is its answer.
		if e.owed == nil {
			e.owed = f
		}
		return
	}
	e.initFailed = f
	e.initTook = time.Since(e.initBegan)
	e.deadline.Stop()
	if e.output != nil {
		e.output.drain()
		if e.current != nil { // Init was part of the invocation
			e.logInitFailed(f)
			e.answer(e.current, f, nil)
		} else {
			e.logInitFailed(f)
		}
	}
	if e.cfg.OnInit != nil {
		e.cfg.OnInit(e.initError(f))
	}
	if f.kind == timeoutKind {
		e.endFor(reasonTimeout)
		return
	}
	e.endFor(reasonFailure)
}

func (e *Environment) initError(f *failure) error {
	return &InitError{Type: f.kind, LogStream: e.cfg.StreamName}
}
