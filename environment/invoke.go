package environment

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/runtimeapi"
)

// settlePatience is Config.SettlePatience where that is zero.
const settlePatience = 50 * time.Millisecond

// settleLimit is how long a runtime that has answered may stay away from /next
// before its environment ends.
const settleLimit = 2 * time.Second

// run is one invocation in this environment.
type run struct {
	inv      *alcove.Invocation
	opts     InvokeOptions
	offered  time.Time // when the environment was asked to run it
	started  time.Time // when it began; zero before
	deadline time.Time
	first    bool          // it is the environment's first: it binds it to its tenant
	init     time.Duration // Init that its caller waited for
	reply    chan outcome  // has room for one
	streams  bool          // its answer has begun to go out
	fate     atomic.Int32  // of its event: see Gone
	// Of an answer that extensions hold up: what the runtime has said, and when.
	responded time.Time
	handed    time.Time // when the runtime had the event
	streamed  time.Time // when it began to stream its answer
	fail      *failure
	payload   []byte
	held      bool // extensions hold it up
	told      bool // its runtimeDone has been written
	gone      chan<- struct{}
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
	// Beside is how many invocations its tenant has at this time on the node, this
	// one included.
	Beside int
}

// Invoke runs inv here and answers with what came of it. It waits for Init, if
// that is not done.
//
// Errors: ErrNotHandedOver and *InitError if the runtime did not see the event,
// ErrWrongTenant if it must not. Everything that happens later is a result; where
// the platform failed there is an error as well, and the result is only a report.
// The invocation goes on if ctx ends.
func (e *Environment) Invoke(ctx context.Context, inv *alcove.Invocation, o InvokeOptions) (*alcove.Result, error) {
	r := &run{inv: inv, opts: o, reply: make(chan outcome, 1), gone: e.gone, offered: time.Now()}
	if err := e.send(ctx, func() { e.take(r) }); err != nil {
		if errors.Is(err, ErrNotHandedOver) { // dead: nothing changes any more
			err = e.refusal()
		}
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
		r.reply <- outcome{err: e.refusal()}
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
		time.AfterFunc(e.cfg.SettlePatience, func() {
			_ = e.send(context.Background(), func() { e.giveBack(r) })
		})
	case Settling:
		time.AfterFunc(e.cfg.SettlePatience, func() {
			_ = e.send(context.Background(), func() { e.giveBack(r) })
		})
	case Creating, Initialising:
		if e.cfg.Suppressed {
			e.logInitStart()
			e.begin(r)
			if e.owed != nil {
				e.failInit(e.owed)
			}
			return
		}
	}
	e.pending = r
}

// refusal is the error of an invocation that is not taken.
func (e *Environment) refusal() error {
	if f := e.initFailed; f != nil && !e.cfg.Suppressed {
		return e.initError(f)
	}
	return ErrNotHandedOver
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
	trace := r.inv.Trace
	e.trace.Store(&trace)
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
	e.weigh(r.opts.Beside)
	if err := e.thaw(); err != nil {
		e.cfg.Log.Error("environment cannot be thawed", "environment", e.cfg.ID, "error", err)
		e.handBack(r)
		e.end()
		return
	}
	e.become(Busy)
	w := e.waiting
	e.waiting = nil
	r.handed = time.Now()
	w.deliver(&runtimeapi.Event{
		RequestID:     r.inv.RequestID,
		TraceID:       r.inv.TraceID,
		Traceparent:   r.inv.Trace.Traceparent(),
		Tracestate:    r.inv.Trace.State,
		FunctionARN:   r.inv.InvokedARN,
		Tenant:        r.inv.Tenant,
		ClientContext: r.inv.ClientContext,
		Deadline:      r.deadline,
		Payload:       r.inv.Payload,
		Fate:          r,
	}, nil)
	if len(e.ext.all) == 0 {
		return
	}
	e.ext.give(runtimeapi.ExtensionEvent{Type: runtimeapi.EventInvoke, Deadline: r.deadline, RequestID: r.inv.RequestID,
		FunctionARN: r.inv.InvokedARN, TraceID: r.inv.TraceID})
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
// event: then it was dead, or as good as, when the event was sent. Others have their
// turns while it waits, so r may have been answered after it.
//
// Preconditions: called by the goroutine of loop, in its turn.
func (e *Environment) unseen(r *run) bool {
	patience := time.NewTimer(fatePatience)
	defer patience.Stop()
	for {
		if fate := r.fate.Load(); fate != fateUnknown {
			return fate == fateUnseen
		}
		e.turn.Unlock()
		late := false
		select {
		case <-e.gone:
		case <-patience.C:
			late = true
		}
		e.turn.Lock()
		if late {
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
		if e.waiting != nil || e.owed != nil {
			w.deliver(nil, runtimeapi.ErrInvalidState)
			return
		}
		e.waiting = w
		if !e.ext.closed {
			e.ext.closed = true
			e.logRuntimeReady()
		}
		e.initialised()
		return
	case Finishing: // extensionsDone goes on with it
		if e.waiting != nil {
			w.deliver(nil, runtimeapi.ErrInvalidState)
			return
		}
		e.waiting = w
		e.logRuntimeDone(e.current, time.Now())
		return
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
	e.rested()
}

// rested is an environment that has nothing to do: it begins the invocation that
// waits, or ends if that was decided.
//
// Preconditions: e.waiting is set, the state is Idle.
func (e *Environment) rested() {
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
			now := time.Now()
			e.rest.begins(now)
			e.freezeAt.Reset(max(e.cfg.FreezeAfter, e.rest.patience(now)))
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
	r.responded = time.Now()
	if e.ext.working() {
		e.become(Finishing)
		r.fail, r.payload, r.held = f, payload, true
		return nil
	}
	e.settle(r, f, payload)
	return nil
}

// extensionsDone is the last extension back at /next: the invocation ends.
func (e *Environment) extensionsDone() {
	if r := e.current; e.State() == Finishing && r != nil {
		e.output.drain()
		e.settle(r, r.fail, r.payload)
		if w := e.waiting; w != nil && e.State() == Settling {
			e.waiting = nil
			e.arrived(w)
		}
	}
}

// settle gives the invocation its answer. The environment is free again when its
// runtime is at /next.
func (e *Environment) settle(r *run, f *failure, payload []byte) {
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
	res := &alcove.Result{Payload: payload, Report: rep, Phases: e.phases(r)}
	res.Waited, res.Made = e.waited(r)
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
