package telemetry

import (
	"strings"
	"time"

	"github.com/alcove-run/alcove"
)

// Record is anything that an environment puts into a log or a telemetry
// stream. Shapes: Lambda developer guide, "Telemetry API Event schema
// reference", and AWS's runtime interface emulator for what it leaves open.
type Record interface {
	// AppendJSON appends the record with its envelope, without a newline.
	AppendJSON(dst []byte) []byte
	// AppendText appends the line, or lines, of the text log format, each with
	// its newline; nothing for a record that the text format does not show.
	AppendText(dst []byte) []byte
	// Level is what SystemLogLevel filters by.
	Level() Level
}

// Values of InitializationType and Phase.
const (
	InitOnDemand    = "on-demand"
	InitProvisioned = "provisioned-concurrency"

	PhaseInit   = "init"
	PhaseInvoke = "invoke" // Init repeated inside an invocation
)

// Names of spans.
const (
	SpanResponseLatency   = "responseLatency"
	SpanResponseDuration  = "responseDuration"
	SpanRuntimeOverhead   = "runtimeOverhead"
	SpanExtensionOverhead = "extensionOverhead"
)

// Tracing is the X-Ray context of a record; none if Value is empty.
type Tracing struct {
	SpanID string
	Value  string // the X-Amzn-Trace-Id header
}

// Segment is what REPORT's text says of a trace that is recorded; none if Trace is
// empty.
type Segment struct{ Trace, ID string }

// Span is one measured part of a phase.
type Span struct {
	Name     string
	Start    time.Time
	Duration time.Duration
}

func appendTracing(dst []byte, t Tracing) []byte {
	if t.Value == "" {
		return dst
	}
	dst = append(appendName(dst, "tracing"), '{')
	dst = appendMember(dst, "spanId", t.SpanID)
	dst = appendMember(dst, "type", "X-Amzn-Trace-Id")
	dst = appendMember(dst, "value", t.Value)
	return append(dst, '}')
}

func appendSpans(dst []byte, spans []Span) []byte {
	if len(spans) == 0 {
		return dst
	}
	dst = append(appendName(dst, "spans"), '[')
	for i := range spans {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '{')
		dst = appendMember(dst, "name", spans[i].Name)
		dst = append(appendName(dst, "start"), '"')
		dst = append(AppendTime(dst, spans[i].Start), '"')
		dst = appendMillis(appendName(dst, "durationMs"), spans[i].Duration)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// appendTextStatus appends the Status and Error Type fields that end a REPORT
// or INIT_REPORT line of something that did not succeed.
func appendTextStatus(dst []byte, status alcove.Status, errorType string) []byte {
	dst = append(dst, "Status: "...)
	dst = append(dst, status...)
	if errorType != "" && status != alcove.StatusTimeout {
		dst = append(dst, "\tError Type: "...)
		dst = append(dst, errorType...)
	}
	return dst
}

// crashed says whether an invocation ended by something other than an answer
// of the runtime: what REPORT shows a status for. An exception that the handler
// raised and the runtime reported is not shown there.
func crashed(status alcove.Status, errorType string) bool {
	switch status {
	case alcove.StatusSuccess:
		return false
	case alcove.StatusError:
		return strings.HasPrefix(errorType, "Runtime.") ||
			strings.HasPrefix(errorType, "Sandbox.") || strings.HasPrefix(errorType, "Extension.")
	}
	return true
}

// levelOfOutcome is the level of a record that reports how something ended.
func levelOfOutcome(status alcove.Status, success Level) Level {
	if status == alcove.StatusSuccess {
		return success
	}
	return LevelWarn
}
