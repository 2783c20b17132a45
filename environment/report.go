package environment

import (
	"time"

	"github.com/alcove-run/alcove"
)

// report makes the one report of an invocation.
func (e *Environment) report(r *run, f *failure, payload []byte) alcove.Report {
	v := e.cfg.Version
	now := time.Now()
	took := now.Sub(r.started)
	e.rest.worked(took)
	if e.box != nil && e.memory.due(now, r.started) && !e.memory.takePeak(e.box) {
		e.sample(now)
	}
	rep := alcove.Report{
		RequestID: r.inv.RequestID, FunctionID: v.FunctionID, Function: v.Name, Version: v.Number,
		Tenant: r.inv.Tenant, Environment: e.cfg.ID, Isolation: e.cfg.Driver.Name(),
		Started: r.started, Queued: r.started.Sub(r.inv.Accepted), Duration: took,
		Billed: (took + r.init + time.Millisecond - 1).Truncate(time.Millisecond),
		Init:   r.init, Start: alcove.StartWarm, Status: alcove.StatusSuccess,
		MemorySize: v.Config.MemorySize, MaxMemoryUsed: e.memory.peakMB(),
		BytesIn: len(r.inv.Payload), BytesOut: len(payload), Bound: r.first && v.Isolated(),
		Architecture: v.Config.Architecture, Ephemeral: v.Config.Ephemeral, LogBytes: e.output.takeLogged(),
	}
	rep.NetworkIn, rep.NetworkOut, rep.Connections = e.traffic.since(e)
	if r.first {
		rep.Start, rep.StartReason = e.startOf(r), r.opts.Why
		e.birth.Store(&birth{rep.Start, rep.StartReason})
	}
	if f != nil {
		rep.Status, rep.ErrorType = f.status(), f.reportType()
		rep.BytesOut = len(f.body)
	}
	if r.streams {
		rep.BytesOut += int(r.inv.Stream.Written())
	}
	return rep
}

// waited says how long an invocation had waited before this environment was there for
// it, or was begun, and how long its sandbox then took.
func (e *Environment) waited(r *run) (queue, made time.Duration) {
	if r.init == 0 {
		return max(r.offered.Sub(r.inv.Accepted), 0), 0
	}
	if e.sandboxMade.After(e.initBegan) {
		made = min(e.sandboxMade.Sub(e.initBegan), r.init)
	}
	return max(e.initBegan.Sub(r.inv.Accepted), 0), made
}

// startOf says what an invocation found.
func (e *Environment) startOf(r *run) alcove.Start {
	switch {
	case !r.first:
		return alcove.StartWarm
	case r.init == 0 && !e.cfg.Suppressed: // nobody waited for Init
		return alcove.StartStock
	case e.wasBlank && e.cfg.Shape.Held:
		return alcove.StartSandbox
	case e.wasBlank:
		return alcove.StartRuntimeStock
	}
	return alcove.StartCold
}
