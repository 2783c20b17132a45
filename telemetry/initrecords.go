package telemetry

import (
	"strconv"
	"time"

	"github.com/alcove-run/alcove"
)

// InitStart is platform.initStart: an Init phase begins. No record of an Init
// phase names a tenant: none is known then.
type InitStart struct {
	Time               time.Time
	InitializationType string
	Phase              string
	FunctionARN        string
	Function           string
	Version            string
	RuntimeVersion     string // python:3.11.2, or empty
	RuntimeVersionARN  string
	Environment        string // id of the execution environment
	MaxMemory          int    // MB
	Tracing            Tracing
}

// AppendJSON implements Record.
func (r *InitStart) AppendJSON(dst []byte) []byte {
	dst = append(appendEnvelope(dst, r.Time, "platform.initStart"), '{')
	dst = appendMember(dst, "initializationType", r.InitializationType)
	dst = appendMember(dst, "phase", r.Phase)
	dst = appendMember(dst, "functionArn", r.FunctionARN)
	dst = appendMember(dst, "functionName", r.Function)
	dst = appendMember(dst, "functionVersion", r.Version)
	dst = appendMember(dst, "runtimeVersion", r.RuntimeVersion)
	dst = appendMember(dst, "runtimeVersionArn", r.RuntimeVersionARN)
	dst = appendMember(dst, "instanceId", r.Environment)
	if r.MaxMemory > 0 {
		dst = strconv.AppendInt(appendName(dst, "instanceMaxMemory"), int64(r.MaxMemory), 10)
	}
	dst = appendTracing(dst, r.Tracing)
	return append(dst, "}}"...)
}

// AppendText implements Record. Init repeated inside an invocation has no line.
func (r *InitStart) AppendText(dst []byte) []byte {
	if r.Phase == PhaseInvoke {
		return dst
	}
	dst = append(dst, "INIT_START Runtime Version: "...)
	dst = append(dst, r.RuntimeVersion...)
	if r.RuntimeVersionARN != "" {
		dst = append(dst, "\tRuntime Version ARN: "...)
		dst = append(dst, r.RuntimeVersionARN...)
	}
	return append(dst, '\n')
}

// Level implements Record.
func (r *InitStart) Level() Level {
	if r.RuntimeVersion != "" {
		return LevelInfo
	}
	return LevelDebug
}

// InitRuntimeDone is platform.initRuntimeDone: the runtime asked for its first
// event, or failed to.
type InitRuntimeDone struct {
	Time               time.Time
	InitializationType string
	Phase              string
	Status             alcove.Status
	ErrorType          string
	Spans              []Span
	Tracing            Tracing
}

// AppendJSON implements Record.
func (r *InitRuntimeDone) AppendJSON(dst []byte) []byte {
	dst = append(appendEnvelope(dst, r.Time, "platform.initRuntimeDone"), '{')
	dst = appendMember(dst, "initializationType", r.InitializationType)
	dst = appendMember(dst, "phase", r.Phase)
	dst = appendMember(dst, "status", string(r.Status))
	dst = appendMember(dst, "errorType", r.ErrorType)
	dst = appendSpans(dst, r.Spans)
	dst = appendTracing(dst, r.Tracing)
	return append(dst, "}}"...)
}

// AppendText implements Record: there is no line.
func (r *InitRuntimeDone) AppendText(dst []byte) []byte { return dst }

// Level implements Record.
func (r *InitRuntimeDone) Level() Level { return levelOfOutcome(r.Status, LevelDebug) }

// InitReport is platform.initReport: an Init phase ended.
type InitReport struct {
	Time               time.Time
	InitializationType string
	Phase              string
	Status             alcove.Status
	Duration           time.Duration
	ErrorType          string
	Spans              []Span
	Tracing            Tracing
}

// AppendJSON implements Record.
func (r *InitReport) AppendJSON(dst []byte) []byte {
	dst = append(appendEnvelope(dst, r.Time, "platform.initReport"), '{')
	dst = appendMember(dst, "initializationType", r.InitializationType)
	dst = appendMember(dst, "phase", r.Phase)
	dst = appendMember(dst, "status", string(r.Status))
	dst = append(appendName(dst, "metrics"), `{"durationMs":`...)
	dst = append(appendMillis(dst, r.Duration), '}')
	dst = appendMember(dst, "errorType", r.ErrorType)
	dst = appendSpans(dst, r.Spans)
	dst = appendTracing(dst, r.Tracing)
	return append(dst, "}}"...)
}

// AppendText implements Record. A successful Init of an environment made on
// demand has no line: its duration is in the first REPORT.
func (r *InitReport) AppendText(dst []byte) []byte {
	if r.Status == alcove.StatusSuccess && r.InitializationType == InitOnDemand {
		return dst
	}
	dst = append(dst, "INIT_REPORT Init Duration: "...)
	dst = appendMillisText(dst, r.Duration)
	dst = append(dst, " ms\tPhase: "...)
	dst = append(dst, r.Phase...)
	if r.Status != alcove.StatusSuccess {
		dst = appendTextStatus(append(dst, '\t'), r.Status, r.ErrorType)
	}
	return append(dst, '\n')
}

// Level implements Record.
func (r *InitReport) Level() Level {
	if r.InitializationType != InitOnDemand {
		return levelOfOutcome(r.Status, LevelInfo)
	}
	return levelOfOutcome(r.Status, LevelDebug)
}
