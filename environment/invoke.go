package environment

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/runtimeapi"
)

// settlePatience is how long an invocation waits for a runtime that has answered
// the one before but not come back to /next; after that it is handed on.
const settlePatience = 50 * time.Millisecond

// settleLimit is how long a runtime that has answered may stay away from /next
// before its environment ends.
const settleLimit = 2 * time.Second

// run is one invocation in this environment.
type run struct {
	inv      *alcove.Invocation
	opts     InvokeOptions
	started  time.Time // when it began; zero before
	deadline time.Time
	first    bool          // it is the environment's first: it binds it to its tenant
	init     time.Duration // Init that its caller waited for
	reply    chan outcome  // has room for one
	streams  bool          // its answer has begun to go out
	fate     atomic.Int32  // of its event: see Gone
	gone     chan<- struct{}
}

// What is known of the fate of an event.
const (
	fateUnknown int32 = iota
	fateRead
	fateUnseen
)

// Gone implements runtimeapi.Fate.
func (r *run) Gone(unseen bool) {
	fate := fateRead
	if unseen {
		fate = fateUnseen
	}
	r.fate.CompareAndSwap(fateUnknown, fate)
	select {
	case r.gone <- struct{}{}:
	default:
	}
}

type outcome struct {
	result *alcove.Result
	err    error
}

// nextCall is a runtime that waits at /next.
type nextCall struct {
	deliver func(*runtimeapi.Event, error) // does not block
}

// InvokeOptions are what an invocation wants beyond its answer.
type InvokeOptions struct {
	// Tail asks for the last 4 KB of the invocation's log.
	Tail bool
	// Waited says that the caller waited for this environment's Init, so that
	// its duration belongs into the report.
	Waited bool
	// Why says in a few words why nothing quicker served the invocation, for its
	// report.
	Why string
}

// Invoke runs inv here and answers with what came of it. It waits for Init, if
// that is not done.
//
// Errors: ErrNotHandedOver and *InitError if the runtime did not see the event,
// ErrWrongTenant if it must not. Everything that happens later is a result; where
// the platform failed there is an error as well, and the result is only a report.
// The invocation goes on if ctx ends.
func (e *Environment) Invoke(ctx context.Context, inv *alcove.Invocation, o InvokeOptions) (*alcove.Result, error) {
	r := &run{inv: inv, opts: o, reply: make(chan outcome, 1), gone: e.gone}
	if err := e.send(ctx, func() { e.take(r) }); err != nil {
		return nil, err
	}
	out := <-r.reply
	return out.result, out.err
}

// take accepts an invocation, or refuses it.
func (e *Environment) take(r *run) {
	v := r.inv.Version
	if e.blank() || v.FunctionID != e.cfg.Version.FunctionID || v.Number != e.cfg.Version.Number || v.Generation != e.cfg.Version.Generation {
		r.reply <- outcome{err: ErrWrongTenant}
		return
	}
	if t, bound := e.Tenant(); bound && t != r.inv.Tenant {
		r.reply <- outcome{err: ErrWrongTenant}
		return
	}
	if e.closing || e.State() == Busy || e.pending != nil || e.current != nil {
		r.reply <- outcome{err: ErrNotHandedOver}
		return
	}
	e.bind(r)
	switch e.State() {
	case Idle:
		if e.waiting != nil {
			e.begin(r)
			e.handOver(r)
			return
		}
		// Its runtime has hung up on /next. It may ask again, if it can run.
		if err := e.thaw(); err != nil {
			r.reply <- outcome{err: ErrNotHandedOver}
			e.end()
			return
		}
		time.AfterFunc(settlePatience, func() {
			_ = e.send(context.Background(), func() { e.giveBack(r) })
		})
	case Settling:
		time.AfterFunc(settlePatience, func() {
			_ = e.send(context.Background(), func() { e.giveBack(r) })
		})
	case Creating, Initialising:
		if e.cfg.Suppressed {
			e.begin(r)
			if e.unstartable != nil {
				e.failInit(e.unstartable)
			}
			return
		}
	}
	e.pending = r
}

// bind gives the environment to the invocation's tenant, for life.
func (e *Environment) bind(r *run) {
	if _, bound := e.Tenant(); bound {
		return
	}
	if e.output != nil {
		e.output.drain() // what was written until now is nobody's
		e.output.publish()
	}
	t := r.inv.Tenant
	e.tenant.Store(&t)
	r.first = true
	if e.attached {
		e.traffic.since(e)                 // what passed until now is nobody's
		e.cfg.Network.RecheckOne(e.cfg.ID) // what it reached as nobody's may not be the tenant's to reach
	}
}

// giveBack returns an invocation that has waited too long for the runtime.
func (e *Environment) giveBack(r *run) {
	switch {
	case e.pending != r:
	case e.State() == Settling:
		e.pending = nil
		e.missed = true
		r.reply <- outcome{err: ErrNotHandedOver}
	case e.State() == Idle: // a runtime that went away and stays away
		e.end()
	}
}

// begin starts an invocation's clock and writes its START record.
func (e *Environment) begin(r *run) {
	e.current = r
	r.started = time.Now()
	timeout := time.Duration(e.cfg.Version.Config.Timeout) * time.Second
	r.deadline = r.started.Add(timeout)
	e.deadline.Reset(timeout)
	e.freezeAt.Stop()
	e.rest.ends(r.started)
	e.output.begin(r)
	e.logStart(r)
}

// handOver answers the runtime's /next with the event.
//
// Preconditions: e.waiting is set, r has begun, the state is Idle.
func (e *Environment) handOver(r *run) {
	if r.opts.Waited && !e.cfg.Suppressed && e.served.Load() == 0 {
		r.init = e.initTook
	}
	if err := e.thaw(); err != nil {
		e.cfg.Log.Error("environment cannot be thawed", "environment", e.cfg.ID, "error", err)
		e.handBack(r)
		e.end()
		return
	}
	e.become(Busy)
	w := e.waiting
	e.waiting = nil
	w.deliver(&runtimeapi.Event{
		RequestID:     r.inv.RequestID,
		TraceID:       r.inv.TraceID,
		FunctionARN:   r.inv.InvokedARN,
		Tenant:        r.inv.Tenant,
		ClientContext: r.inv.ClientContext,
		Deadline:      r.deadline,
		Payload:       r.inv.Payload,
		Fate:          r,
	}, nil)
}

// handBack returns an invocation that has begun and that no runtime has seen: it
// may begin again elsewhere, and nobody is told but its log, which has one START
// more.
func (e *Environment) handBack(r *run) {
	e.current = nil
	e.output.finish(r)
	r.reply <- outcome{err: ErrNotHandedOver}
}

// fatePatience bounds the wait for the connections of a runtime that is gone to
// end: the host closes them with its processes.
const fatePatience = 250 * time.Millisecond

// unseen tells whether the runtime of r, which was killed, cannot have seen its
// event: then it was dead, or as good as, when the event was sent. While it waits
// the environment goes on to take messages, so r may have been answered after it.
func (e *Environment) unseen(r *run) bool {
	patience := time.NewTimer(fatePatience)
	defer patience.Stop()
	for {
		if fate := r.fate.Load(); fate != fateUnknown {
			return fate == fateUnseen
		}
		select {
		case <-e.gone:
		case act := <-e.mail:
			act()
		case <-patience.C:
			return false
		}
	}
}

// arrived is a runtime at /next.
func (e *Environment) arrived(w *nextCall) {
	if e.blank() {
		w.deliver(nil, runtimeapi.ErrInvalidState)
		return
	}
	switch e.State() {
	case Creating: // quicker than the driver: sandboxCreated goes on with it
		if e.waiting != nil {
			w.deliver(nil, runtimeapi.ErrInvalidState)
			return
		}
		e.waiting = w
		return
	case Initialising:
		e.waiting = w
		e.initDone()
		if e.current != nil { // suppressed Init: the invocation has begun
			e.handOver(e.current)
			return
		}
	case Settling:
		e.deadline.Stop()
		e.waiting = w
		e.become(Idle)
	case Idle:
		if e.waiting != nil {
			w.deliver(nil, runtimeapi.ErrInvalidState)
			return
		}
		e.waiting = w
	default:
		w.deliver(nil, runtimeapi.ErrInvalidState)
		return
	}
	switch p := e.pending; {
	case p != nil:
		e.pending = nil
		e.rest.begins(time.Now()) // and ends at once
		e.begin(p)
		e.handOver(p)
	case e.closing:
		e.end()
	default:
		if e.cfg.FreezeAfter > 0 {
			e.rest.begins(time.Now())
			e.freezeAt.Reset(e.cfg.FreezeAfter)
		}
		if e.served.Load() == 0 || e.missed {
			e.missed = false
			e.free()
		}
	}
}

// left is a runtime that gave up waiting at /next: its connection is gone. It
// tells whether the runtime was still waiting.
func (e *Environment) left(w *nextCall) bool {
	if e.waiting != w {
		return false
	}
	e.waiting = nil
	return true
}

// responded is the runtime's answer to the invocation under way.
func (e *Environment) responded(requestID string, f *failure, payload []byte) error {
	r := e.current
	switch {
	case e.State() != Busy || r == nil:
		return runtimeapi.ErrInvalidState
	case r.inv.RequestID != requestID:
		return runtimeapi.ErrInvalidRequestID
	}
	e.output.drain()
	e.become(Settling)
	// The answer is out, so nobody pays for what runs on: a runtime that stays
	// away would hold its place for nothing.
	if left := time.Until(r.deadline); left > settleLimit {
		e.deadline.Reset(settleLimit)
	}
	if !e.closing {
		// Before the caller hears of it: its next invocation must find this
		// environment.
		e.free()
	}
	e.answer(r, f, payload)
	return nil
}

func (e *Environment) free() {
	if e.cfg.OnFree != nil {
		e.cfg.OnFree()
	}
}

// answer ends an invocation: its last records, its report, its caller.
func (e *Environment) answer(r *run, f *failure, payload []byte) {
	e.current = nil
	e.served.Add(1)
	if r.streams {
		r.inv.Stream.End()
		payload = nil
	}
	rep := e.report(r, f, payload)
	e.logEnd(r, &rep, f)
	res := &alcove.Result{Payload: payload, Report: rep}
	if f != nil {
		res.FunctionError = "Unhandled"
		res.Payload = f.bodyFor(r.inv)
		if f.kind == platformKind {
			r.reply <- outcome{result: res, err: alcove.PlatformError(errors.New("environment " + e.cfg.ID + ": the sandbox failed"))}
			e.output.finish(r)
			return
		}
	}
	res.LogTail = e.output.finish(r)
	r.reply <- outcome{result: res}
	if now := time.Now(); e.box != nil && e.memory.due(now, r.started) {
		e.sample(now)
	}
}

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
