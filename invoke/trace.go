package invoke

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/alcove-run/alcove"
)

// Tracing is who wants to know of traces. Nil members are nobody.
type Tracing struct {
	// Spans takes those of one invocation, when it is over. It must not block.
	Spans func([]alcove.Span)
	// Sample says whether a trace is recorded of which neither its caller nor its
	// function has decided that.
	Sample func(alcove.TraceID) bool
}

// flight is what is noted of one invocation for its trace.
type flight struct {
	trace  alcove.Trace  // as the function gets it
	caller alcove.SpanID // the caller's span
	// traced says that X-Ray would have a segment of the function, whose id is then
	// trace.Parent.
	traced bool
	told   bool // spans are wanted; the rest is set only then

	front, received, admitted time.Time
	leases                    []alcove.Phase
}

// decide makes of what the caller said of a trace what holds for all that v does in
// it: its id, and whether it is recorded.
func (i *Invoker) decide(v *alcove.Version, t alcove.Trace) alcove.Trace {
	if !t.Rooted() {
		t.ID = alcove.NewTraceID(time.Now())
	}
	if t.Sampled != alcove.Undecided {
		return t
	}
	t.Sampled = alcove.NotSampled
	switch {
	case v.Config.Tracing == "Active":
		if i.sampler.take(v.FunctionID, time.Now(), t.ID) {
			t.Sampled = alcove.Sampled
		}
	case i.cfg.Tracing.Spans != nil && i.cfg.Tracing.Sample(t.ID):
		t.Sampled = alcove.Sampled
	}
	return t
}

// beginTrace decides on the trace of an invocation, and counts it in its chain. A function
// that has run too often in one chain feeds itself, and is stopped unless its owner
// wants it so.
func (i *Invoker) beginTrace(v *alcove.Version, req Request, accepted time.Time) (*flight, error) {
	t := i.decide(v, req.Trace)
	f := &flight{trace: t, caller: t.Parent, told: t.Sampled == alcove.Sampled && i.cfg.Tracing.Spans != nil}
	f.traced = f.told || t.Sampled == alcove.Sampled && v.Config.Tracing == "Active"
	if f.traced || t.Parent == (alcove.SpanID{}) {
		f.trace.Parent = alcove.NewSpanID()
	}
	if f.told {
		f.received, f.front = accepted, accepted
		if !req.Received.IsZero() {
			f.front = req.Received
		}
	}
	if runs := f.trace.Enter(v.FunctionID); runs <= alcove.MaxRecursion {
		return f, nil
	}
	if fn, err := i.cfg.Catalog.Function(v.Name); err != nil || fn.RecursiveLoop == "Allow" {
		return f, err
	}
	return f, alcove.ClientError(alcove.CodeRecursiveInvocation,
		"The function was invoked more than %d times in one chain of requests, which looks like a recursive loop. Set its recursion configuration to Allow if that is meant.", alcove.MaxRecursion)
}

// begins notes that the invocation was let in.
func (f *flight) begins() {
	if f.told {
		f.admitted = time.Now()
	}
}

// leased notes what one wait for an environment came to.
func (f *flight) leased(from time.Time) {
	if f.told {
		f.leases = append(f.leases, alcove.Phase{Name: "lease", Start: from, End: time.Now()})
	}
}

// clock is the time, if somebody wants to know.
func (f *flight) clock() (now time.Time) {
	if f.told {
		now = time.Now()
	}
	return now
}

// land tells the spans of an invocation that is over: front, from its request to its
// answer; admit, until it was let in; lease, until it had an environment, with the
// Init that it waited for; and invoke, whose id is the parent that the function was
// told. res is nil if no environment had it.
func (i *Invoker) land(f *flight, v *alcove.Version, req Request, res *alcove.Result, err error) {
	if !f.told {
		return
	}
	now := time.Now()
	list := make([]alcove.Span, 0, 8)
	add := func(name string, parent alcove.SpanID, start, end time.Time) *alcove.Span {
		list = append(list, alcove.Span{Trace: f.trace.ID, ID: alcove.NewSpanID(), Parent: parent, State: f.trace.State,
			Name: name, Kind: alcove.SpanInternal, Tenant: req.Tenant, Start: start, End: end})
		return &list[len(list)-1]
	}
	front := add("front", f.caller, f.front, now)
	front.Kind = alcove.SpanServer
	front.Attributes = append(front.Attributes, alcove.Attribute{Key: "faas.name", Text: v.Name}, alcove.Attribute{Key: "faas.version", Text: v.Number},
		alcove.Attribute{Key: "aws.lambda.invoked_arn", Text: invokedARN(v, req.Ref)})
	if req.Event != nil {
		front.Kind = alcove.SpanConsumer
		front.Attributes = append(front.Attributes, alcove.Attribute{Key: "alcove.event.attempt", Number: int64(req.Event.Attempt)})
	}
	if err != nil {
		front.Failed = alcove.AsError(err).Code
	}
	if res != nil && res.FunctionError != "" {
		front.Failed = errorType(&res.Report)
	}
	id := front.ID // front may move
	admitted := f.admitted
	if admitted.IsZero() { // it was not
		admitted = now
	}
	admit := add("admit", id, f.received, admitted)
	if f.admitted.IsZero() {
		admit.Failed = list[0].Failed
	}
	lease := id
	for _, l := range f.leases {
		lease = add(l.Name, id, l.Start, l.End).ID
	}
	if res == nil || res.Report.Started.IsZero() {
		i.cfg.Tracing.Spans(list)
		return
	}
	r := &res.Report
	under := lease
	if r.Init == 0 { // Init that is repeated is a part of the invocation
		under = f.trace.Parent
	}
	for n, p := range res.Phases {
		s := add(p.Name, under, p.Start, p.End)
		if n == 0 {
			under = s.ID
		}
	}
	run := add("invoke", id, r.Started, r.Started.Add(r.Duration))
	run.ID = f.trace.Parent
	run.Attributes = []alcove.Attribute{{Key: "faas.name", Text: v.Name}, {Key: "faas.version", Text: v.Number}, {Key: "faas.invocation_id", Text: r.RequestID},
		{Key: "alcove.start", Text: string(r.Start)}, {Key: "alcove.environment.id", Text: r.Environment}, {Key: "alcove.isolation", Text: r.Isolation},
		{Key: "alcove.billed_ms", Number: r.Billed.Milliseconds()}, {Key: "alcove.max_memory_mb", Number: int64(r.MaxMemoryUsed)}}
	if r.StartReason != "" {
		run.Attributes = append(run.Attributes, alcove.Attribute{Key: "alcove.start.reason", Text: r.StartReason})
	}
	if r.Status != alcove.StatusSuccess {
		run.Failed = errorType(r)
	}
	i.cfg.Tracing.Spans(list)
}

// errorType is what a failed invocation's error is called.
func errorType(r *alcove.Report) string {
	if r.ErrorType != "" {
		return r.ErrorType
	}
	return string(r.Status)
}

// Accept gives the trace that the runs of an event get. taken is called when the event
// is kept: that is a span of its own, of which the runs are children.
func (i *Invoker) Accept(v *alcove.Version, req Request) (t alcove.Trace, taken func()) {
	t = i.decide(v, req.Trace)
	if t.Sampled != alcove.Sampled || i.cfg.Tracing.Spans == nil {
		return t, func() {}
	}
	now := time.Now()
	s := alcove.Span{Trace: t.ID, ID: alcove.NewSpanID(), Parent: t.Parent, State: t.State, Name: "accept", Kind: alcove.SpanServer, Tenant: req.Tenant, Start: now,
		Attributes: []alcove.Attribute{{Key: "faas.name", Text: v.Name}, {Key: "faas.version", Text: v.Number}, {Key: "aws.lambda.invoked_arn", Text: invokedARN(v, req.Ref)}}}
	if !req.Received.IsZero() {
		s.Start = req.Received
	}
	t.Parent = s.ID
	return t, func() {
		s.End = time.Now()
		i.cfg.Tracing.Spans([]alcove.Span{s})
	}
}

// sampler decides which traces of functions with active tracing are recorded: the
// first of each second, and one in twenty of the others (developer guide, "Visualize
// Lambda function invocations using AWS X-Ray").
type sampler struct {
	mu      sync.Mutex
	seconds map[string]int64 // by function id, when it had its one; guarded by mu
}

// maxSampled bounds the functions that the sampler knows: beyond, it forgets those
// that were last seen in a second that is over.
const maxSampled = 1000

func (s *sampler) take(functionID string, now time.Time, id alcove.TraceID) bool {
	second := now.Unix()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seconds[functionID] != second {
		if s.seconds == nil || len(s.seconds) >= maxSampled {
			old := s.seconds
			s.seconds = make(map[string]int64)
			for f, at := range old {
				if at == second {
					s.seconds[f] = at
				}
			}
		}
		s.seconds[functionID] = second
		return true
	}
	return InShare(id, 0.05)
}

// InShare says whether a trace is in a share of all, from 0 to 1: a question of its id
// alone, so that every node says the same of it.
func InShare(id alcove.TraceID, share float64) bool {
	return float64(binary.BigEndian.Uint64(id[8:])>>11) < share*(1<<53)
}
