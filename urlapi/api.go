package urlapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/invoke"
)

// Authenticator says who may. Its errors are *[alcove.Error].
type Authenticator interface {
	PrecheckURL(r *http.Request, authType string) error
	AuthenticateURL(r *http.Request, body []byte, authType string) (alcove.Caller, error)
	AuthorizeURL(caller alcove.Caller, o auth.Operation, authType string) error
	Failed(caller alcove.Caller, o auth.Operation, why error)
}

// Config is what an [API] is made from; every member is required.
type Config struct {
	Auth Authenticator
	// Find gives the function, or the alias, that a URL belongs to, from memory.
	Find    func(id string) (alcove.Ref, *alcove.FunctionURL, bool)
	Invoker invoke.Runner
	Log     *slog.Logger
	Now     func() time.Time // nil is time.Now
}

// API serves function URLs.
type API struct{ Config }

// New makes an API.
func New(c Config) *API {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &API{c}
}

const (
	maxBody = 6 << 20
	// bodyTimeout bounds how long a caller may take to send its body.
	bodyTimeout = 2 * time.Minute
)

// request is one request to a URL, on its way.
type request struct {
	*http.Request
	id       string // a UUID
	received time.Time
	ref      alcove.Ref
	url      *alcove.FunctionURL
}

// ServeHTTP answers a request whose Host is a URL's.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := &request{Request: r, id: uuid.NewString(), received: time.Now()}
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if p == http.ErrAbortHandler {
			panic(p)
		}
		a.Log.Error("request failed", "operation", "function URL", "requestId", q.id, "error", p, "stack", string(debug.Stack()))
		a.refuse(w, q, alcove.PlatformError(nil))
	}()
	w.Header()["X-Amzn-Requestid"] = []string{q.id}
	id, _ := ID(r.Host)
	var ok bool
	if q.ref, q.url, ok = a.Find(id); !ok {
		// As recorded: who asks does not learn whether there is one.
		writeError(w, http.StatusForbidden, auth.CodeAccessDenied, map[string]any{"Message": nil})
		return
	}
	if preflight(w, q) {
		return
	}
	if err := a.serve(w, q); err != nil {
		a.refuse(w, q, err)
	}
}

// serve invokes the function; an error is not written yet.
func (a *API) serve(w http.ResponseWriter, q *request) error {
	kind := q.url.AuthType
	if err := a.Auth.PrecheckURL(q.Request, kind); err != nil {
		return err
	}
	o := auth.Operation{Function: q.ref, Request: q.Request, RequestID: q.id}
	if kind == auth.URLAuthNone { // before anything of the body is read
		caller, err := a.Auth.AuthenticateURL(q.Request, nil, kind)
		if err == nil {
			err = a.Auth.AuthorizeURL(caller, o, kind)
		}
		if err != nil {
			return err
		}
	}
	body, err := readBody(w, q.Request)
	if err != nil {
		return err
	}
	caller, err := a.Auth.AuthenticateURL(q.Request, body, kind)
	if err != nil {
		return err
	}
	if err := a.Auth.AuthorizeURL(caller, o, kind); err != nil {
		return err
	}
	event, trace, err := a.event(q, caller, body)
	if err != nil {
		return err
	}
	req := invoke.Request{Ref: q.ref, RequestID: q.id, Payload: event, Trace: trace, Received: q.received}
	err = a.run(q.Context(), w, q, caller, req)
	if err != nil && !errors.Is(err, errFunction) && caller.AccessKeyID != "" {
		o.Action = "lambda:InvokeFunctionUrl"
		a.Auth.Failed(caller, o, err)
	}
	return err
}

func (a *API) run(ctx context.Context, w http.ResponseWriter, q *request, caller alcove.Caller, req invoke.Request) error {
	if q.url.InvokeMode == "RESPONSE_STREAM" {
		return a.stream(ctx, w, q, caller, req)
	}
	result, err := a.Invoker.Invoke(ctx, caller, req)
	if err != nil {
		return err
	}
	if result.FunctionError != "" {
		return errFunction
	}
	answer, err := readAnswer(result.Payload)
	if err != nil {
		a.Log.Debug("answer of a function is not one for its URL", "function", q.ref.Name, "requestId", q.id, "error", err)
		return errFunction
	}
	setTrace(w, result.Trace)
	answer.writeTo(w, q)
	return nil
}

// setTrace says which trace a function ran in.
func setTrace(w http.ResponseWriter, trace string) {
	if trace != "" {
		w.Header()[traceHeader] = []string{trace}
	}
}

// errFunction means that there is no answer for HTTP, and that it is the
// function's fault.
var errFunction = errors.New("urlapi: no answer")

// readBody reads the whole body of r. Memory is taken as it arrives.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	control := http.NewResponseController(w)
	// Writers of tests cannot do it; the server's can.
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout))
	defer func() { _ = control.SetReadDeadline(time.Time{}) }()
	if r.ContentLength > maxBody {
		return nil, tooLarge()
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if len(body) > maxBody {
		return nil, tooLarge()
	}
	if err != nil {
		return nil, &alcove.Error{Fault: alcove.FaultClient, Code: alcove.CodeInvalidRequestContent, Message: "The request body could not be read.", Err: err}
	}
	return body, nil
}

func tooLarge() error {
	return alcove.ClientError(alcove.CodeRequestEntityTooLarge, "Request must be smaller than %d bytes for the InvokeFunction operation", maxBody)
}

// statuses of errors that are no 400.
var statuses = map[string]int{
	auth.CodeAccessDenied:            http.StatusForbidden,
	auth.CodeInvalidSignature:        http.StatusForbidden,
	auth.CodeUnrecognizedClient:      http.StatusForbidden,
	auth.CodeMissingToken:            http.StatusForbidden,
	alcove.CodeRequestEntityTooLarge: http.StatusRequestEntityTooLarge,
	alcove.CodeTooManyRequests:       http.StatusTooManyRequests,
	alcove.CodeResourceNotFound:      http.StatusNotFound,
	alcove.CodeResourceConflict:      http.StatusConflict,
}

// refuse answers with an error. What is the platform's fault goes to the log, and
// what is the function's to nobody: its own log has it.
func (a *API) refuse(w http.ResponseWriter, q *request, err error) {
	cors(w.Header(), q)
	if errors.Is(err, errFunction) {
		h := w.Header()
		h["Content-Type"] = []string{"application/json"} // as AWS has it
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, "Internal Server Error")
		return
	}
	e := alcove.AsError(err)
	if e.Fault == alcove.FaultPlatform {
		a.Log.Error("request failed", "operation", "function URL", "requestId", q.id, "error", err)
		writeError(w, http.StatusInternalServerError, e.Code, map[string]any{"Message": "Internal Server Error"})
		return
	}
	body := map[string]any{"Message": e.Message}
	if e.Code == alcove.CodeTooManyRequests {
		body = map[string]any{"Type": "User", "message": e.Message, "Reason": e.Reason}
		w.Header().Set("Retry-After", strconv.Itoa(int((e.RetryAfter+time.Second-1)/time.Second)))
	}
	status, ok := statuses[e.Code]
	if !ok {
		status = http.StatusBadRequest
	}
	writeError(w, status, e.Code, body)
}

func writeError(w http.ResponseWriter, status int, code string, body map[string]any) {
	text, err := json.Marshal(body)
	if err != nil { // strings
		panic(err)
	}
	h := w.Header()
	h["Content-Type"] = []string{"application/json"}
	h["X-Amzn-Errortype"] = []string{code}
	w.WriteHeader(status)
	_, _ = w.Write(text) // the caller may have gone
}
