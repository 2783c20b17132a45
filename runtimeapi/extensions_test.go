package runtimeapi_test

import (
	"context"
	"encoding/json"
	"errors"

	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alcove-run/alcove/runtimeapi"
	"github.com/alcove-run/alcove/runtimeapi/runtimeapitest"
)

// extended is an environment with one extension, whose id is knownID once it has
// registered.
type extended struct {
	*runtimeapitest.Environment
	events chan runtimeapi.ExtensionEvent

	mu         sync.Mutex
	registered []string // guarded by mu
	failed     []string // guarded by mu
	subscribed []runtimeapi.Subscription
	subscribe  error
}

const knownID = "01234567-89ab-4def-8123-456789abcdef"

func (e *extended) Register(name string, events []string) (runtimeapi.Registered, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.registered) > 0 {
		return runtimeapi.Registered{}, runtimeapi.BadTransition("Registered", "Registered", name)
	}
	e.registered = append(e.registered, name+" "+strings.Join(events, ","))
	return runtimeapi.Registered{ID: knownID, Function: "f", Version: "7", Handler: "h", Account: "123456789012"}, nil
}

func (e *extended) KnowsExtension(id string) error {
	if id != knownID {
		return &runtimeapi.Refusal{Type: runtimeapi.TypeUnknownIdentifier, Message: "Unknown extension " + id}
	}
	return nil
}

func (e *extended) NextEvent(ctx context.Context, id string) (runtimeapi.ExtensionEvent, error) {
	if err := e.KnowsExtension(id); err != nil {
		return runtimeapi.ExtensionEvent{}, err
	}
	select {
	case ev := <-e.events:
		return ev, nil
	case <-ctx.Done():
		return runtimeapi.ExtensionEvent{}, ctx.Err()
	}
}

func (e *extended) ExtensionFailed(id string, inInit bool, errorType string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failed = append(e.failed, errorType)
	return e.KnowsExtension(id)
}

func (e *extended) Subscribe(_ string, s runtimeapi.Subscription) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.subscribed = append(e.subscribed, s)
	return e.subscribe
}

func serveExtended(t testing.TB) (*served, *extended) {
	t.Helper()
	env := runtimeapitest.New()
	x := &extended{Environment: env, events: make(chan runtimeapi.ExtensionEvent, 10)}
	return serveFor(t, env, x), x
}

const (
	register  = "/2020-01-01/extension/register"
	eventNext = "/2020-01-01/extension/event/next"
	telemetry = "/2022-07-01/telemetry"
	logsAPI   = "/2020-08-15/logs"
	identify  = "Lambda-Extension-Identifier"
)

func TestExtensionRequests(t *testing.T) {
	for _, tt := range []struct {
		name, method, path, body string
		header                   []string
		status                   int
		want                     string
	}{
		{"register", "POST", register, `{"events":["INVOKE"]}`, []string{"Lambda-Extension-Name", "n"}, 200, `{"functionName":"f","functionVersion":"7","handler":"h"}`},
		{"register with account", "POST", register, `{}`, []string{"Lambda-Extension-Name", "n", "Lambda-Extension-Accept-Feature", "x, accountId"}, 200, `{"accountId":"123456789012","functionName":"f","functionVersion":"7","handler":"h"}`},
		{"no name", "POST", register, `{}`, nil, 403, `{"errorMessage":"Empty extension name","errorType":"Extension.InvalidExtensionName"}`},
		{"long name", "POST", register, `{}`, []string{"Lambda-Extension-Name", strings.Repeat("n", 256)}, 403, "Extension.InvalidExtensionName"},
		{"not JSON", "POST", register, `{`, []string{"Lambda-Extension-Name", "n"}, 403, `"errorType":"InvalidRequestFormat"`},
		{"configuration keys", "POST", register, `{"configurationKeys":["a"]}`, []string{"Lambda-Extension-Name", "n"}, 403, "configurationKeys are deprecated; use environment variables instead"},
		{"large", "POST", register, `{"events":["` + strings.Repeat("x", 70<<10) + `"]}`, []string{"Lambda-Extension-Name", "n"}, 403, "InvalidRequestFormat"},
		{"wrong method", "GET", register, "", nil, 405, ""},
		{"next without id", "GET", eventNext, "", nil, 403, `{"errorMessage":"Missing Lambda-Extension-Identifier header","errorType":"Extension.MissingExtensionIdentifier"}`},
		{"next with no id", "GET", eventNext, "", []string{identify, "x"}, 403, `{"errorMessage":"Invalid Lambda-Extension-Identifier","errorType":"Extension.InvalidExtensionIdentifier"}`},
		{"next of nobody", "GET", eventNext, "", []string{identify, strings.Replace(knownID, "0", "1", 1)}, 403, `"errorType":"Extension.UnknownExtensionIdentifier"`},
		{"init error without type", "POST", "/2020-01-01/extension/init/error", "", []string{identify, knownID}, 403, `{"errorMessage":"Lambda-Extension-Function-Error-Type not found","errorType":"Extension.MissingHeader"}`},
		{"init error", "POST", "/2020-01-01/extension/init/error", "{}", []string{identify, knownID, "Lambda-Extension-Function-Error-Type", "X"}, 202, `{"status":"OK"}`},
		{"exit error", "POST", "/2020-01-01/extension/exit/error", "{}", []string{identify, strings.ToUpper(knownID), "Lambda-Extension-Function-Error-Type", "X"}, 202, `{"status":"OK"}`},
		{"telemetry of nobody", "PUT", telemetry, "{", []string{identify, strings.Replace(knownID, "0", "1", 1)}, 403, "Extension.UnknownExtensionIdentifier"},
		{"telemetry", "PUT", telemetry, `{"schemaVersion":"2022-07-01","types":["platform"],"destination":{"protocol":"HTTP","URI":"http://sandbox.localdomain:80"}}`, []string{identify, knownID}, 200, `"OK"`},
		{"telemetry, all wrong", "PUT", telemetry, `{"buffering":{"maxItems":1,"maxBytes":1,"timeoutMs":1},"destination":{"protocol":"TCP"}}`, []string{identify, knownID}, 400,
			`{"errorMessage":"schemaVersion should be one of 2022-07-01, 2022-12-13, 2025-01-29; types should not be empty; port should be between 1 and 65535; maxItems should be between 1000 and 10000; maxBytes should be between 262144 and 1048576; timeoutMs should be between 25 and 30000","errorType":"ValidationError"}`},
		{"logs", "PUT", logsAPI, `{"types":["function"],"destination":{"protocol":"TCP","port":1}}`, []string{identify, knownID}, 200, `"OK"`},
		{"telemetry by POST", "POST", telemetry, "{}", nil, 405, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := serveExtended(t)
			res, body := s.do(tt.method, tt.path, strings.NewReader(tt.body), tt.header...)
			if res.StatusCode != tt.status || !strings.Contains(body, tt.want) {
				t.Errorf("got %d %q, want %d %q", res.StatusCode, body, tt.status, tt.want)
			}
			if tt.name == "register" && res.Header.Get(identify) != knownID {
				t.Errorf("the id is %q", res.Header.Get(identify))
			}
		})
	}
}

func TestSubscribeIsRefused(t *testing.T) {
	s, x := serveExtended(t)
	for err, want := range map[error]string{
		runtimeapi.ErrNoTelemetry:         `202 {"errorMessage":"Telemetry API is not supported","errorType":"Telemetry.NotSupported"}`,
		runtimeapi.ErrSubscriptionsClosed: `403 {"errorMessage":"Telemetry API subscription is closed already","errorType":"Telemetry.SubscriptionClosed"}`,
		errors.New("x"):                   `500 {"errorMessage":"Internal Server Error","errorType":"InternalServerError"}`,
	} {
		x.subscribe = err
		res, body := s.do("PUT", telemetry, strings.NewReader(`{"schemaVersion":"2022-07-01","types":["platform"],"destination":{"protocol":"TCP","port":8}}`), identify, knownID)
		if got := res.Status[:4] + body; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestExtensionEvents(t *testing.T) {
	s, x := serveExtended(t)
	for _, tt := range []struct {
		ev   runtimeapi.ExtensionEvent
		want string
	}{
		{runtimeapi.ExtensionEvent{Type: "INVOKE", Deadline: time.UnixMilli(5), RequestID: "r", FunctionARN: "a", TraceID: "Root=1"},
			`{"eventType":"INVOKE","deadlineMs":5,"requestId":"r","invokedFunctionArn":"a","tracing":{"type":"X-Amzn-Trace-Id","value":"Root=1"}}`},
		{runtimeapi.ExtensionEvent{Type: "SHUTDOWN", Deadline: time.UnixMilli(6), Reason: "spindown"},
			`{"eventType":"SHUTDOWN","deadlineMs":6,"shutdownReason":"spindown"}`},
	} {
		x.events <- tt.ev
		res, body := s.do("GET", eventNext, nil, identify, knownID)
		if res.StatusCode != 200 || body != tt.want || res.Header.Get("Lambda-Extension-Event-Identifier") == "" {
			t.Errorf("got %d %s, want %s", res.StatusCode, body, tt.want)
		}
	}
}

// FuzzSubscription reads arbitrary subscriptions: what is taken names a place in the
// sandbox and nothing else, and is within its ranges.
func FuzzSubscription(f *testing.F) {
	for _, uri := range []string{"http://sandbox.localdomain:80/x?y", "http://sandbox:1", "http://sandbox.localdomain:80@example.com:1", "http://example.com:80", "http://sandbox.localdomain:99999",
		"http://sandbox.localdomain.example.com:80", "http://sandbox.localdomain:80/a b", "http://sandbox.localdomain:80/\\r\\nX: y"} {
		f.Add([]byte(`{"schemaVersion":"2022-12-13","types":["platform","function","extension"],"destination":{"protocol":"HTTP","URI":"`+uri+`"},"buffering":{"maxItems":1000}}`), false)
	}
	f.Add([]byte(`{"types":["function"],"destination":{"protocol":"TCP","port":8080,"method":"PUT","encoding":"JSON"}}`), true)
	f.Fuzz(func(t *testing.T, in []byte, logs bool) {
		api := runtimeapi.TelemetryAPI
		if logs {
			api = runtimeapi.LogsAPI
		}
		s, err := runtimeapi.ParseSubscription(in, api)
		if err != nil {
			if s.Port != 0 || err.Error() == "" {
				t.Errorf("%+v with %v", s, err)
			}
			return
		}
		if s.Port < 1 || s.Port > 65535 || s.MaxItems < 1000 || s.MaxItems > 10000 || s.MaxBytes < 256<<10 || s.MaxBytes > 1<<20 || s.TimeoutMs < 25 || s.TimeoutMs > 30000 ||
			len(s.Types) == 0 || len(s.Types) > 3 || s.Schema == "" {
			t.Errorf("%s: %+v", in, s)
		}
		if s.Path != "" && (s.Path[0] != '/' || strings.ContainsAny(s.Path, " \r\n\t")) {
			t.Errorf("%s: path %q", in, s.Path)
		}
		if s.Path != "" && !strings.Contains(strings.ToLower(string(in)), "sandbox") && json.Valid(in) && !strings.Contains(string(in), `\u`) {
			t.Errorf("%s: taken", in)
		}
	})
}

// FuzzExtensionConnection sends arbitrary bytes to an environment with an extension.
// Whatever they are, the server answers in HTTP or hangs up, at most one extension
// registers, and an honest client beside it is served.
func FuzzExtensionConnection(f *testing.F) {
	const head = " HTTP/1.1\r\nHost: x\r\n" + identify + ": " + knownID + "\r\n"
	for _, seed := range []string{
		"POST " + register + " HTTP/1.1\r\nHost: x\r\nLambda-Extension-Name: n\r\nContent-Length: 21\r\n\r\n{\"events\":[\"INVOKE\"]}",
		"GET " + eventNext + head + "\r\n",
		"GET " + eventNext + " HTTP/1.1\r\nHost: x\r\n\r\nGET " + eventNext + head + "\r\n",
		"POST /2020-01-01/extension/init/error" + head + "Lambda-Extension-Function-Error-Type: A.B\r\nContent-Length: 2\r\n\r\n{}",
		"POST /2020-01-01/extension/exit/error" + head + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"PUT " + telemetry + head + "Content-Length: 99\r\n\r\n{\"schemaVersion\":\"2022-07-01\",\"types\":[\"platform\"],\"destination\":{\"protocol\":\"TCP\",\"port\":8}}      ",
		"PUT " + logsAPI + head + "Content-Length: 9999999\r\n\r\n{",
		"HEAD " + eventNext + head + "\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		s, x := serveExtended(t)
		x.events <- runtimeapi.ExtensionEvent{Type: "INVOKE", Deadline: time.UnixMilli(1)}
		c, err := net.Dial("unix", s.socket)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		read := make(chan error, 1)
		go func() { read <- readAnswers(c) }()
		_, _ = c.Write(in) // fails if the server has hung up
		_ = c.(*net.UnixConn).CloseWrite()
		select {
		case err := <-read:
			if err != nil {
				t.Errorf("%q: %v", in, err)
			}
		case <-time.After(patience):
			t.Fatalf("%q: no end of answers", in)
		}
		if res, body := s.do("GET", "/2018-06-01/ping", nil); res.StatusCode != http.StatusOK || body != "pong" {
			t.Fatalf("an honest client gets %s %q", res.Status, body)
		}
		x.mu.Lock()
		defer x.mu.Unlock()
		if len(x.registered) > 1 {
			t.Errorf("registered: %q", x.registered)
		}
		for _, s := range x.subscribed {
			if s.Port == 0 {
				t.Errorf("subscribed: %+v", s)
			}
		}
	})
}
