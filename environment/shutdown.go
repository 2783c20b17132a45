package environment

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/runtimeapi"
)

// end gives the environment up: whoever waits for it is told, and the loop goes
// on to remove it. While the driver is still making the sandbox that waits until
// it is made, so that nothing of it can be left.
func (e *Environment) end() { e.endFor(reasonSpindown) }

// endFor is end, with what extensions are told.
func (e *Environment) endFor(reason string) {
	if e.State() == Stopping {
		e.stopOver()
		return
	}
	e.closing = true
	e.deadline.Stop()
	e.freezeAt.Stop()
	if p := e.pending; p != nil {
		e.pending = nil
		if f := e.initFailed; f != nil {
			p.reply <- outcome{err: e.initError(f)}
		} else {
			p.reply <- outcome{err: ErrNotHandedOver}
		}
	}
	switch {
	case e.making, e.State() == Ended:
	case e.stop(reason):
	default:
		e.become(Ended)
	}
}

// exited is the end of the sandbox's first process.
func (e *Environment) exited() {
	exit := e.box.Exit()
	e.boxDone = nil
	e.output.drain()
	f := exitFailure(exit)
	switch e.State() {
	case Blank, Initialising:
		e.failInit(f)
	case Busy:
		r := e.current
		unseen := (exit.Signal == unix.SIGKILL || exit.Err != nil) && e.unseen(r)
		switch {
		case e.current != r: // answered meanwhile
		case unseen && !r.streams: // else somebody there has seen it
			e.handBack(r)
		default:
			e.answer(r, f, nil)
		}
		e.end()
	case Finishing:
		e.answer(e.current, f, nil)
		e.end()
	default:
		e.end()
	}
}

// expired is the end of the time that Init, or an invocation, may take.
func (e *Environment) expired() {
	switch {
	case e.current != nil && (e.State() == Busy || e.State() == Finishing || e.cfg.Suppressed):
		e.output.drain()
		f := timeoutFailure(e.current.inv)
		e.answer(e.current, f, nil)
		e.endFor(reasonTimeout)
	case e.State() == Creating || e.State() == Blank || e.State() == Initialising:
		e.failInit(&failure{kind: "Sandbox.Timedout"})
	default: // Settling: the runtime runs on beyond the invocation's deadline
		e.endFor(reasonTimeout)
	}
}

// remove destroys the sandbox and everything that was made for it. It tries
// until nothing is left: what stays behind would hold a tenant's bytes.
func (e *Environment) remove() {
	if e.waiting != nil {
		e.waiting.deliver(nil, runtimeapi.ErrInvalidState)
		e.waiting = nil
	}
	e.asking = nil // its answer is that the environment is dead
	e.detach()
	for wait := 10 * time.Millisecond; e.box != nil; wait = min(2*wait, 10*time.Second) {
		err := e.destroy()
		if err == nil {
			break
		}
		e.cfg.Log.Error("sandbox cannot be removed yet", "environment", e.cfg.ID, "error", err, "retryIn", wait)
		time.Sleep(wait)
	}
	e.cfg.Linger.give(e.stopping.holds)
	if e.server != nil {
		e.server.Close()
	}
	e.serving.Wait()
	if e.supervisor != nil {
		e.supervisor.close()
	}
	if e.output != nil {
		e.output.close()
	}
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		err := os.RemoveAll(e.cfg.Dir)
		if err == nil {
			return
		}
		e.cfg.Log.Error("environment's directory cannot be removed yet", "environment", e.cfg.ID, "error", err, "retryIn", wait)
		time.Sleep(wait)
	}
}

// destroy destroys the sandbox in its turn.
func (e *Environment) destroy() error {
	if e.cfg.Ends != nil {
		e.cfg.Ends <- struct{}{}
		defer func() { <-e.cfg.Ends }()
	}
	return e.box.Destroy()
}

// Close ends the environment as soon as no invocation is under way in it, at
// once if none is. It does not wait: Ended tells when nothing is left.
func (e *Environment) Close() {
	_ = e.send(context.Background(), func() {
		if e.current == nil && e.pending == nil {
			e.end()
			return
		}
		e.closing = true
	})
}

// Kill ends the environment at once; an invocation that is under way fails.
func (e *Environment) Kill() {
	_ = e.send(context.Background(), func() {
		if e.current != nil {
			e.output.drain()
			e.answer(e.current, platformFailure(), nil)
		}
		e.killed = true
		e.end()
	})
}

// String is for logs: "environment ID of ARN (state)".
func (e *Environment) String() string {
	of := "no function yet"
	if v := e.Version(); v != nil {
		of = v.QualifiedARN()
	}
	return fmt.Sprintf("environment %s of %s (%s)", e.cfg.ID, of, e.State())
}
