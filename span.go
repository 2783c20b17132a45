package alcove

import "time"

// Span is one step of an invocation, as tracing tells of it (OpenTelemetry's
// word). It never has payloads, results or variables in it.
type Span struct {
	Trace  TraceID
	ID     SpanID
	Parent SpanID // zero is none
	State  string // tracestate
	Name   string
	Kind   SpanKind
	// Tenant is whose it is, or empty.
	Tenant     Tenant
	Start, End time.Time
	Attributes []Attribute
	// Failed is the type of the error that it ended with, or empty.
	Failed string
}

// SpanKind says which side of a call a span is, with OpenTelemetry's numbers.
type SpanKind int

// The kinds that there are here.
const (
	SpanInternal SpanKind = 1
	SpanServer   SpanKind = 2
	SpanConsumer SpanKind = 5
)

// Attribute is a name and what is to be said: a text, or a number if Text is empty.
type Attribute struct {
	Key    string
	Text   string
	Number int64
}

// Phase is a part of what an invocation waited for within its environment.
type Phase struct {
	Name       string
	Start, End time.Time
}
