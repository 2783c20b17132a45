// Package invoke carries one invocation from its acceptance to its report:
// resolve, admit, lease, run, report. It decides who may run now and tells the
// caller why not; it knows no HTTP, no sandbox and no disk.
package invoke

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/environment"
	"github.com/alcove-run/alcove/pool"
)

// Catalog is what invoke reads of the desired state, from memory.
type Catalog interface {
	Resolve(ref alcove.Ref) (*alcove.Version, error)
	Function(name string) (*alcove.Function, error)
	// Unreserved is the account's concurrency less what functions have reserved.
	Unreserved() int
}

// Pool gives environments.
type Pool interface {
	Lease(ctx context.Context, v *alcove.Version, tenant alcove.Tenant, o pool.StartOptions) (pool.Lease, error)
}

// Journal takes reports. Append returns when the report survives this process.
type Journal interface {
	Append(*alcove.Report) error
}

// Config is what an Invoker is made from.
type Config struct {
	Catalog Catalog
	Pool    Pool
	Journal Journal
	// Throttled, if not nil, is told of every invocation that is refused with
	// TooManyRequestsException.
	Throttled func(ref alcove.Ref, tenant alcove.Tenant)
	// Provisioned is how much concurrency a version has provisioned; nil is none.
	Provisioned func(v *alcove.Version) int
	Tracing     Tracing
	Log         *slog.Logger
}

// Invoker runs invocations.
type Invoker struct {
	cfg     Config
	gauge   gauge
	pace    *pace
	sampler sampler
}

// New makes an Invoker.
func New(cfg Config) *Invoker {
	return &Invoker{cfg: cfg, pace: newPace(), gauge: gauge{reserved: make(map[string]int), tenants: make(map[alcove.Tenant]int), held: make(map[alcove.Tenant]int), functions: make(map[string]*level)}}
}

// Request is one invocation as a caller asked for it, checked for form.
type Request struct {
	Ref    alcove.Ref
	Tenant alcove.Tenant // empty if none was given
	// RequestID is a UUID of the caller's, if the event already names it; empty
	// has one made.
	RequestID string
	// Payload is the event. The Invoker keeps it: a runtime may still be reading
	// it when Invoke has returned, so the memory must never be used for anything
	// else, another tenant's event least of all.
	Payload       []byte
	ClientContext string // JSON
	// Trace is what the caller said of the trace that this is a part of.
	Trace alcove.Trace
	// Received is when the request came; zero is not known.
	Received time.Time
	Tail     bool // answer with the last 4 KB of the log
	DryRun   bool // check, but do not run
	// Stream is where the answer goes while it is made, if the function streams
	// it; nil is for an answer that is wanted whole.
	Stream *alcove.Stream
	// Event is a run that nobody waits for, or nil.
	Event *Event
}

// Event is what makes a request one run of an event.
type Event struct {
	// Attempt is which run of the event this is, from 1; the request id is the same
	// for all.
	Attempt int
	// FunctionID is the function that the event was accepted for: another one that
	// has its name by now is not invoked.
	FunctionID string
	// Begin is called before the function gets to see the event.
	Begin func()
}

// attempts bounds how often an invocation that no runtime has seen is offered to
// another environment.
const attempts = 4

// Invoke runs a function synchronously and answers with its result; a function
// that fails is a result too. The errors are *alcove.Error values.
//
// It goes on when ctx ends, as Lambda does when a client hangs up: the function
// has begun, and its report is owed.
func (i *Invoker) Invoke(ctx context.Context, caller alcove.Caller, req Request) (*alcove.Result, error) {
	accepted := time.Now()
	v, err := i.Check(req)
	if err != nil {
		return nil, err
	}
	if req.DryRun {
		return &alcove.Result{Report: alcove.Report{RequestID: uuid.NewString(), Version: v.Number}}, nil
	}
	f, err := i.beginTrace(v, req, accepted)
	if err != nil {
		return nil, err
	}
	release, err := i.admit(v, req.Tenant, req.Event != nil)
	if err != nil {
		i.land(f, v, req, nil, err)
		return nil, i.refused(req, err)
	}
	defer release()
	use, leave := i.enterProvisioned(v, req.Ref)
	defer leave()

	inv := &alcove.Invocation{
		RequestID:     cmp.Or(req.RequestID, uuid.NewString()),
		Version:       v,
		InvokedARN:    invokedARN(v, req.Ref),
		Tenant:        req.Tenant,
		Payload:       req.Payload,
		ClientContext: req.ClientContext,
		Trace:         f.trace,
		TraceID:       f.trace.Header(),
		Traced:        f.traced,
		Accepted:      accepted,
		Stream:        req.Stream,
	}
	if len(inv.Payload) == 0 {
		inv.Payload = emptyEvent
	}
	res, err := i.run(context.WithoutCancel(ctx), inv, req, f)
	i.land(f, v, req, res, err)
	if res != nil {
		res.Trace, res.Report.Provisioned = inv.TraceID, use
		if req.Event != nil {
			res.Report.Attempt = req.Event.Attempt
			if req.Event.Attempt == 1 {
				res.Report.QueueBytes = int64(len(inv.Payload))
			}
		}
		i.report(caller, inv, &res.Report)
	}
	if err != nil {
		return nil, i.refused(req, err)
	}
	return res, nil
}

// refused counts an invocation that was throttled, and gives the error that its
// caller sees.
func (i *Invoker) refused(req Request, err error) error {
	e := alcove.AsError(err)
	if e.Code == alcove.CodeTooManyRequests && i.cfg.Throttled != nil {
		i.cfg.Throttled(req.Ref, req.Tenant)
	}
	return e
}

// report writes the one report of an invocation that an environment has had, to
// whatever end.
func (i *Invoker) report(caller alcove.Caller, inv *alcove.Invocation, r *alcove.Report) {
	r.Caller, r.AccessKey, r.Source, r.InvokedARN = caller.ARN, caller.AccessKeyID, caller.Source, inv.InvokedARN
	if err := i.cfg.Journal.Append(r); err != nil {
		// The function has run and its caller gets the answer; what is lost is
		// said where the operator looks.
		i.cfg.Log.Error("report cannot be written", "requestId", inv.RequestID, "error", err)
	}
}

// Check says whether an invocation would be begun, but for whether there is room
// for it, and of what version.
func (i *Invoker) Check(req Request) (*alcove.Version, error) {
	v, err := i.cfg.Catalog.Resolve(req.Ref)
	if err != nil {
		return nil, err
	}
	if e := req.Event; e != nil && e.FunctionID != "" && e.FunctionID != v.FunctionID {
		return nil, alcove.NotFound(invokedARN(v, req.Ref))
	}
	if err := checkTenancy(v, req.Tenant); err != nil {
		return nil, err
	}
	if err := i.checkHeld(req.Tenant); err != nil {
		return nil, err
	}
	return v, checkState(v)
}

// emptyEvent is what a handler gets when the caller sent nothing.
var emptyEvent = []byte("{}")

// invokedARN is the ARN that the handler sees: qualified only if the caller
// named a qualifier.
func invokedARN(v *alcove.Version, ref alcove.Ref) string {
	if ref.Qualifier == "" {
		return v.ARN
	}
	return v.ARN + ":" + ref.Qualifier
}

// run leases an environment and invokes it. An Init that failed is repeated as a
// part of the invocation, as on AWS, and its error is then the answer. Where the
// platform failed there is an error, and a result that is only a report.
func (i *Invoker) run(ctx context.Context, inv *alcove.Invocation, req Request, f *flight) (*alcove.Result, error) {
	here, answered := i.pace.begin(pacedBy(inv.Version, inv.Tenant))
	defer answered()
	f.begins()
	o := pool.StartOptions{Background: req.Event != nil}
	began := false
	for n := 0; ; n++ {
		var res *alcove.Result
		from := f.clock()
		l, err := i.cfg.Pool.Lease(ctx, inv.Version, inv.Tenant, o)
		f.leased(from)
		if err == nil {
			if req.Event != nil && !began {
				began = true
				req.Event.Begin()
			}
			res, err = l.Environment.Invoke(ctx, inv, environment.InvokeOptions{Tail: req.Tail, Waited: l.Waited, Why: l.Why, Beside: here})
			if err == nil {
				return res, nil
			}
		}
		failed, initFailed := errors.AsType[*environment.InitError](err)
		switch {
		case n+1 == attempts:
			return res, err
		case initFailed && !o.Suppressed:
			o = pool.StartOptions{Suppressed: true, LogStream: failed.LogStream, Background: o.Background}
		case errors.Is(err, environment.ErrNotHandedOver):
			o.HandedBack = l.Environment
		default:
			return res, err
		}
	}
}
