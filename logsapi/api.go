// Package logsapi answers what the CloudWatch Logs clients of AWS ask about the
// logs of functions: protocol AWS JSON 1.1, version 2014-03-28.
//
// It reads and changes the log store, has queries run over it, and does nothing else. Groups and streams are
// there from the first line that a function wrote to them, or from an explicit
// CreateLogGroup.
//
// Operations that are not in the table answer UnknownOperationException.
package logsapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/auth/policy"
	"github.com/alcove-run/alcove/internal/places"
	"github.com/alcove-run/alcove/internal/pump"
	"github.com/alcove-run/alcove/internal/turns"
	"github.com/alcove-run/alcove/logs"
	"github.com/alcove-run/alcove/logs/queries"
)

// Config is what an [API] is made from.
type Config struct {
	Store *logs.Store
	// Queries runs those of Logs Insights.
	Queries *queries.Runner
	// Turns are the processors that searching has; nil means half of the machine's.
	Turns *turns.Turns
	// Authenticate says who made a request whose whole body is given. Its
	// errors are *[alcove.Error].
	Authenticate func(r *http.Request, body []byte) (alcove.Caller, error)
	// Authorize says whether a caller may do something, and what of tenants it
	// sees then.
	Authorize func(caller alcove.Caller, o auth.Operation) (*auth.Scope, error)
	// Revoked is closed when a caller's key is not accepted any more, Ending when the
	// node begins to end. Live Tail sessions end then; nil is never.
	Revoked func(caller alcove.Caller) <-chan struct{}
	Ending  <-chan struct{}
	// Place is what ARNs say, and which of them are ours.
	Place alcove.Place
	// Log gets what is the platform's fault; nil is silent.
	Log *slog.Logger
	// Now is the clock that PutLogEvents measures ages by; nil means time.Now.
	Now func() time.Time
}

// API serves CloudWatch Logs.
type API struct {
	Config
	tails *places.Places
}

// New makes an API.
func New(c Config) *API {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Turns == nil {
		c.Turns = turns.New(max(1, runtime.NumCPU()/2))
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &API{Config: c, tails: places.New(maxSessions)}
}

const (
	targetPrefix = "Logs_20140328."
	contentType  = "application/x-amz-json-1.1"
	bodyTimeout  = 30 * time.Second
	// Bodies are bounded by what an operation may need: PutLogEvents takes 1 MB
	// of messages, which JSON may spell with six bytes for one.
	maxBody    = 256 << 10
	maxPutBody = 8 << 20
)

// ServeHTTP answers a request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	requestID := uuid.NewString()
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if p == http.ErrAbortHandler {
			panic(p)
		}
		a.writeError(w, r, requestID, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
	}()
	out, err := a.answer(w, r, requestID)
	if out == answered {
		return
	}
	if err != nil {
		a.writeError(w, r, requestID, err)
		return
	}
	var body []byte
	if out != nil {
		if body, err = json.Marshal(out); err != nil {
			a.writeError(w, r, requestID, err)
			return
		}
	}
	write(w, http.StatusOK, requestID, body)
}

// answer authenticates a request and runs its operation.
func (a *API) answer(w http.ResponseWriter, r *http.Request, requestID string) (any, error) {
	name, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	if !ok || r.Method != http.MethodPost {
		return nil, unknownOperation("")
	}
	limit := int64(maxBody)
	if name == "PutLogEvents" {
		limit = maxPutBody
	}
	body, err := readBody(w, r, limit)
	if err != nil {
		return nil, err
	}
	caller, err := a.Authenticate(r, body)
	if err != nil {
		return nil, err
	}
	op, ok := operations()[name]
	if !ok {
		return nil, unknownOperation(name)
	}
	return op.run(a, &call{writer: w, request: r, requestID: requestID, caller: caller, name: name, body: body})
}

func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	control := http.NewResponseController(w)
	// Writers of tests cannot do it; the server's can.
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout))
	defer func() { _ = control.SetReadDeadline(time.Time{}) }()
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err != nil {
		return nil, alcove.ClientError(codeSerialization, "The request body could not be read.")
	}
	if int64(len(body)) > limit {
		return nil, alcove.ClientError(codeInvalidParameter, "The request is larger than %d bytes.", limit)
	}
	return body, nil
}

// call is one request that was authenticated, on its way to an operation.
type call struct {
	writer    http.ResponseWriter // for operations that answer with a stream
	request   *http.Request
	requestID string
	caller    alcove.Caller
	name      string // of the operation
	body      []byte
	asked     policy.Asked
	scope     *auth.Scope // what the caller sees, once it is authorised
}

// answered is what an operation gives that has written its answer itself.
var answered any = new(struct{ byte })

// operation is an operation as the table has it.
type operation struct {
	run  func(a *API, c *call) (any, error)
	kind kind
}

// kind says whose records an operation is about.
type kind int

const (
	// ofTenants answers with records, of those tenants alone that the caller sees.
	ofTenants kind = iota + 1
	// ofAll tells or does something about the records of all tenants at once.
	ofAll
)

// subject is an input that names what it is about, as the end of an ARN that
// begins as a group's does.
type subject interface {
	about(p alcove.Place) string
}

// asking is an input that policies may ask about.
type asking interface{ asked() policy.Asked }

// with makes an operation of a function that takes its input decoded, once the
// caller is known to be allowed it. What it answers is marshalled; nil is an empty
// body.
func with[In any, P interface {
	*In
	subject
}](kind kind, f func(a *API, ctx context.Context, c *call, in *In) (any, error)) operation {
	return operation{kind: kind, run: func(a *API, c *call) (any, error) {
		in := new(In)
		err := c.decode(in)
		if err != nil {
			return nil, err
		}
		if asking, ok := any(in).(asking); ok {
			c.asked = asking.asked()
		}
		if c.scope, err = a.authorize(c, kind, P(in).about(a.Place)); err != nil {
			return nil, err
		}
		out, err := f(a, c.request.Context(), c, in)
		return out, storeError(err)
	}}
}

// decode reads the request's body.
func (c *call) decode(in any) error {
	err := json.Unmarshal(c.body, in)
	if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return alcove.ClientError(codeSerialization, "A member of the request has the wrong type.")
	}
	if err != nil {
		return alcove.ClientError(codeSerialization, "The request is not a JSON object.")
	}
	return nil
}

// authorize says whether the caller may do what it asks for with a resource, and what
// it sees then.
func (a *API) authorize(c *call, kind kind, resource string) (*auth.Scope, error) {
	tags, err := a.tagsOf(c.request.Context(), resource)
	if err != nil {
		return nil, err
	}
	return a.Authorize(c.caller, auth.Operation{Action: "logs:" + c.name, Resource: resource, Tags: tags, Asked: c.asked,
		PerTenant: kind == ofTenants, Whole: kind == ofAll, Request: c.request, RequestID: c.requestID})
}

// tagsOf are the tags of the group that an ARN is of, which policies may ask about.
func (a *API) tagsOf(ctx context.Context, resource string) (map[string]string, error) {
	group, _, _ := strings.Cut(strings.TrimPrefix(resource, groupARN(a.Place, "")), ":")
	if group == "*" {
		return nil, nil
	}
	return a.Store.Tags(ctx, group)
}

// Actions are what callers have to be allowed.
func Actions() (list []string) {
	for name := range operations() {
		list = append(list, "logs:"+name)
	}
	return list
}

// operations is the table of what this API answers.
func operations() map[string]operation {
	return map[string]operation{
		"CreateLogGroup":        with(ofAll, (*API).createLogGroup),
		"CreateLogStream":       with(ofAll, (*API).createLogStream),
		"DeleteLogGroup":        with(ofAll, (*API).deleteLogGroup),
		"DeleteLogStream":       with(ofAll, (*API).deleteLogStream),
		"DeleteRetentionPolicy": with(ofAll, (*API).deleteRetentionPolicy),
		"DescribeLogGroups":     with(ofAll, (*API).describeLogGroups),
		"DescribeLogStreams":    with(ofAll, (*API).describeLogStreams),
		"DescribeQueries":       with(ofTenants, (*API).describeQueries),
		"FilterLogEvents":       with(ofTenants, (*API).filterLogEvents),
		"GetLogEvents":          with(ofTenants, (*API).getLogEvents),
		"GetLogRecord":          with(ofTenants, (*API).getLogRecord),
		"GetQueryResults":       ofQuery((*API).getQueryResults),
		"ListTagsForResource":   with(ofAll, (*API).listTagsForResource),
		"ListTagsLogGroup":      with(ofAll, (*API).listTagsLogGroup),
		"PutLogEvents":          with(ofAll, (*API).putLogEvents),
		"PutRetentionPolicy":    with(ofAll, (*API).putRetentionPolicy),
		"StartLiveTail":         {run: (*API).startLiveTail, kind: ofTenants},
		"StartQuery":            {run: (*API).startQuery, kind: ofTenants},
		"StopQuery":             ofQuery((*API).stopQuery),
		"TagLogGroup":           with(ofAll, (*API).tagLogGroup),
		"TagResource":           with(ofAll, (*API).tagResource),
		"UntagLogGroup":         with(ofAll, (*API).untagLogGroup),
		"UntagResource":         with(ofAll, (*API).untagResource),
	}
}

func write(w http.ResponseWriter, status int, requestID string, body []byte) {
	h := w.Header()
	h.Set("X-Amzn-RequestId", requestID)
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	pump.Whole(w, body)
}
