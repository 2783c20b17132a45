package environment

import (
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/runtimeapi"
)

// stream begins the answer to the invocation under way, if its caller reads it
// while it is made; else it gives nil. What is written to the stream goes past
// this goroutine, which ends the stream with the invocation: an answer that its
// caller takes too slowly meets the invocation's deadline.
func (e *Environment) stream(requestID, contentType string) (*alcove.Stream, error) {
	r := e.current
	switch {
	case e.State() != Busy || r == nil:
		return nil, runtimeapi.ErrInvalidState
	case r.inv.RequestID != requestID:
		return nil, runtimeapi.ErrInvalidRequestID
	case r.streams:
		return nil, runtimeapi.ErrInvalidState
	case r.inv.Stream == nil:
		return nil, nil
	}
	e.output.drain() // logs before answers
	r.streams, r.streamed = true, time.Now()
	r.inv.Stream.Begin(alcove.StreamStart{RequestID: requestID, Version: e.cfg.Version.Number,
		ContentType: contentType, Start: e.startOf(r), Trace: r.inv.TraceID})
	return r.inv.Stream, nil
}
