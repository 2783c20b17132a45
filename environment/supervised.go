package environment

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/supervise"
	"github.com/alcove-run/alcove/telemetry"
)

// Extensions is what a function with extensions needs.
type Extensions struct {
	// Paths are the programs of external extensions, in the sandbox; there are none if
	// all are internal.
	Paths []string
	// Supervisor is the program that starts them.
	Supervisor supervise.Program
}

// supervised says whether the environment has a supervisor.
func (c *Config) supervised() bool {
	return len(c.Extensions.Paths) > 0 || c.Extensions.Supervisor.Dir != ""
}

// maxQueue bounds what waits to be read by a supervisor, in bytes: it does not read
// while it is frozen.
const maxQueue = 256 << 10

// supervisor is the first process of a sandbox whose function has external
// extensions, at the other end of a socket. What it says is not to be trusted any
// more than what the function says.
type supervisor struct {
	listener net.Listener
	done     sync.WaitGroup

	mu   sync.Mutex
	wake *sync.Cond // on mu: queue is not empty, or closed
	// The fields below are guarded by mu.
	conn    net.Conn
	queue   []byte
	closed  bool
	dropped dropped // records since the last that was queued
}

// supervised has spec run the supervisor, which gets the program that spec has had,
// and waits for it.
func (e *Environment) supervised(spec *sandbox.Spec) error {
	l, err := listenUnix(spec.SocketDir, supervise.SocketName)
	if err != nil {
		return fmt.Errorf("listen for the supervisor: %w", err)
	}
	x := e.cfg.Extensions
	order := supervise.Order{Extensions: x.Paths, ExtensionEnv: extensionEnviron(spec.Env), Args: spec.Args, Env: spec.Env, Dir: spec.Dir}
	for _, p := range x.Paths {
		e.ext.all = append(e.ext.all, &extension{name: printableName(path.Base(p)), external: true, state: extStarted})
	}
	s := &supervisor{listener: l}
	s.wake = sync.NewCond(&s.mu)
	s.queue = supervise.AppendJSONFrame(nil, supervise.ToldOrder, order)
	e.supervisor = s
	e.output.feedTo(s)
	if len(x.Paths) == 0 {
		e.startRuntime()
	}
	s.done.Go(func() { e.follow(s) })
	s.done.Go(s.write)

	spec.Args, spec.Env, spec.Dir = []string{sandbox.ExtensionsDir + "/" + supervise.Name}, nil, "/"
	spec.Mounts = append(slices.Clone(spec.Mounts), sandbox.Mount{Source: x.Supervisor.Dir, Target: sandbox.ExtensionsDir})
	spec.TCP, spec.Template = true, false // extensions know nothing of sockets
	spec.Limits.Memory += x.Supervisor.Memory
	// The supervisor tells by its descriptors who wrote what.
	spec.Stderr = e.output.extensions.w
	return nil
}

// extensionEnviron is the part of a runtime's variables that extensions have.
func extensionEnviron(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		return strings.HasPrefix(kv, "_") || strings.HasPrefix(kv, "AWS_XRAY_CONTEXT_MISSING=")
	})
}

// printableName is the name of a file for records.
func printableName(name string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(name, "?"))
}

// follow takes the supervisor's one connection and passes on what it says: of each
// process one word, and no more.
func (e *Environment) follow(s *supervisor) {
	c, err := s.listener.Accept()
	_ = s.listener.Close()
	if err != nil || !s.connected(c) {
		return
	}
	in := bufio.NewReaderSize(c, 128)
	for range len(e.cfg.Extensions.Paths) + 1 {
		told, err := supervise.ReadTold(in)
		if err != nil {
			return // its end is the sandbox's
		}
		if e.send(context.Background(), func() { e.heard(told) }) != nil {
			return
		}
	}
}

func (s *supervisor) connected(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = c.Close()
		return false
	}
	s.conn = c
	s.wake.Signal()
	return true
}

// write writes what is queued.
func (s *supervisor) write() {
	var writing []byte
	for {
		s.mu.Lock()
		for !s.closed && (len(s.queue) == 0 || s.conn == nil) {
			s.wake.Wait()
		}
		if s.closed {
			s.mu.Unlock()
			return
		}
		c := s.conn
		writing, s.queue = s.queue, writing[:0]
		s.mu.Unlock()
		if _, err := c.Write(writing); err != nil {
			return
		}
		if cap(writing) > 16<<10 {
			writing = nil
		}
	}
}

// tell queues a frame. Nothing of the sandbox's can make it wait.
func (s *supervisor) tell(frame []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.queue = append(s.queue, frame...)
		s.wake.Signal()
	}
}

// record queues a record, if there is room; if not, that is told later.
func (s *supervisor) record(kind, forms byte, record []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	if len(s.queue) > 0 && len(s.queue)+len(record) > maxQueue {
		s.dropped.records++
		s.dropped.bytes += int64(len(record))
		return
	}
	if d := s.dropped; d.records > 0 {
		s.dropped = dropped{}
		now := time.Now()
		lost := &telemetry.LogsDropped{Time: now, Bytes: d.bytes, Records: d.records,
			Reason: "Some logs were dropped because the downstream consumer is slower than the logs production rate"}
		s.queue = supervise.AppendFrame(s.queue, supervise.ToldRecord, []byte{supervise.KindPlatform, supervise.AllForms}, lost.AppendJSON(nil))
	}
	s.queue = supervise.AppendFrame(s.queue, supervise.ToldRecord, []byte{kind, forms}, record)
	s.wake.Signal()
}

// close ends the connection, and waits until nobody uses it.
func (s *supervisor) close() {
	s.mu.Lock()
	s.closed = true
	c := s.conn
	s.wake.Broadcast()
	s.mu.Unlock()
	_ = s.listener.Close()
	if c != nil {
		_ = c.Close()
	}
	s.done.Wait()
}

// startRuntime has the runtime started: all extensions have registered.
func (e *Environment) startRuntime() {
	e.runtimeStarted = true
	e.supervisor.tell(supervise.AppendFrame(nil, supervise.ToldRuntime))
}

// heard is what the supervisor says of a process.
func (e *Environment) heard(t supervise.Told) {
	switch {
	case t.Index == supervise.RuntimeIndex && t.What == supervise.SaidEnded:
		e.runtimeExited(syscall.WaitStatus(t.Value))
	case t.Index == supervise.RuntimeIndex:
		args, dir := e.cfg.Spec.Args, e.cfg.Spec.Dir
		p := &sandbox.ProgramError{Path: args[0], Err: syscall.Errno(t.Value)}
		if t.What == supervise.SaidNoDir {
			p.Path, p.Dir = dir, true
		}
		e.extensionEnds(programFailure(p))
	case t.Index < 0 || int(t.Index) >= len(e.cfg.Extensions.Paths): // it makes that up
	case t.What == supervise.SaidEnded:
		e.extensionExited(e.ext.all[t.Index], syscall.WaitStatus(t.Value))
	default:
		x := e.ext.all[t.Index]
		x.state, x.errorType, x.gone = extLaunchError, "UnknownError", true
		errno := syscall.Errno(t.Value)
		if errors.Is(errno, syscall.EACCES) || errors.Is(errno, syscall.EPERM) {
			x.errorType = "PermissionDenied"
		}
		e.extensionEnds(&failure{kind: "Extension.LaunchError", message: "fork/exec " + e.cfg.Extensions.Paths[t.Index] + ": " + errno.Error()})
	}
}

// runtimeExited is the end of a runtime beside extensions, which are to hear of it.
func (e *Environment) runtimeExited(status syscall.WaitStatus) {
	e.runtimeGone = true
	if e.State() == Stopping {
		e.runtimeStopped()
		return
	}
	exit := sandbox.Exit{Code: status.ExitStatus()}
	if status.Signaled() {
		exit = sandbox.Exit{Signal: status.Signal()}
		if status.Signal() == syscall.SIGKILL && e.outOfMemory() {
			exit.OOM = true
		}
	}
	e.extensionEnds(exitFailure(exit))
}

// outOfMemory tells whether the host has ended a process of the sandbox because it
// had no memory left, as far as the driver knows while the sandbox runs.
func (e *Environment) outOfMemory() bool {
	o, ok := e.box.(interface{ OutOfMemory() bool })
	return ok && o.OutOfMemory()
}
