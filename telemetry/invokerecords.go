package telemetry

import (
	"strconv"
	"time"

	"github.com/alcove-run/alcove"
)

// Start is platform.start: an event was handed to the runtime.
type Start struct {
	Time        time.Time
	RequestID   string
	FunctionARN string
	Version     string
	Tracing     Tracing
	Tenant      alcove.Tenant
}

// AppendJSON implements Record.
func (r *Start) AppendJSON(dst []byte) []byte {
	dst = append(appendEnvelope(dst, r.Time, "platform.start"), '{')
	dst = appendMember(dst, "requestId", r.RequestID)
	dst = appendMember(dst, "functionArn", r.FunctionARN)
	dst = appendMember(dst, "version", r.Version)
	dst = appendTracing(dst, r.Tracing)
	dst = appendMember(dst, "tenantId", string(r.Tenant))
	return append(dst, "}}"...)
}

// AppendText implements Record.
func (r *Start) AppendText(dst []byte) []byte {
	dst = append(dst, "START RequestId: "...)
	dst = append(dst, r.RequestID...)
	dst = append(dst, " Version: "...)
	dst = append(dst, r.Version...)
	return append(dst, '\n')
}

// Level implements Record.
func (r *Start) Level() Level { return LevelInfo }

// RuntimeDone is platform.runtimeDone: the runtime finished with an event.
type RuntimeDone struct {
	Time      time.Time
	RequestID string
	Status    alcove.Status
	ErrorType string
	Duration  time.Duration
	Produced  int64 // bytes of the answer
	Spans     []Span
	Tracing   Tracing
	Tenant    alcove.Tenant
}

// AppendJSON implements Record.
func (r *RuntimeDone) AppendJSON(dst []byte) []byte {
	dst = append(appendEnvelope(dst, r.Time, "platform.runtimeDone"), '{')
	dst = appendMember(dst, "requestId", r.RequestID)
	dst = appendMember(dst, "status", string(r.Status))
	dst = appendMember(dst, "errorType", r.ErrorType)
	dst = append(appendName(dst, "metrics"), `{"durationMs":`...)
	dst = appendMillis(dst, r.Duration)
	dst = append(dst, `,"producedBytes":`...)
	dst = append(strconv.AppendInt(dst, r.Produced, 10), '}')
	dst = appendSpans(dst, r.Spans)
	dst = appendTracing(dst, r.Tracing)
	dst = appendMember(dst, "tenantId", string(r.Tenant))
	return append(dst, "}}"...)
}

// AppendText implements Record: the END line.
func (r *RuntimeDone) AppendText(dst []byte) []byte {
	dst = append(dst, "END RequestId: "...)
	dst = append(dst, r.RequestID...)
	return append(dst, '\n')
}

// Level implements Record.
func (r *RuntimeDone) Level() Level { return levelOfOutcome(r.Status, LevelDebug) }

// Report is platform.report: an invocation ended.
type Report struct {
	Time          time.Time
	RequestID     string
	Status        alcove.Status
	ErrorType     string
	Duration      time.Duration
	Billed        time.Duration // whole milliseconds
	MemorySize    int           // MB
	MaxMemoryUsed int           // MB
	Init          time.Duration // left out if zero
	Spans         []Span
	Tracing       Tracing
	Segment       Segment
	Tenant        alcove.Tenant
}

// ReportOf is the record of a report, at the time that the invocation ended.
func ReportOf(r *alcove.Report, at time.Time) Report {
	return Report{Time: at, RequestID: r.RequestID, Status: r.Status, ErrorType: r.ErrorType,
		Duration: r.Duration, Billed: r.Billed, MemorySize: r.MemorySize,
		MaxMemoryUsed: r.MaxMemoryUsed, Init: r.Init, Tenant: r.Tenant}
}

// AppendJSON implements Record.
func (r *Report) AppendJSON(dst []byte) []byte {
	dst = append(appendEnvelope(dst, r.Time, "platform.report"), '{')
	dst = appendMember(dst, "requestId", r.RequestID)
	dst = appendMember(dst, "status", string(r.Status))
	dst = appendMember(dst, "errorType", r.ErrorType)
	dst = r.appendMetrics(dst)
	dst = appendSpans(dst, r.Spans)
	dst = appendTracing(dst, r.Tracing)
	dst = appendMember(dst, "tenantId", string(r.Tenant))
	return append(dst, "}}"...)
}

// AppendText implements Record: the REPORT line. It never names the tenant, as
// far as is known of AWS's.
func (r *Report) AppendText(dst []byte) []byte {
	dst = append(dst, "REPORT RequestId: "...)
	dst = append(dst, r.RequestID...)
	dst = append(dst, "\tDuration: "...)
	dst = appendMillisText(dst, r.Duration)
	dst = append(dst, " ms\tBilled Duration: "...)
	dst = strconv.AppendInt(dst, r.Billed.Milliseconds(), 10)
	dst = append(dst, " ms\tMemory Size: "...)
	dst = strconv.AppendInt(dst, int64(r.MemorySize), 10)
	dst = append(dst, " MB\tMax Memory Used: "...)
	dst = strconv.AppendInt(dst, int64(r.MaxMemoryUsed), 10)
	dst = append(dst, " MB\t"...)
	if r.Init > 0 {
		dst = append(dst, "Init Duration: "...)
		dst = appendMillisText(dst, r.Init)
		dst = append(dst, " ms\t"...)
	}
	if crashed(r.Status, r.ErrorType) {
		dst = appendTextStatus(dst, r.Status, r.ErrorType)
	}
	dst = append(dst, '\n')
	if s := r.Segment; s.Trace != "" { // a line of its own, of the same record
		dst = append(append(dst, "XRAY TraceId: "...), s.Trace...)
		dst = append(append(dst, "\tSegmentId: "...), s.ID...)
		dst = append(dst, "\tSampled: true\t\n"...)
	}
	return dst
}

// Level implements Record.
func (r *Report) Level() Level { return levelOfOutcome(r.Status, LevelInfo) }
