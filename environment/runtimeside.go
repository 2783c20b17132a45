package environment

import (
	"context"
	"errors"

	"github.com/alcove-run/alcove/runtimeapi"
)

// runtimeSide is the environment as its runtime sees it, through the Runtime
// API. Its methods run on the API's goroutines and only send messages.
type runtimeSide struct{ e *Environment }

// Next implements runtimeapi.Environment.
func (s runtimeSide) Next(ctx context.Context) (*runtimeapi.Event, error) {
	w := &nextCall{reply: make(chan nextReply, 1)}
	if err := s.e.send(ctx, func() { s.e.arrived(w) }); err != nil {
		return nil, err
	}
	select {
	case r := <-w.reply:
		return r.event, r.err
	case <-ctx.Done():
		_ = s.e.send(context.WithoutCancel(ctx), func() { s.e.left(w) })
		// An event that was handed over in the meantime is lost with its
		// runtime; the invocation ends by its exit or its deadline.
		return nil, ctx.Err()
	case <-s.e.dead:
		return nil, runtimeapi.ErrInvalidState
	}
}

// Function implements runtimeapi.Environment.
func (s runtimeSide) Function(ctx context.Context) ([]byte, error) {
	w := &functionCall{reply: make(chan []byte, 1)}
	if err := s.tell(func() error { return s.e.asked(w) }); err != nil {
		return nil, err
	}
	select {
	case raw := <-w.reply:
		return raw, nil
	case <-ctx.Done():
		// A runtime that gives up waiting is of no use to anybody.
		_ = s.e.send(context.WithoutCancel(ctx), func() { s.e.hungUp(w) })
		return nil, ctx.Err()
	case <-s.e.dead:
		return nil, runtimeapi.ErrInvalidState
	}
}

// Response implements runtimeapi.Environment.
func (s runtimeSide) Response(requestID, _ string, payload []byte) error {
	return s.tell(func() error { return s.e.responded(requestID, nil, payload) })
}

// ResponseTooLarge implements runtimeapi.Environment.
func (s runtimeSide) ResponseTooLarge(requestID string) error {
	f := &failure{kind: "Function.ResponseSizeTooLarge", bare: true,
		message: "Response payload size exceeded maximum allowed payload size (6291556 bytes)."}
	return s.tell(func() error { return s.e.responded(requestID, f, nil) })
}

// Failure implements runtimeapi.Environment.
func (s runtimeSide) Failure(requestID, _ string, f runtimeapi.Fault) error {
	fail := &failure{kind: f.Type, body: f.Body}
	return s.tell(func() error { return s.e.responded(requestID, fail, nil) })
}

// InitFailure implements runtimeapi.Environment.
func (s runtimeSide) InitFailure(f runtimeapi.Fault) error {
	return s.tell(func() error {
		fail := &failure{kind: f.Type, body: f.Body}
		switch s.e.State() {
		case Creating:
			if s.e.early == nil {
				s.e.early = fail
			}
		case Initialising:
			s.e.failInit(fail)
		default:
			return runtimeapi.ErrInvalidState
		}
		return nil
	})
}

// tell has act done by the owning goroutine and answers with what it says.
func (s runtimeSide) tell(act func() error) error {
	err := s.e.ask(context.Background(), act)
	if errors.Is(err, ErrNotHandedOver) {
		return runtimeapi.ErrInvalidState
	}
	return err
}
