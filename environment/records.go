package environment

import (
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/telemetry"
)

func (e *Environment) phase() string {
	if e.cfg.Suppressed {
		return telemetry.PhaseInvoke
	}
	return telemetry.PhaseInit
}

func (e *Environment) initType() string {
	if e.cfg.Provisioned {
		return telemetry.InitProvisioned
	}
	return telemetry.InitOnDemand
}

func (e *Environment) logInitStart() {
	v, now := e.cfg.Version, e.initBegan
	e.output.platform(now, &telemetry.InitStart{
		Time: now, InitializationType: e.initType(), Phase: e.phase(),
		FunctionARN: v.ARN, Function: v.Name, Version: v.Number,
		RuntimeVersion: e.cfg.RuntimeVersion, RuntimeVersionARN: e.cfg.RuntimeVersionARN,
		Environment: e.cfg.ID, MaxMemory: v.Config.MemorySize,
	})
}

// logRuntimeReady writes that the runtime is through its Init; extensions may not
// be.
func (e *Environment) logRuntimeReady() {
	now := time.Now()
	e.output.platform(now, &telemetry.InitRuntimeDone{Time: now,
		InitializationType: e.initType(), Phase: e.phase(), Status: alcove.StatusSuccess})
}

// logInitDone writes what the end of a good Init looks like: in the text format
// nothing but the extensions.
func (e *Environment) logInitDone() {
	now := time.Now()
	e.logExtensions(now)
	e.output.platform(now, &telemetry.InitReport{Time: now,
		InitializationType: e.initType(), Phase: e.phase(), Status: alcove.StatusSuccess, Duration: e.initTook})
}

func (e *Environment) logInitFailed(f *failure) {
	now := time.Now()
	if !e.ext.closed { // else it was not the runtime
		e.output.platform(now, &telemetry.InitRuntimeDone{Time: now,
			InitializationType: e.initType(), Phase: e.phase(), Status: f.status(), ErrorType: f.reportType()})
	}
	e.logExtensions(now)
	e.output.platform(now, &telemetry.InitReport{Time: now,
		InitializationType: e.initType(), Phase: e.phase(), Status: f.status(), ErrorType: f.reportType(), Duration: e.initTook})
	e.output.publish()
}

func (e *Environment) logStart(r *run) {
	e.output.platform(r.started, &telemetry.Start{Time: r.started, RequestID: r.inv.RequestID,
		FunctionARN: r.inv.InvokedARN, Version: e.cfg.Version.Number,
		Tracing: tracing(r.inv), Tenant: r.inv.Tenant})
}

// logEnd writes END, and REPORT as the last of the invocation's records.
func (e *Environment) logEnd(r *run, rep *alcove.Report, f *failure) {
	now := time.Now()
	if f != nil && f.message != "" && !f.bare {
		fault := &telemetry.Fault{Time: now, RequestID: r.inv.RequestID, Message: f.message, ErrorType: f.kind}
		if f.kind == timeoutKind {
			fault.Timeout = time.Duration(e.cfg.Version.Config.Timeout) * time.Second
		}
		e.output.text(now, fault)
	}
	report := telemetry.ReportOf(rep, now)
	if r.held {
		e.logRuntimeDone(r, time.Time{})
	}
	if !r.told {
		e.output.platform(now, &telemetry.RuntimeDone{Time: now, RequestID: r.inv.RequestID, Status: rep.Status,
			ErrorType: rep.ErrorType, Duration: rep.Duration, Produced: int64(rep.BytesOut), Spans: e.spans(r),
			Tracing: tracing(r.inv), Tenant: rep.Tenant})
	} else {
		report.Spans = []telemetry.Span{{Name: telemetry.SpanExtensionOverhead, Start: r.responded, Duration: now.Sub(r.responded)}}
	}
	report.Tracing, report.Segment = tracing(r.inv), segment(r.inv)
	e.output.platform(now, &report)
}

// tracing is what records say of an invocation's trace.
func tracing(inv *alcove.Invocation) telemetry.Tracing {
	t := telemetry.Tracing{Value: inv.TraceID}
	if inv.Traced {
		t.SpanID = inv.Trace.Parent.String()
	}
	return t
}

// segment is what the text of REPORT says of it.
func segment(inv *alcove.Invocation) telemetry.Segment {
	if !inv.Traced {
		return telemetry.Segment{}
	}
	return telemetry.Segment{Trace: inv.Trace.ID.Root(), ID: inv.Trace.Parent.String()}
}

// phases are what an invocation waited for of the environment's Init, the whole of it
// first: the making of the sandbox, and what its runtime and function did. An
// environment that was specialised had its sandbox already.
func (e *Environment) phases(r *run) []alcove.Phase {
	if r.inv.Trace.Sampled != alcove.Sampled || e.initTook == 0 || r.init == 0 && !(e.cfg.Suppressed && r.first) {
		return nil
	}
	end := e.initBegan.Add(e.initTook)
	list := []alcove.Phase{{Name: "init", Start: e.initBegan, End: end}}
	from := e.initBegan
	if made := e.sandboxMade; made.After(from) && made.Before(end) {
		list = append(list, alcove.Phase{Name: "init.sandbox", Start: from, End: made})
		from = made
	}
	return append(list, alcove.Phase{Name: "init.runtime", Start: from, End: end})
}

// logRuntimeDone writes that the runtime has done with an event whose answer extensions
// hold up, once: when it is back at /next, or when nobody waits for that any more and
// back is zero.
func (e *Environment) logRuntimeDone(r *run, back time.Time) {
	if r.told {
		return
	}
	r.told = true
	f, at := r.fail, r.responded
	done := &telemetry.RuntimeDone{RequestID: r.inv.RequestID, Status: alcove.StatusSuccess,
		Duration: r.responded.Sub(r.started), Produced: int64(len(r.payload)), Spans: e.spans(r),
		Tracing: tracing(r.inv), Tenant: r.inv.Tenant}
	if f != nil {
		done.Status, done.ErrorType, done.Produced = f.status(), f.reportType(), int64(len(f.body))
	}
	if r.streams {
		done.Produced += r.inv.Stream.Written()
	}
	if !back.IsZero() {
		at = back
		done.Spans = append(done.Spans, telemetry.Span{Name: telemetry.SpanRuntimeOverhead, Start: r.responded, Duration: back.Sub(r.responded)})
	}
	done.Time = at
	e.output.platform(at, done)
}

// spans are the parts of what a runtime did with an event, where somebody reads
// them: until it began to answer, and from there on. How long it takes to come back
// to /next is not known when an answer goes out that nothing holds up.
func (e *Environment) spans(r *run) []telemetry.Span {
	if r.responded.IsZero() || !e.cfg.Version.Config.Logging.JSON() && e.supervisor == nil {
		return nil
	}
	answered := r.responded
	if r.streams {
		answered = r.streamed
	}
	return []telemetry.Span{
		{Name: telemetry.SpanResponseLatency, Start: r.handed, Duration: answered.Sub(r.handed)},
		{Name: telemetry.SpanResponseDuration, Start: answered, Duration: r.responded.Sub(answered)},
	}
}
