package runtimeapi

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/alcove-run/alcove"
)

// Event is one invocation as GET /next hands it out. The server only reads it,
// and may still do so after [Environment.Next] has returned it: neither the
// event nor its payload may be changed afterwards.
type Event struct {
	RequestID string
	// InvocationID names this attempt (Lambda-Runtime-Invocation-Id); clients
	// that know the header send it back. Empty leaves the header out.
	InvocationID string
	TraceID      string // X-Ray trace header, or empty
	// Traceparent and Tracestate are the same as W3C has it; empty if the caller did
	// not speak that.
	Traceparent, Tracestate string
	FunctionARN             string
	// Tenant goes to the runtime as Lambda-Runtime-Aws-Tenant-Id; empty leaves
	// the header out.
	Tenant          alcove.Tenant
	ClientContext   string // JSON, or empty
	CognitoIdentity string // JSON, or empty
	ContentType     string // empty means application/json
	Deadline        time.Time
	Payload         []byte
	// Fate, if not nil, is told when the connection that the event went out on has
	// ended and no other request has come through it.
	Fate Fate
}

// Fate learns what became of an event whose runtime is gone.
type Fate interface {
	// Gone says that the runtime's connection has ended. unseen is true only if
	// the runtime cannot have read all of the event. It does not block.
	Gone(unseen bool)
}

// Fault is what a runtime reports about an error of the function.
type Fault struct {
	// Type is the error type that the runtime gave if it has the form
	// "Runtime.Xyz" or "Function.Xyz"; anything else has become
	// Runtime.Unknown or Function.Unknown.
	Type string
	// Body is the error as the runtime sent it, at most alcove.MaxPayload
	// bytes, usually {"errorMessage","errorType","stackTrace"}. Nothing is
	// promised about it: it may be empty, and it need not be JSON.
	Body []byte
	// XRayCause is the cause for X-Ray, a JSON object of at most 64 KiB, or nil.
	XRayCause []byte
}

// Environment is what a [Server] speaks for. Its methods are called by many
// goroutines at once, because whatever runs in the sandbox may open as many
// connections as it likes and call anything at any time.
type Environment interface {
	// Next blocks until there is an event, until ctx is done (the client went
	// away, or the server was closed), or for ever. It returns [ErrInvalidState]
	// if another Next is blocked or if an invocation has not been answered yet.
	// The first Next ends the Init phase.
	Next(ctx context.Context) (*Event, error)
	// Response ends the invocation with its result. The environment owns
	// payload from then on. invocationID is what the client sent as
	// Lambda-Runtime-Invocation-Id, or empty. It returns [ErrInvalidRequestID]
	// unless requestID (and invocationID if given) is the one that is running,
	// and [ErrInvalidState] if it has been answered before.
	Response(requestID, invocationID string, payload []byte) error
	// Stream begins an answer that its caller gets while the runtime still makes
	// it: what the runtime sends is written to what is returned, whose Write blocks
	// for as long as the caller does not take it, and fails once the invocation is
	// over. Response, with no payload, or Failure ends the invocation. Nil is for a
	// caller that wants its answer whole. Errors as for Response, and
	// [ErrInvalidState] for an answer that has begun.
	Stream(requestID, invocationID, contentType string) (io.Writer, error)
	// ResponseTooLarge ends the invocation with Function.ResponseSizeTooLarge.
	// Errors as for Response.
	ResponseTooLarge(requestID string) error
	// Failure ends the invocation with an error of the function. Errors as for
	// Response.
	Failure(requestID, invocationID string, f Fault) error
	// Function blocks until an environment that was made before its function was
	// known is given one, and tells it: JSON, at most a few times the size of a
	// function's environment variables. It returns [ErrInvalidState] if another
	// Function is blocked, and [ErrFunctionKnown] if there is nothing to wait for:
	// for every call but one, in every environment but such a one.
	Function(ctx context.Context) ([]byte, error)
	// InitFailure reports that Init failed. It returns [ErrInvalidState] once
	// Init is over.
	InitFailure(f Fault) error
}

// Errors of an [Environment] that have an answer of their own; any other error
// is answered with status 500 and logged.
var (
	ErrInvalidRequestID = errors.New("runtimeapi: invalid request ID")
	ErrInvalidState     = errors.New("runtimeapi: state transition is not allowed")
)
