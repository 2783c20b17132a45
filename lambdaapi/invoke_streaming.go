package lambdaapi

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/internal/eventstream"
	"github.com/alcove-run/alcove/internal/pump"
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
	req, _, err := a.readInvocation(c) // no event, as was seen above
	if err != nil {
		return reply{}, err
	}
	if req.DryRun {
		if _, err := a.Invoker.Invoke(ctx, caller, req); err != nil {
			return reply{}, err
		}
		return reply{status: http.StatusNoContent}, nil
	}
	run := invoke.Begin(ctx, a.Invoker, caller, req, a.Log)
	start, begun := run.Begun()
	if !begun {
		result, err := run.Wait()
		if err != nil {
			return reply{}, err
		}
		start = alcove.StreamStart{RequestID: result.Report.RequestID, Version: result.Report.Version, Start: result.Report.Start, Trace: result.Trace}
	}
	return reply{send: func(w http.ResponseWriter) { sendStream(w, run, start, req.Tail) }}, nil
}

// sendStream sends an answer's events as they come, and waits for the end of the
// invocation, whether its caller does or not.
func sendStream(w http.ResponseWriter, run *invoke.Streaming, start alcove.StreamStart, tail bool) {
	h := w.Header()
	h["Content-Type"] = []string{eventstream.Type}
	h["X-Amzn-Requestid"] = []string{start.RequestID}
	h["X-Amz-Executed-Version"] = []string{start.Version}
	h["X-Alcove-Start"] = []string{string(start.Start)}
	if start.Trace != "" {
		h[traceHeader] = []string{start.Trace}
	}
	w.WriteHeader(http.StatusOK)

	out := pump.New(w, run.Ended())
	var frame []byte
	for piece, more := run.Next(); more; piece, more = run.Next() {
		frame = appendChunk(frame[:0], piece)
		if out.Write(frame) != nil {
			break // the caller has gone
		}
	}
	run.Leave()
	result, err := run.Wait()
	if frame, err = appendEnd(frame[:0], result, err, tail); err == nil {
		_ = out.Write(frame)
	}
	_ = out.Close()
}

// appendEnd writes the last frames of an answer: what did not go by the stream,
// and how the invocation ended.
func appendEnd(b []byte, result *alcove.Result, err error, tail bool) ([]byte, error) {
	if err != nil {
		e := alcove.AsError(err)
		return appendError(b, e.Code, e.Message), nil
	}
	var end struct {
		ErrorCode    string `json:",omitempty"`
		ErrorDetails string `json:",omitempty"`
		LogResult    string `json:",omitempty"`
	}
	switch {
	case result.FunctionError != "":
		end.ErrorCode, end.ErrorDetails = errorCodeOf(result), string(result.Payload)
	case len(result.Payload) > 0:
		b = appendChunk(b, result.Payload)
	}
	if tail {
		end.LogResult = base64.StdEncoding.EncodeToString(result.LogTail)
	}
	text, err := json.Marshal(end)
	if err != nil {
		return nil, err
	}
	return eventstream.Append(b, completeHeaders[:], text), nil
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
