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

func (e *Environment) logInitStart() {
	v, now := e.cfg.Version, e.initBegan
	e.output.platform(now, &telemetry.InitStart{
		Time: now, InitializationType: telemetry.InitOnDemand, Phase: e.phase(),
		FunctionARN: v.ARN, Function: v.Name, Version: v.Number,
		RuntimeVersion: e.cfg.RuntimeVersion, RuntimeVersionARN: e.cfg.RuntimeVersionARN,
		Environment: e.cfg.ID, MaxMemory: v.Config.MemorySize,
	})
}

// logInitDone writes what the end of a good Init looks like: nothing in the text
// format, two records in the JSON format.
func (e *Environment) logInitDone() {
	now := time.Now()
	e.output.platform(now, &telemetry.InitRuntimeDone{Time: now,
		InitializationType: telemetry.InitOnDemand, Phase: e.phase(), Status: alcove.StatusSuccess})
	if e.cfg.Version.Config.Logging.JSON() {
		e.output.platform(now, &telemetry.InitReport{Time: now,
			InitializationType: telemetry.InitOnDemand, Phase: e.phase(), Status: alcove.StatusSuccess, Duration: e.initTook})
	}
}

func (e *Environment) logInitFailed(f *failure) {
	now := time.Now()
	e.output.platform(now, &telemetry.InitRuntimeDone{Time: now,
		InitializationType: telemetry.InitOnDemand, Phase: e.phase(), Status: f.status(), ErrorType: f.reportType()})
	e.output.platform(now, &telemetry.InitReport{Time: now,
		InitializationType: telemetry.InitOnDemand, Phase: e.phase(), Status: f.status(), ErrorType: f.reportType(), Duration: e.initTook})
	e.output.publish()
}

func (e *Environment) logStart(r *run) {
	e.output.platform(r.started, &telemetry.Start{Time: r.started, RequestID: r.inv.RequestID,
		FunctionARN: r.inv.InvokedARN, Version: e.cfg.Version.Number,
		Tracing: telemetry.Tracing{Value: r.inv.TraceID}, Tenant: r.inv.Tenant})
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
	e.output.platform(now, &telemetry.RuntimeDone{Time: now, RequestID: r.inv.RequestID, Status: rep.Status,
		ErrorType: rep.ErrorType, Duration: rep.Duration, Produced: int64(rep.BytesOut),
		Tracing: telemetry.Tracing{Value: r.inv.TraceID}, Tenant: rep.Tenant})
	report := telemetry.ReportOf(rep, now)
	report.Tracing = telemetry.Tracing{Value: r.inv.TraceID}
	e.output.platform(now, &report)
}
