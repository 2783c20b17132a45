package environment

import (
	"slices"
	"time"

	"github.com/alcove-run/alcove/runtimeapi"
	"github.com/alcove-run/alcove/sandbox/supervise"
)

// Why an environment ends, as extensions are told.
const (
	reasonSpindown = "spindown"
	reasonTimeout  = "timeout" // of an invocation
	reasonFailure  = "failure"
)

// How long an environment may take to end by itself (developer guide, "Understanding
// the Lambda execution environment lifecycle"): nothing without extensions. Of that
// the runtime has its part before external extensions are told (runtime interface
// emulator, shutdown.go), and all of it if there are none.
const (
	stopExternal     = 2 * time.Second
	stopInternal     = 500 * time.Millisecond
	runtimeStopShare = 10 // that many parts in
	runtimeStopPart  = 3
)

// stopping is an end that extensions take part in.
type stopping struct {
	reason   string
	deadline time.Time
	told     bool  // the extensions have been
	holds    int64 // of Config.Linger
}

// stop has the runtime and the extensions end by themselves, and tells whether there
// is anybody to wait for.
func (e *Environment) stop(reason string) bool {
	external := slices.ContainsFunc(e.ext.all, func(x *extension) bool { return x.external && x.id != "" && !x.gone })
	internal := slices.ContainsFunc(e.ext.all, func(x *extension) bool { return !x.external })
	// Where there is no supervisor nobody can be told; an internal extension is told
	// by its runtime.
	if e.killed || e.supervisor == nil || e.box == nil || e.boxDone == nil || !external && (!internal || e.runtimeGone) {
		return false
	}
	// What it was last seen to use; it is frozen, or has just been measured.
	holds := e.memory.now.Load()
	if !e.cfg.Linger.take(holds) {
		return false
	}
	e.stopping.holds = holds
	if err := e.thaw(); err != nil {
		e.cfg.Log.Error("environment cannot be thawed to end", "environment", e.cfg.ID, "error", err)
		return false
	}
	budget := stopInternal
	if external {
		budget = stopExternal
	}
	e.become(Stopping)
	e.stopping.reason, e.stopping.deadline = reason, time.Now().Add(budget)
	e.supervisor.tell(supervise.AppendFrame(nil, supervise.ToldFlush))
	if e.runtimeGone || !e.runtimeStarted {
		e.stopOn()
		return true
	}
	e.supervisor.tell(supervise.AppendFrame(nil, supervise.ToldTerminate))
	if external { // else nobody is told behind it
		budget = budget * runtimeStopPart / runtimeStopShare
	}
	e.deadline.Reset(budget)
	return true
}

// runtimeStopped is the end of a runtime that was told to end.
func (e *Environment) runtimeStopped() {
	if !e.stopping.told {
		e.stopOn()
	}
}

// stopOn tells the extensions to end, or gives up waiting for them.
func (e *Environment) stopOn() {
	left := time.Until(e.stopping.deadline)
	if e.stopping.told || left <= 0 {
		e.stopOver()
		return
	}
	e.stopping.told = true
	e.ext.give(runtimeapi.ExtensionEvent{Type: runtimeapi.EventShutdown, Deadline: e.stopping.deadline, Reason: e.stopping.reason})
	e.deadline.Reset(left)
	e.stopped()
}

// stopped ends the environment once nobody is left to wait for. Extensions that did
// not ask to be told are not waited for.
func (e *Environment) stopped() {
	if !e.stopping.told {
		return
	}
	for _, x := range e.ext.all {
		if x.external && !x.gone && x.id != "" && x.wants(runtimeapi.EventShutdown) {
			return
		}
	}
	e.stopOver()
}

// stopOver is the end of it. What was written meanwhile is in the log.
func (e *Environment) stopOver() {
	e.output.drain()
	e.become(Ended)
}
