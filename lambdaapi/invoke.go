package lambdaapi

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/internal/pump"
	"github.com/alcove-run/alcove/invoke"
)

// idempotencyHeader is a key that an invocation runs once for, in a day;
// repeatedHeader says that an answer is an earlier call's.
const (
	idempotencyHeader = "X-Alcove-Idempotency-Key"
	repeatedHeader    = "X-Alcove-Idempotent-Replay"
)

// explainHeader asks for platform detail that the answer leaves out otherwise.
const explainHeader = "X-Alcove-Explain"

// invokeFunction is the hot path. It reads headers and the payload's form, and
// leaves the rest to the invoker: whether the function is there, whether the
// tenant fits, whether there is room.
func invokeFunction(a *API, ctx context.Context, caller alcove.Caller, c *call) (reply, error) {
	req, event, err := a.readInvocation(c)
	if err != nil {
		return reply{}, err
	}
	if keys := c.request.Header[idempotencyHeader]; len(keys) > 0 && !req.DryRun {
		return a.once(ctx, caller, c, req, event)
	}
	if event {
		return a.accept(ctx, caller, req)
	}
	result, err := a.Invoker.Invoke(ctx, caller, req)
	if err != nil {
		return reply{}, err
	}
	if req.DryRun {
		return reply{status: http.StatusNoContent}, nil
	}
	explain := len(c.request.Header[explainHeader]) > 0
	return reply{send: func(w http.ResponseWriter) { sendResult(w, result, req.Tail, explain) }}, nil
}

// once invokes for a call with an idempotency key.
func (a *API) once(ctx context.Context, caller alcove.Caller, c *call, req invoke.Request, event bool) (reply, error) {
	key := header(c.request.Header, idempotencyHeader)
	if key == "" || len(c.request.Header[idempotencyHeader]) > 1 {
		return reply{}, alcove.InvalidParameter("%s has to be one key, and not empty.", idempotencyHeader)
	}
	result, repeated, err := a.Events.Once(ctx, caller, req, event, key)
	if err != nil {
		return reply{}, err
	}
	explain := len(c.request.Header[explainHeader]) > 0
	return reply{send: func(w http.ResponseWriter) {
		if repeated {
			w.Header()[repeatedHeader] = []string{"true"}
		}
		if event {
			if result.Trace != "" {
				w.Header()[traceHeader] = []string{result.Trace}
			}
			write(w, http.StatusAccepted, result.Report.RequestID, nil)
			return
		}
		sendResult(w, result, req.Tail, explain)
	}}, nil
}

// accept has an event kept, to be run later. The request id is that of its runs.
func (a *API) accept(ctx context.Context, caller alcove.Caller, req invoke.Request) (reply, error) {
	id, trace, err := a.Events.Accept(ctx, caller, req)
	if err != nil {
		return reply{}, err
	}
	return reply{send: func(w http.ResponseWriter) {
		if trace != "" {
			w.Header()[traceHeader] = []string{trace}
		}
		write(w, http.StatusAccepted, id, nil)
	}}, nil
}

// readInvocation makes the invoker's request of c, and says whether it is an event
// that nobody waits for; or it says all that is wrong with it.
func (a *API) readInvocation(c *call) (req invoke.Request, event bool, err error) {
	h := c.request.Header
	var f failures
	ref, err := a.qualified(c)
	if err = f.keep(err); err != nil {
		return req, false, err
	}
	req.Ref = ref
	if req.Tenant, err = tenantOf(h); err != nil {
		if err = f.keep(err); err != nil {
			return req, false, err
		}
	}
	kind := header(h, "X-Amz-Invocation-Type")
	if kind != "" && !slices.Contains(invocationTypes(), kind) {
		f.add("invocationType", kind, enumText(invocationTypes()))
	}
	switch log := header(h, "X-Amz-Log-Type"); log {
	case "", "None":
	case "Tail":
		req.Tail = true
	default:
		f.add("logType", log, enumText([]string{"None", "Tail"}))
	}
	if err := f.err(); err != nil {
		return req, false, err
	}
	if header(h, "X-Amz-Durable-Execution-Name") != "" {
		return req, false, unsupportedMember("DurableExecutionName")
	}
	if text := header(h, "X-Amz-Client-Context"); text != "" {
		if req.ClientContext, err = readClientContext(text); err != nil {
			return req, false, err
		}
	}
	if req.DryRun = kind == "DryRun"; req.DryRun {
		return req, false, nil
	}
	req.Trace, req.Received = a.trace(c.request), c.received
	req.Payload = c.body
	return req, kind == "Event", checkPayload(&req.Payload)
}

// traceHeader is X-Ray's.
const traceHeader = "X-Amzn-Trace-Id"

// traceOf is what a request says of the trace that it is a part of.
func traceOf(h http.Header) alcove.Trace {
	return alcove.ReadTrace(header(h, traceHeader), header(h, "Traceparent"), header(h, "Tracestate"))
}

// trace is the trace of an invocation. What a function asks for belongs to the chain
// that the function runs in, whatever it sends on.
func (a *API) trace(r *http.Request) alcove.Trace {
	sent := traceOf(r.Header)
	if a.Within == nil {
		return sent
	}
	if before, ok := a.Within(r); ok {
		return sent.After(before)
	}
	return sent
}

func invocationTypes() []string { return []string{"Event", "RequestResponse", "DryRun"} }

// header is a header's value; several are put together as HTTP has it.
func header(h http.Header, name string) string {
	switch values := h[name]; len(values) {
	case 0:
		return ""
	case 1:
		return values[0]
	default:
		return strings.Join(values, ",")
	}
}

// tenantOf reads the tenant id, which comes under one of two spellings, once. An
// id that is there but empty is malformed, not missing.
func tenantOf(h http.Header) (alcove.Tenant, error) {
	// AWS's documentation has both spellings; its model has the first.
	first, second := h["X-Amz-Tenant-Id"], h["X-Amzn-Tenant-Id"]
	switch {
	case len(first)+len(second) == 0:
		return "", nil
	case len(first)+len(second) > 1:
		return "", alcove.ClientError(alcove.CodeValidation, "%sValue '%s' at 'tenantId' failed to satisfy constraint: Member must be given once",
			oneDetected, clip(strings.Join(slices.Concat(first, second), ", ")))
	case len(first) == 1:
		return alcove.ParseTenant(first[0])
	default:
		return alcove.ParseTenant(second[0])
	}
}

// readClientContext decodes a client context to JSON on one line: it goes on in
// a header.
func readClientContext(text string) (string, error) {
	if len(text) > alcove.MaxClientContext {
		return "", alcove.ClientError(alcove.CodeInvalidRequestContent,
			"Client context must be no longer than %d bytes of Base64.", alcove.MaxClientContext)
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	var line bytes.Buffer
	if err == nil {
		err = json.Compact(&line, raw)
	}
	if err != nil || !utf8.Valid(line.Bytes()) || line.Bytes()[0] != '{' {
		return "", alcove.ClientError(alcove.CodeInvalidRequestContent, "Client context must be a valid Base64-encoded JSON object.")
	}
	return line.String(), nil
}

// checkPayload sees that an event is JSON. None at all is an empty object.
func checkPayload(payload *[]byte) error {
	if len(*payload) == 0 {
		*payload = []byte("{}")
		return nil
	}
	detail := "Invalid UTF-8"
	if utf8.Valid(*payload) {
		if json.Valid(*payload) {
			return nil
		}
		var nothing json.RawMessage
		if err := json.Unmarshal(*payload, &nothing); err != nil {
			detail = err.Error()
		}
	}
	return alcove.ClientError(alcove.CodeInvalidRequestContent,
		"Could not parse request body into json: Could not parse payload into json: %s", detail)
}

// sendResult answers with what a function answered. The request id is the
// invocation's.
func sendResult(w http.ResponseWriter, result *alcove.Result, tail, explain bool) {
	report := &result.Report
	h := w.Header()
	h["Content-Type"] = []string{"application/json"}
	h["Content-Length"] = []string{strconv.Itoa(len(result.Payload))}
	h["X-Amzn-Requestid"] = []string{report.RequestID}
	h["X-Amz-Executed-Version"] = []string{report.Version}
	h["X-Alcove-Start"] = []string{string(report.Start)}
	if result.Trace != "" {
		h[traceHeader] = []string{result.Trace}
	}
	if result.FunctionError != "" {
		h["X-Amz-Function-Error"] = []string{result.FunctionError}
	}
	if tail {
		h["X-Amz-Log-Result"] = []string{base64.StdEncoding.EncodeToString(result.LogTail)}
	}
	if explain {
		h["X-Alcove-Environment"] = []string{report.Environment}
		h["X-Alcove-Isolation"] = []string{report.Isolation}
		h["Server-Timing"] = []string{timing(result)}
		if report.StartReason != "" {
			h["X-Alcove-Start-Reason"] = []string{report.StartReason}
		}
	}
	w.WriteHeader(http.StatusOK)
	pump.Whole(w, result.Payload)
}

// timing says where an invocation's time went, in milliseconds: until there was an
// environment for it, or one was begun; its start, of the kind that the description
// names, until the environment could take the event; Init, as far as the caller waited
// for it, without the making of the sandbox, which belongs to the start; and what the
// handler took.
//
// Source: https://www.w3.org/TR/server-timing/
func timing(res *alcove.Result) string {
	ms := func(d time.Duration) string {
		return strconv.FormatFloat(float64(max(d, 0))/float64(time.Millisecond), 'f', 3, 64)
	}
	r := &res.Report
	queue := min(res.Waited, r.Queued)
	made := min(res.Made, r.Init)
	start := r.Queued - queue - (r.Init - made)
	init := ""
	if r.Init > 0 {
		init = "init;dur=" + ms(r.Init-made) + ", "
	}
	return "queue;dur=" + ms(queue) + ", start;desc=" + string(r.Start) + ";dur=" + ms(start) + ", " + init + "handler;dur=" + ms(r.Duration)
}
