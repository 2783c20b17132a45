// Package metricsapi answers what the CloudWatch clients of AWS ask about metrics,
// version 2010-08-01, in each of the protocols that they speak: Smithy RPC v2 with
// CBOR, AWS JSON 1.0, and AWS Query with XML.
//
// It reads and changes the store of metrics and nothing else. A caller that is bound
// to tenants sees the metrics that their environments measured.
//
// Operations that are not in the table answer UnknownOperationException.
package metricsapi

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/internal/pump"
	"github.com/alcove-run/alcove/metrics"
)

// Config is what an [API] is made from.
type Config struct {
	Store *metrics.Store
	// Authenticate says who made a request whose whole body is given. Its errors are
	// *[alcove.Error].
	Authenticate func(r *http.Request, body []byte) (alcove.Caller, error)
	// Authorize says whether a caller may do something, and what of tenants it sees
	// then.
	Authorize func(caller alcove.Caller, o auth.Operation) (*auth.Scope, error)
	// Log gets what is the platform's fault; nil is silent.
	Log *slog.Logger
	// Now is the clock that times are compared with; nil means time.Now.
	Now func() time.Time
}

// API serves CloudWatch.
type API struct{ Config }

// New makes an API.
func New(c Config) *API {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &API{c}
}

const (
	bodyTimeout = 30 * time.Second
	// maxBody bounds a request: AWS takes 1 MB for PutMetricData, and no more for
	// the others.
	maxBody = 1 << 20
)

// call is one request on its way to an operation.
type call struct {
	request   *http.Request
	requestID string
	protocol  protocol
	caller    alcove.Caller
	name      string      // of the operation
	scope     *auth.Scope // what the caller sees, once it is authorised
}

// sees says what of tenants the caller sees; nil is everything.
func (c *call) sees() metrics.Sees {
	if c.scope.All() {
		return nil
	}
	return c.scope.Sees
}

// ServeHTTP answers a request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{request: r, requestID: uuid.NewString()}
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if p == http.ErrAbortHandler {
			panic(p)
		}
		a.writeError(w, c, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
	}()
	out, err := a.answer(w, c)
	if err != nil {
		a.writeError(w, c, err)
		return
	}
	body, contentType := c.protocol.render(c.name, c.requestID, out)
	write(w, c, http.StatusOK, contentType, body)
}

// answer authenticates a request and runs its operation.
func (a *API) answer(w http.ResponseWriter, c *call) (object, error) {
	r := c.request
	var ok bool
	if c.protocol, c.name, ok = detect(r); !ok || r.Method != http.MethodPost {
		return nil, unknownOperation("")
	}
	control := http.NewResponseController(w)
	// Writers of tests cannot do it; the server's can.
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout))
	defer func() { _ = control.SetReadDeadline(time.Time{}) }()
	body, err := readAll(r.Body)
	if err != nil {
		return nil, err
	}
	if c.caller, err = a.Authenticate(r, body); err != nil {
		return nil, err
	}
	// PutMetricData may be compressed, and is signed as it is sent.
	if encoding := r.Header.Get("Content-Encoding"); strings.EqualFold(encoding, "gzip") {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err == nil {
			body, err = readAll(z)
		}
		if err != nil {
			return nil, serialization("The body is not what its Content-Encoding says.")
		}
	}
	input, err := c.protocol.parse(body, &c.name)
	if err != nil {
		return nil, err
	}
	op, ok := operations()[c.name]
	if !ok {
		return nil, unknownOperation(c.name)
	}
	return op.run(a, c, input)
}

func readAll(r io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, maxBody+1))
	if err != nil {
		return nil, serialization("The request body could not be read.")
	}
	if len(body) > maxBody {
		return nil, alcove.ClientError(codeTooLarge, "The request is larger than %d bytes.", maxBody)
	}
	return body, nil
}

// operation is an operation as the table has it.
type operation struct {
	run  func(a *API, c *call, input []byte) (object, error)
	kind kind
}

// kind says whose metrics an operation is about.
type kind int

const (
	// ofTenants answers with those of the tenants alone that the caller sees.
	ofTenants kind = iota + 1
	// ofAll does something that all tenants see.
	ofAll
)

// with makes an operation of a function that takes its input decoded, once the caller
// is known to be allowed it.
func with[In any](kind kind, f func(a *API, ctx context.Context, c *call, in *In) (object, error)) operation {
	return operation{kind: kind, run: func(a *API, c *call, input []byte) (object, error) {
		in := new(In)
		if err := json.Unmarshal(input, in); err != nil {
			var wrong *valueError
			if errors.As(err, &wrong) {
				return nil, invalidValue("%s", wrong.text)
			}
			return nil, serialization("A member of the request has the wrong type.")
		}
		var err error
		c.scope, err = a.Authorize(c.caller, auth.Operation{Action: "cloudwatch:" + c.name, Resource: "*",
			PerTenant: kind == ofTenants, Whole: kind == ofAll, Request: c.request, RequestID: c.requestID})
		if err != nil {
			return nil, err
		}
		return f(a, c.request.Context(), c, in)
	}}
}

// Actions are what callers have to be allowed.
func Actions() (list []string) {
	for name := range operations() {
		list = append(list, "cloudwatch:"+name)
	}
	return list
}

// operations is the table of what this API answers.
func operations() map[string]operation {
	return map[string]operation{
		"GetMetricData":       with(ofTenants, (*API).getMetricData),
		"GetMetricStatistics": with(ofTenants, (*API).getMetricStatistics),
		"ListMetrics":         with(ofTenants, (*API).listMetrics),
		"PutMetricData":       with(ofAll, (*API).putMetricData),
	}
}

func write(w http.ResponseWriter, c *call, status int, contentType string, body []byte) {
	h := w.Header()
	h.Set("X-Amzn-RequestId", c.requestID)
	if c.protocol == rpcCBOR {
		h.Set("Smithy-Protocol", "rpc-v2-cbor")
	}
	if contentType != "" {
		h.Set("Content-Type", contentType)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	pump.Whole(w, body)
}

// writeError answers with err in the shape of the request's protocol.
func (a *API) writeError(w http.ResponseWriter, c *call, err error) {
	e := alcove.AsError(err)
	status := http.StatusBadRequest
	code, message := e.Code, e.Message
	switch {
	case e.Fault == alcove.FaultPlatform:
		status = http.StatusInternalServerError
		code, message = codeInternal, "The request processing has failed due to some unknown error, exception or failure."
		a.Log.Error("request failed", "operation", c.name, "requestId", c.requestID, "error", err)
	case code == codeTooLarge:
		status = http.StatusRequestEntityTooLarge
	case code == auth.CodeAccessDenied, strings.HasPrefix(code, "InvalidSignature"), strings.HasSuffix(code, "TokenException"),
		code == "UnrecognizedClientException":
		status = http.StatusForbidden
	case code == codeUnknownOperation:
		status = http.StatusNotFound
	}
	w.Header().Set("X-Amzn-Query-Error", queryCode(code)+";"+fault(status))
	body, contentType := c.protocol.renderError(code, fault(status), message, c.requestID)
	write(w, c, status, contentType, body)
}

func fault(status int) string {
	if status >= 500 {
		return "Receiver"
	}
	return "Sender"
}
