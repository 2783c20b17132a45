package alcove

import (
	"net/netip"
	"time"
)

// Caller is who made a request, as auth found out. It is the first argument
// after the context of every method that acts for somebody.
type Caller struct {
	AccessKeyID string // empty with --auth none
	Account     string
	ARN         string
	UserID      string
	Source      netip.Addr // where the request came from; invalid if that is not known
}

// Invocation is one run of a function, from its acceptance to its report.
type Invocation struct {
	RequestID string // UUID
	Version   *Version
	// InvokedARN is the function's ARN with the qualifier that the caller gave,
	// if it gave one.
	InvokedARN string
	Tenant     Tenant
	Payload    []byte
	// ClientContext is JSON, decoded from what the caller sent; or empty.
	ClientContext string
	// Trace is the trace that the function gets, TraceID the same as an X-Ray trace
	// header. Traced says that its parent is this run's own segment.
	Trace    Trace
	TraceID  string
	Traced   bool
	Accepted time.Time
	// Stream is where the answer goes while it is made, if the caller reads it so
	// and the runtime sends it so. Nil is a caller that wants it whole.
	Stream *Stream
}

// Start says what an invocation found: an environment of its own, one that was
// initialised ahead, or none.
type Start string

// The kinds of start.
const (
	StartWarm         Start = "warm"
	StartStock        Start = "stock"
	StartRuntimeStock Start = "runtime-stock"
	StartSandbox      Start = "sandbox" // made ahead, without a program
	StartCold         Start = "cold"
)

// Status says how an invocation ended, in the words of platform.report.
type Status string

// The ways to end.
const (
	StatusSuccess Status = "success"
	StatusError   Status = "error"   // the function answered with an error, or its process ended
	StatusTimeout Status = "timeout" // the deadline passed
	StatusFailure Status = "failure" // the platform failed
)

// Report is the one record of how an invocation went: what REPORT lines,
// metrics and bills are made of.
type Report struct {
	RequestID     string        `json:"requestId"`
	FunctionID    string        `json:"functionId"`
	Function      string        `json:"function"`
	Version       string        `json:"version"`
	Tenant        Tenant        `json:"tenant,omitempty"`
	Environment   string        `json:"environment"`
	Isolation     string        `json:"isolation"` // the driver that confined it
	Started       time.Time     `json:"started"`
	Queued        time.Duration `json:"queued"`   // from acceptance to the event's hand-over, Init included if the caller waited for it
	Duration      time.Duration `json:"duration"` // of the invoke phase
	Billed        time.Duration `json:"billed"`   // whole milliseconds, rounded up
	Init          time.Duration `json:"init"`     // zero unless this invocation waited for it
	Start         Start         `json:"start"`
	StartReason   string        `json:"startReason,omitempty"` // why it was nothing quicker, in a few words; empty if warm
	Status        Status        `json:"status"`
	ErrorType     string        `json:"errorType,omitempty"`
	MemorySize    int           `json:"memorySize"`    // MB
	MaxMemoryUsed int           `json:"maxMemoryUsed"` // MB
	BytesIn       int           `json:"bytesIn"`
	BytesOut      int           `json:"bytesOut"`
	// Architecture and Ephemeral, the size of /tmp in MB, are the version's: prices
	// depend on them.
	Architecture string `json:"architecture,omitempty"`
	Ephemeral    int    `json:"ephemeral,omitempty"`
	// LogBytes, NetworkIn and NetworkOut are what the environment wrote to its log,
	// received and sent since its report before, or since it was bound.
	LogBytes   int64 `json:"logBytes,omitempty"`
	NetworkIn  int64 `json:"networkIn,omitempty"`
	NetworkOut int64 `json:"networkOut,omitempty"`
	// Connections are those that were made to the outside since then.
	Connections int64 `json:"connections,omitempty"`
	// QueueBytes is the size of an event that waited in a queue, in the report of
	// its first attempt only.
	QueueBytes int64 `json:"queueBytes,omitempty"`
	// Caller, AccessKey and Source are who asked for it, by ARN, key id and IP
	// address: the report is the record of an invocation that was allowed.
	Caller    string     `json:"caller,omitempty"`
	AccessKey string     `json:"accessKeyId,omitempty"`
	Source    netip.Addr `json:"source,omitzero"`
	// InvokedARN is the function's ARN with the qualifier that the caller named.
	InvokedARN string `json:"invokedArn,omitempty"`
	// Bound says that the environment was given to its tenant by this
	// invocation: the event that AWS charges a tenant environment's fee for.
	Bound bool `json:"bound,omitempty"`
	// Provisioned is how it stood to the provisioned concurrency of its version: it was
	// "used", or all was in use ("spillover"); empty if there is none.
	Provisioned string `json:"provisioned,omitempty"`
	// Attempt is which run of an event this was, from 1; zero if a caller waited
	// for the answer. Request id and attempt together are one report's.
	Attempt int `json:"attempt,omitempty"`
}

// Result is what an invocation answers to its caller.
type Result struct {
	// Payload is the function's answer, or the error object if FunctionError is set.
	// An answer that went out by the invocation's Stream is not here.
	Payload []byte
	// FunctionError is empty or "Unhandled", the X-Amz-Function-Error header.
	FunctionError string
	// LogTail is the last 4 KB of the invocation's log, if it was asked for.
	LogTail []byte
	Report  Report
	// Waited is what passed of Report.Queued before there was an environment for it,
	// or one was begun; Made what passed of Report.Init until the sandbox was there.
	Waited, Made time.Duration
	// Trace is the X-Ray trace header that the function ran with.
	Trace string
	// Phases are those of an Init that the invocation waited for, the whole of it
	// first, if its trace is recorded.
	Phases []Phase
}
