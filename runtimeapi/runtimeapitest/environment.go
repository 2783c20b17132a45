// Package runtimeapitest has an execution environment without a sandbox: the
// state machine that the Runtime API needs behind it, and nothing more. Tests of
// the API, and of the runtimes that talk to it, hand it events and read what
// came of them.
package runtimeapitest

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/alcove-run/alcove/runtimeapi"
)

// Outcome is how an invocation ended.
type Outcome struct {
	Payload  []byte // the result, if Fault is nil and TooLarge is false
	Fault    *runtimeapi.Fault
	TooLarge bool
}

// ErrClosed is what Invoke returns when the environment has been closed.
var ErrClosed = errors.New("runtimeapitest: environment closed")

// Environment is a [runtimeapi.Environment]. Make it with [New].
type Environment struct {
	events chan *runtimeapi.Event
	ready  chan struct{} // closed by the first Next
	failed chan runtimeapi.Fault
	closed chan struct{}
	told   chan []byte   // to a blank environment
	asked  chan struct{} // closed by the first Function

	// guarded by mu: until it has been told its function, while it asks, and once
	// it has asked
	blank, asking, wasAsked bool

	mu       sync.Mutex
	sink     io.Writer         // for answers that are streamed, see StreamTo
	waiting  bool              // a Next is blocked
	started  bool              // there has been a Next, or Init failed
	current  *runtimeapi.Event // handed out and not answered yet
	answered string            // request id of the last invocation answered
	outcome  chan<- Outcome    // where current's goes
	waiters  map[string]waiter // by request id, from Invoke until the hand-over
	closing  sync.Once
}

type waiter chan Outcome

// New makes an environment in its Init phase.
func New() *Environment {
	return &Environment{
		events:  make(chan *runtimeapi.Event),
		ready:   make(chan struct{}),
		failed:  make(chan runtimeapi.Fault, 1),
		closed:  make(chan struct{}),
		waiters: make(map[string]waiter),
	}
}

// NewBlank makes an environment that does not know its function; Specialise tells
// it, once.
func NewBlank() *Environment {
	e := New()
	e.blank, e.told, e.asked = true, make(chan []byte, 1), make(chan struct{})
	return e
}

// Asked is closed when the runtime of a blank environment has asked for its
// function.
func (e *Environment) Asked() <-chan struct{} { return e.asked }

// Specialise answers the runtime's question for its function.
func (e *Environment) Specialise(raw []byte) { e.told <- raw }

// Function implements [runtimeapi.Environment].
func (e *Environment) Function(ctx context.Context) ([]byte, error) {
	e.mu.Lock()
	blank, asking := e.blank, e.asking
	e.asking = blank
	if blank && !e.wasAsked {
		e.wasAsked = true
		close(e.asked)
	}
	e.mu.Unlock()
	switch {
	case !blank:
		return nil, runtimeapi.ErrFunctionKnown
	case asking:
		return nil, runtimeapi.ErrInvalidState
	}
	var raw []byte
	select {
	case raw = <-e.told:
	case <-ctx.Done():
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asking = false
	if raw == nil {
		return nil, ctx.Err()
	}
	e.blank = false
	return raw, nil
}

// Ready is closed when the runtime has asked for its first event.
func (e *Environment) Ready() <-chan struct{} { return e.ready }

// InitFailed delivers the runtime's report that Init failed.
func (e *Environment) InitFailed() <-chan runtimeapi.Fault { return e.failed }

// Close makes every call of Invoke return.
func (e *Environment) Close() { e.closing.Do(func() { close(e.closed) }) }

// Invoke hands ev to the runtime, as soon as it asks, and waits for the outcome.
func (e *Environment) Invoke(ctx context.Context, ev *runtimeapi.Event) (Outcome, error) {
	out := make(waiter, 1)
	e.mu.Lock()
	e.waiters[ev.RequestID] = out
	e.mu.Unlock()
	select {
	case e.events <- ev:
	case <-ctx.Done():
		return Outcome{}, ctx.Err()
	case <-e.closed:
		return Outcome{}, ErrClosed
	}
	select {
	case o := <-out:
		return o, nil
	case <-ctx.Done():
		return Outcome{}, ctx.Err()
	case <-e.closed:
		return Outcome{}, ErrClosed
	}
}

// Next implements [runtimeapi.Environment].
func (e *Environment) Next(ctx context.Context) (*runtimeapi.Event, error) {
	e.mu.Lock()
	if e.blank || e.waiting || e.current != nil {
		e.mu.Unlock()
		return nil, runtimeapi.ErrInvalidState
	}
	e.waiting = true
	if !e.started {
		e.started = true
		close(e.ready)
	}
	e.mu.Unlock()

	var ev *runtimeapi.Event
	select {
	case ev = <-e.events:
	case <-ctx.Done():
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.waiting = false
	if ev == nil {
		return nil, ctx.Err()
	}
	e.current, e.outcome = ev, e.waiters[ev.RequestID]
	delete(e.waiters, ev.RequestID)
	return ev, nil
}

// Response implements [runtimeapi.Environment].
func (e *Environment) Response(requestID, invocationID string, payload []byte) error {
	return e.end(requestID, invocationID, Outcome{Payload: payload})
}

// StreamTo has answers that are streamed go to w while they are made.
func (e *Environment) StreamTo(w io.Writer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sink = w
}

// Stream implements [runtimeapi.Environment].
func (e *Environment) Stream(requestID, invocationID, _ string) (io.Writer, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.runs(requestID, invocationID); err != nil {
		return nil, err
	}
	return e.sink, nil
}

// ResponseTooLarge implements [runtimeapi.Environment].
func (e *Environment) ResponseTooLarge(requestID string) error {
	return e.end(requestID, "", Outcome{TooLarge: true})
}

// Failure implements [runtimeapi.Environment].
func (e *Environment) Failure(requestID, invocationID string, f runtimeapi.Fault) error {
	return e.end(requestID, invocationID, Outcome{Fault: &f})
}

func (e *Environment) end(requestID, invocationID string, o Outcome) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.runs(requestID, invocationID); err != nil {
		return err
	}
	e.outcome <- o // has room for one, and gets one
	e.answered, e.current, e.outcome = requestID, nil, nil
	return nil
}

// runs says whether an invocation is the one under way.
//
// Preconditions: e.mu is held.
func (e *Environment) runs(requestID, invocationID string) error {
	switch {
	case e.current == nil && requestID != "" && requestID == e.answered:
		return runtimeapi.ErrInvalidState
	case e.current == nil || e.current.RequestID != requestID,
		invocationID != "" && e.current.InvocationID != invocationID:
		return runtimeapi.ErrInvalidRequestID
	}
	return nil
}

// InitFailure implements [runtimeapi.Environment].
func (e *Environment) InitFailure(f runtimeapi.Fault) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.started {
		return runtimeapi.ErrInvalidState
	}
	e.started = true
	e.failed <- f
	return nil
}
