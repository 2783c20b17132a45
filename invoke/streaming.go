package invoke

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/alcove-run/alcove"
)

// Runner is what runs an invocation: an Invoker.
type Runner interface {
	Invoke(ctx context.Context, caller alcove.Caller, req Request) (*alcove.Result, error)
}

// Streaming is an invocation under way whose answer is read while it is made.
// Whoever began it reads the stream, leaves it, and waits.
type Streaming struct {
	*alcove.Stream
	done chan struct{} // closed when the report is written
	// Set before done is closed.
	result *alcove.Result
	err    error
}

// Begin begins to run req. Its stream ends when the function has, whatever came
// of it; Wait tells what.
func Begin(ctx context.Context, r Runner, caller alcove.Caller, req Request, log *slog.Logger) *Streaming {
	s := &Streaming{Stream: alcove.NewStream(), done: make(chan struct{})}
	req.Stream = s.Stream
	go func() {
		defer close(s.done)
		defer s.End()
		defer func() {
			if p := recover(); p != nil {
				log.Error("invocation failed", "error", fmt.Sprintf("panic: %v\n%s", p, debug.Stack()))
				s.err = alcove.PlatformError(fmt.Errorf("panic: %v", p))
			}
		}()
		s.result, s.err = r.Invoke(ctx, caller, req)
	}()
	return s
}

// Wait waits until the invocation is over and its report is written, and tells
// what came of it.
func (s *Streaming) Wait() (*alcove.Result, error) {
	<-s.done
	return s.result, s.err
}
