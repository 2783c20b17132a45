package environment

import (
	"context"
	"errors"
	"io"

	"github.com/alcove-run/alcove/runtimeapi"
)

// runtimeSide is the environment as its runtime sees it, through the Runtime
// API. Its methods run on the API's goroutines and only send messages.
type runtimeSide struct{ e *Environment }

// Await implements runtimeapi.Awaiter.
func (s runtimeSide) Await(deliver func(*runtimeapi.Event, error)) (leave func() bool) {
	w := &nextCall{deliver: deliver}
	if err := s.e.send(context.Background(), func() { s.e.arrived(w) }); err != nil {
		deliver(nil, runtimeapi.ErrInvalidState)
		return func() bool { return false }
	}
	return func() bool {
		// An event that is handed over before the runtime is known to have left is
		// lost with it; the invocation ends by its exit or its deadline.
		left := make(chan bool, 1)
		err := s.e.send(context.Background(), func() { left <- s.e.left(w) })
		return err == nil && <-left
	}
}

// Next implements runtimeapi.Environment.
func (s runtimeSide) Next(ctx context.Context) (*runtimeapi.Event, error) {
	type reply struct {
		event *runtimeapi.Event
		err   error
	}
	replies := make(chan reply, 1)
	leave := s.Await(func(ev *runtimeapi.Event, err error) { replies <- reply{ev, err} })
	select {
	case r := <-replies:
		return r.event, r.err
	case <-ctx.Done():
		if leave() {
			return nil, ctx.Err()
		}
		select {
		case r := <-replies: // handed out to nobody
			if r.event != nil {
				r.event.Fate.Gone(true)
			}
		default:
		}
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

// Stream implements runtimeapi.Environment.
func (s runtimeSide) Stream(requestID, _, contentType string) (to io.Writer, err error) {
	err = s.tell(func() error {
		begun, err := s.e.stream(requestID, contentType)
		if begun != nil {
			to = begun
		}
		return err
	})
	return to, err
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

var _ runtimeapi.Extensions = runtimeSide{}

// Register implements runtimeapi.Extensions.
func (s runtimeSide) Register(name string, events []string) (made runtimeapi.Registered, err error) {
	err = s.tell(func() (err error) {
		made, err = s.e.register(name, events)
		return err
	})
	return made, err
}

// NextEvent implements runtimeapi.Extensions.
func (s runtimeSide) NextEvent(ctx context.Context, id string) (runtimeapi.ExtensionEvent, error) {
	var waiting chan runtimeapi.ExtensionEvent
	err := s.tell(func() (err error) {
		waiting, err = s.e.awaits(id)
		return err
	})
	if err != nil {
		return runtimeapi.ExtensionEvent{}, err
	}
	select {
	case ev := <-waiting:
		return ev, nil
	case <-ctx.Done():
		_ = s.e.send(context.WithoutCancel(ctx), func() { s.e.leaves(id, waiting) })
		return runtimeapi.ExtensionEvent{}, ctx.Err()
	case <-s.e.dead:
		return runtimeapi.ExtensionEvent{}, runtimeapi.BadTransition(extExited, extReady, id)
	}
}

// ExtensionFailed implements runtimeapi.Extensions.
func (s runtimeSide) ExtensionFailed(id string, inInit bool, errorType string) error {
	return s.tell(func() error { return s.e.extensionFailed(id, inInit, errorType) })
}

// KnowsExtension implements runtimeapi.Extensions.
func (s runtimeSide) KnowsExtension(id string) error {
	return s.tell(func() error {
		if s.e.ext.byID(id) == nil {
			return unknownExtension(id)
		}
		return nil
	})
}

// Subscribe implements runtimeapi.Extensions.
func (s runtimeSide) Subscribe(id string, sub runtimeapi.Subscription) error {
	return s.tell(func() error { return s.e.subscribe(id, sub) })
}
