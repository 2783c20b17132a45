package lambdaapi

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/invoke"
)

// invokeStreaming is InvokeWithResponseStream. The answer's status is decided
// when the function has begun to answer, or has answered: until then a failure is
// an error as everywhere else.
func invokeStreaming(a *API, ctx context.Context, caller alcove.Caller, c *call) (reply, error) {
	if kind := header(c.request.Header, "X-Amz-Invocation-Type"); kind == "Event" {
		var f failures
		f.add("invocationType", kind, enumText([]string{"RequestResponse", "DryRun"}))
		return reply{}, f.err()
	}
	req, err := a.readInvocation(c)
	if err != nil {
		return reply{}, err
	}
	if req.DryRun {
		if _, err := a.Invoker.Invoke(ctx, caller, req); err != nil {
			return reply{}, err
		}
		return reply{status: http.StatusNoContent}, nil
	}
	run := startStreaming(a.Invoker, ctx, caller, req, a.Log)
	start, begun := run.stream.Begun()
	if !begun {
		if run.wait(); run.err != nil {
			return reply{}, run.err
		}
		start = alcove.StreamStart{RequestID: run.result.Report.RequestID, Version: run.result.Report.Version, Start: run.result.Report.Start}
	}
	return reply{send: func(w http.ResponseWriter) { sendStream(w, run, start, req.Tail) }}, nil
}

// streaming is an invocation under way, whose answer is read from its stream.
type streaming struct {
	stream *alcove.Stream
	done   chan struct{} // closed when the invocation is over, and its report written
	// Set before done is closed.
	result *alcove.Result
	err    error
}

// startStreaming begins to run req. Whoever calls it waits for its end.
func startStreaming(invoker Invoker, ctx context.Context, caller alcove.Caller, req invoke.Request, log *slog.Logger) *streaming {
	run := &streaming{stream: alcove.NewStream(), done: make(chan struct{})}
	req.Stream = run.stream
	go func() {
		defer close(run.done)
		defer run.stream.End()
		defer func() {
			if p := recover(); p != nil {
				log.Error("request failed", "operation", "InvokeWithResponseStream", "error", fmt.Sprintf("panic: %v\n%s", p, debug.Stack()))
				run.err = alcove.PlatformError(nil)
			}
		}()
		run.result, run.err = invoker.Invoke(ctx, caller, req)
	}()
	return run
}

func (run *streaming) wait() { <-run.done }

// endPatience is how long a caller may take for what is left of an answer when
// the invocation is over. Until then the invocation's deadline bounds it.
const endPatience = 30 * time.Second

// sendStream sends an answer's events as they come, and waits for the end of the
// invocation, whether its caller does or not.
func sendStream(w http.ResponseWriter, run *streaming, start alcove.StreamStart, tail bool) {
	h := w.Header()
	h["Content-Type"] = []string{eventStreamType}
	h["X-Amzn-Requestid"] = []string{start.RequestID}
	h["X-Amz-Executed-Version"] = []string{start.Version}
	h["X-Alcove-Start"] = []string{string(start.Start)}
	w.WriteHeader(http.StatusOK)

	control := http.NewResponseController(w)
	hurried := make(chan struct{})
	go func() {
		defer close(hurried)
		<-run.stream.Ended()
		// Writers of tests cannot do it; the server's can.
		_ = control.SetWriteDeadline(time.Now().Add(endPatience))
	}()
	var frame []byte
	var err error
	for err == nil {
		var piece []byte
		var more bool
		if piece, more = run.stream.Next(); !more {
			break
		}
		frame = appendChunk(frame[:0], piece)
		if _, err = w.Write(frame); err == nil {
			err = control.Flush()
		}
	}
	run.stream.Leave()
	run.wait()
	<-hurried
	if err != nil {
		return // the caller has gone
	}
	if frame, err = appendEnd(frame[:0], run, tail); err == nil {
		if _, err = w.Write(frame); err == nil {
			err = control.Flush()
		}
	}
	if err == nil {
		_ = control.SetWriteDeadline(time.Time{}) // the connection may have another request
	}
}

// appendEnd writes the last frames of an answer: what did not go by the stream,
// and how the invocation ended.
func appendEnd(b []byte, run *streaming, tail bool) ([]byte, error) {
	if run.err != nil {
		e := alcove.AsError(run.err)
		return appendError(b, e.Code, e.Message), nil
	}
	var end struct {
		ErrorCode    string `json:",omitempty"`
		ErrorDetails string `json:",omitempty"`
		LogResult    string `json:",omitempty"`
	}
	switch result := run.result; {
	case result.FunctionError != "":
		end.ErrorCode, end.ErrorDetails = errorCodeOf(result), string(result.Payload)
	case len(result.Payload) > 0:
		b = appendChunk(b, result.Payload)
	}
	if tail {
		end.LogResult = base64.StdEncoding.EncodeToString(run.result.LogTail)
	}
	text, err := json.Marshal(end)
	if err != nil {
		return nil, err
	}
	return appendFrame(b, completeHeaders[:], text), nil
}

// errorCodeOf is what InvokeComplete calls an error: by its type if it is the
// platform that saw it, else what Invoke's header would say.
func errorCodeOf(result *alcove.Result) string {
	switch kind := result.Report.ErrorType; kind {
	case "Runtime.OutOfMemory":
		return "Runtime.ExitError" // as Invoke's answer has it
	case "Runtime.ExitError", "Runtime.TruncatedResponse", "Runtime.InvalidEntrypoint", "Function.ResponseSizeTooLarge", "Sandbox.Timedout":
		return kind
	}
	return result.FunctionError
}
