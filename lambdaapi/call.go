package lambdaapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/alcove-run/alcove"
)

// call is one request that was authenticated, on its way to an operation.
type call struct {
	route     *route
	params    params
	query     url.Values
	body      []byte
	request   *http.Request
	requestID string
	received  time.Time
	in        any // the request, if it was read before its operation: see authorize.go
}

// reply is what an operation answers.
type reply struct {
	status int
	// body is marshalled to JSON; nil is no body.
	body any
	// send, if set, writes the whole answer itself.
	send func(w http.ResponseWriter)
}

// done is the answer of an operation that answers nothing, if it succeeds.
func done(err error) (reply, error) {
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusNoContent}, nil
}

// each makes a list of a list, as answers that are lists are made.
func each[From, To any](list []From, to func(From) To) []To {
	out := make([]To, len(list))
	for i, one := range list {
		out[i] = to(one)
	}
	return out
}

// handler is an operation as the table has it.
type handler struct {
	run func(a *API, ctx context.Context, caller alcove.Caller, c *call) (reply, error)
	in  reflect.Type // of the request; nil for those of bare
	// members are those of in; asks says that it is asking.
	members *members
	asks    bool
}

// bare makes a handler of an operation that reads no JSON.
func bare(f func(a *API, ctx context.Context, caller alcove.Caller, c *call) (reply, error)) *handler {
	return &handler{run: f}
}

// with makes a handler of an operation that reads a request: members of a JSON
// object, of the path and of the query. The operation gets it when no constraint
// of it fails.
func with[In any](f func(a *API, ctx context.Context, caller alcove.Caller, c *call, in *In) (reply, error)) *handler {
	t := reflect.TypeFor[In]()
	table := membersOf(t)
	_, asks := any(new(In)).(asking)
	return &handler{in: t, members: table, asks: asks, run: func(a *API, ctx context.Context, caller alcove.Caller, c *call) (reply, error) {
		in, ok := c.in.(*In)
		if !ok {
			in = new(In)
			if err := table.read(c, in); err != nil {
				return reply{}, err
			}
		}
		return f(a, ctx, caller, c, in)
	}}
}

// ServeHTTP answers a request of the Lambda API: everything but what the
// operations themselves do.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	received, requestID := time.Now(), uuid.NewString()
	operation := "unknown"
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if p == http.ErrAbortHandler {
			panic(p)
		}
		a.writeError(w, r, requestID, operation, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
	}()
	if strings.HasPrefix(r.URL.Path, CodePath) {
		operation = "code"
		a.serveCode(w, r, requestID)
		return
	}
	query, err := readQuery(r.URL.RawQuery)
	if err != nil {
		a.writeError(w, r, requestID, operation, err)
		return
	}
	route, params, err := a.find(r.Method, sentPath(r), query)
	if err != nil {
		a.writeError(w, r, requestID, operation, err)
		return
	}
	operation = route.operation
	body, release, err := a.readBody(w, r, route)
	defer release()
	if err == nil {
		c := &call{route: route, params: params, query: query, body: body, request: r, requestID: requestID, received: received}
		var answer reply
		if answer, err = a.answer(c); err == nil {
			err = send(w, c, answer)
		}
	}
	if err != nil {
		a.writeError(w, r, requestID, operation, err)
	}
}

func (a *API) answer(c *call) (reply, error) {
	caller, err := a.Auth.Authenticate(c.request, c.body)
	if err != nil {
		return reply{}, err
	}
	if !strings.HasPrefix(c.route.operation, "Invoke") { // those are many, and others come before an upload
		a.uploads.prove(c.request, caller, a.Now())
	}
	if c.route.serve == nil {
		return reply{}, unsupported("The operation %s is not supported yet.", c.route.operation)
	}
	operation, err := a.operation(c)
	if err != nil {
		return reply{}, err
	}
	if _, err := a.Auth.Authorize(caller, operation); err != nil {
		return reply{}, err
	}
	if err := a.authorizeLayers(caller, c, operation.Asked.Layers); err != nil {
		return reply{}, err
	}
	if err := a.authorizeRole(caller, c); err != nil {
		return reply{}, err
	}
	answer, err := c.route.serve.run(a, c.request.Context(), caller, c)
	if err != nil && operation.Reported {
		a.Auth.Failed(caller, operation, err)
	}
	return answer, err
}

func send(w http.ResponseWriter, c *call, answer reply) error {
	if answer.send != nil {
		answer.send(w)
		return nil
	}
	var body []byte
	if answer.body != nil {
		var err error
		if body, err = json.Marshal(answer.body); err != nil {
			return err
		}
	}
	write(w, answer.status, c.requestID, body)
	return nil
}

func readQuery(raw string) (url.Values, error) {
	if raw == "" {
		return nil, nil
	}
	query, err := url.ParseQuery(raw)
	if err != nil {
		return nil, alcove.ClientError(alcove.CodeInvalidRequestContent, "The query string is malformed.")
	}
	return query, nil
}

const (
	// precheckFrom is the size from which on a body is not read before its
	// request's headers are believed.
	precheckFrom = 64 << 10
	// bodyTimeout bounds how long a caller may take to send its body.
	bodyTimeout = 2 * time.Minute
)

// readBody reads the whole body of r, up to the route's limit. release has to be
// called when it is not needed any more, error or not.
//
// Bodies are not kept for other requests: the payload of an invocation may still
// be on its way into a sandbox when the invocation is over (a runtime may answer
// before it has read all of the event), and must never turn into another's.
func (a *API) readBody(w http.ResponseWriter, r *http.Request, route *route) (body []byte, release func(), err error) {
	release = func() {}
	size := r.ContentLength
	if size == 0 {
		return nil, release, nil
	}
	if size < 0 || size >= precheckFrom {
		if err := a.Auth.Precheck(r); err != nil {
			return nil, release, err
		}
	}
	control := http.NewResponseController(w)
	// Writers of tests cannot do it; the server's can.
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout))
	defer func() { _ = control.SetReadDeadline(time.Time{}) }()

	if size > route.maxBody {
		return nil, release, tooLarge(r, route)
	}
	from, done := io.Reader(r.Body), func(err error) error { return err }
	if size < 0 && route.maxBody > maxInvocation || size > maxInvocation {
		long := size
		if long < 0 {
			long = route.maxBody
		}
		one, err := a.uploads.begin(r.Context(), r, claimedKey(r), long, func() { _ = control.SetReadDeadline(time.Unix(1, 0)) })
		if err != nil {
			return nil, release, err
		}
		release, from, done = one.end, reading{r.Body, one}, one.done
	}
	if size < 0 {
		body, err = io.ReadAll(io.LimitReader(from, route.maxBody+1))
		err = done(err)
		if int64(len(body)) > route.maxBody {
			return nil, release, tooLarge(r, route)
		}
		return body, release, unreadable(err)
	}
	body = make([]byte, size)
	_, err = io.ReadFull(from, body)
	return body, release, unreadable(done(err))
}

// tooLarge is the answer to a body over the limit. It reads on for a while:
// many clients send all of a body before they look for the answer.
func tooLarge(r *http.Request, route *route) error {
	_, _ = io.CopyN(io.Discard, r.Body, 2*route.maxBody)
	name := route.operation
	if name == "Invoke" {
		name = "InvokeFunction" // as AWS's text has it
	}
	return alcove.ClientError(alcove.CodeRequestEntityTooLarge,
		"Request must be smaller than %d bytes for the %s operation", route.maxBody, name)
}

// unreadable is the answer when a body did not arrive: nobody will read it.
func unreadable(err error) error {
	if err == nil || errors.Is(err, errSlowUpload) {
		return err
	}
	return &alcove.Error{Fault: alcove.FaultClient, Code: alcove.CodeInvalidRequestContent,
		Message: "The request body could not be read.", Err: err}
}
