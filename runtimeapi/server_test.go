package runtimeapi_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/internal/slow"
	"github.com/alcove-run/alcove/runtimeapi"
	"github.com/alcove-run/alcove/runtimeapi/runtimeapitest"
)

// patience is how long a test waits for what must happen at once.
var patience = slow.Patience(time.Minute)

// served is a server on a unix socket, with a client that keeps one connection.
type served struct {
	t      testing.TB
	env    *runtimeapitest.Environment
	server *runtimeapi.Server
	socket string
	client *http.Client
}

func serve(t testing.TB) *served {
	t.Helper()
	env := runtimeapitest.New()
	return serveFor(t, env, env)
}

// serveFor is serve with something between the server and the environment.
func serveFor(t testing.TB, env *runtimeapitest.Environment, front runtimeapi.Environment, more ...func(*runtimeapi.Server)) *served {
	t.Helper()
	return serveSharing(t, nil, env, front, more...)
}

// serveSharing is serveFor with places for connections that servers share.
func serveSharing(t testing.TB, spare *runtimeapi.Spare, env *runtimeapitest.Environment, front runtimeapi.Environment, more ...func(*runtimeapi.Server)) *served {
	t.Helper()
	s := &served{t: t, env: env, socket: filepath.Join(t.TempDir(), "runtime.sock")}
	s.server = runtimeapi.NewServer(front, runtimeapi.OwnConns, spare, slog.New(slog.DiscardHandler))
	for _, change := range more {
		change(s.server)
	}
	l, err := net.Listen("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.server.Serve(l) }()
	s.client = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", s.socket)
		}}}
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		_ = s.server.Close()
		s.env.Close()
		s.server.Wait()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

// do sends one request and gives the answer with its body.
func (s *served) do(method, path string, body io.Reader, header ...string) (*http.Response, string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://runtime"+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := s.client.Do(r)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return res, string(raw)
}

// invoke hands an event over and gives what the runtime got of it; the outcome
// comes later.
func (s *served) invoke(ev *runtimeapi.Event) (res *http.Response, body string, outcome <-chan runtimeapitest.Outcome) {
	s.t.Helper()
	out := make(chan runtimeapitest.Outcome, 1)
	go func() {
		o, err := s.env.Invoke(context.Background(), ev)
		if err == nil {
			out <- o
		}
		close(out)
	}()
	res, body = s.do("GET", "/2018-06-01/runtime/invocation/next", nil)
	if res.StatusCode != http.StatusOK {
		s.t.Fatalf("next: %s %s", res.Status, body)
	}
	return res, body, out
}

func wait[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s", what)
		panic("not reached")
	}
}

func event(id string) *runtimeapi.Event {
	return &runtimeapi.Event{RequestID: id, FunctionARN: "arn:aws:lambda:us-east-1:000000000000:function:f",
		Deadline: time.UnixMilli(1700000000123), Payload: []byte(`{"a":1}`)}
}

const (
	next     = "/2018-06-01/runtime/invocation/next"
	response = "/2018-06-01/runtime/invocation/r1/response"
	failure  = "/2018-06-01/runtime/invocation/r1/error"
	initErr  = "/2018-06-01/runtime/init/error"
)

func TestNextHeaders(t *testing.T) {
	s := serve(t)
	ev := event("r1")
	ev.InvocationID, ev.TraceID, ev.Tenant = "i1", "Root=1", "blue @home"
	ev.ClientContext = `{"custom":{"k":"v"}}`
	ev.CognitoIdentity = `{"cognitoIdentityId":"a"}`
	res, body, out := s.invoke(ev)
	want := map[string]string{
		"Lambda-Runtime-Aws-Request-Id":       "r1",
		"Lambda-Runtime-Invocation-Id":        "i1",
		"Lambda-Runtime-Trace-Id":             "Root=1",
		"Lambda-Runtime-Aws-Tenant-Id":        "blue @home",
		"Lambda-Runtime-Client-Context":       `{"custom":{"k":"v"}}`,
		"Lambda-Runtime-Cognito-Identity":     `{"cognitoIdentityId":"a"}`,
		"Lambda-Runtime-Invoked-Function-Arn": ev.FunctionARN,
		"Lambda-Runtime-Deadline-Ms":          "1700000000123",
		"Content-Type":                        "application/json",
		"Content-Length":                      "7",
	}
	for k, v := range want {
		if got := res.Header.Get(k); got != v {
			t.Errorf("%s: got %q, want %q", k, got, v)
		}
	}
	if len(res.Header) != len(want) {
		t.Errorf("headers: %v", res.Header)
	}
	if body != `{"a":1}` {
		t.Errorf("body %q", body)
	}
	if res, body := s.do("POST", response, strings.NewReader("ok"), "Lambda-Runtime-Invocation-Id", "i1"); res.StatusCode != 202 || body != "{\"status\":\"OK\"}\n" {
		t.Errorf("response: %s %q", res.Status, body)
	}
	if o := wait(t, out, "outcome"); string(o.Payload) != "ok" {
		t.Errorf("outcome %+v", o)
	}

	// What is empty is left out, and so is a tenant of the invocation before.
	res, _, _ = s.invoke(event("r2"))
	if len(res.Header) != 5 || res.Header.Get("Lambda-Runtime-Aws-Tenant-Id") != "" {
		t.Errorf("headers of the second event: %v", res.Header)
	}
}

// TestAnswers goes through what a runtime may say while "r1" is running.
func TestAnswers(t *testing.T) {
	const okay = "{\"status\":\"OK\"}\n"
	longer := strings.Repeat("x", alcove.MaxPayload+1)
	cause := `{"working_directory":"/var/task","exceptions":[],"paths":[]}`
	for _, tt := range []struct {
		name         string
		method, path string
		body         io.Reader
		header       []string
		status       int
		want         string // of the answer; a substring
		outcome      *runtimeapitest.Outcome
	}{
		{"result", "POST", response, strings.NewReader(`"r"`), nil, 202, okay, &runtimeapitest.Outcome{Payload: []byte(`"r"`)}},
		{"empty result", "POST", response, nil, nil, 202, okay, &runtimeapitest.Outcome{Payload: []byte{}}},
		{"chunked result", "POST", response, io.MultiReader(strings.NewReader("ab"), strings.NewReader("cd")), nil, 202, okay,
			&runtimeapitest.Outcome{Payload: []byte("abcd")}},
		{"expect continue", "POST", response, strings.NewReader("abc"), []string{"Expect", "100-continue"}, 202, okay,
			&runtimeapitest.Outcome{Payload: []byte("abc")}},
		{"largest result", "POST", response, strings.NewReader(longer[1:]), nil, 202, okay, &runtimeapitest.Outcome{Payload: []byte(longer[1:])}},
		{"too large", "POST", response, strings.NewReader(longer), nil, 413,
			`{"errorMessage":"Exceeded maximum allowed payload size (6291556 bytes).","errorType":"RequestEntityTooLarge"}`, &runtimeapitest.Outcome{TooLarge: true}},
		{"too large, chunked", "POST", response, io.MultiReader(strings.NewReader(longer), strings.NewReader(longer)), nil, 413, "RequestEntityTooLarge",
			&runtimeapitest.Outcome{TooLarge: true}},
		{"streaming mode", "POST", response, strings.NewReader("s"), []string{"Lambda-Runtime-Function-Response-Mode", "streaming"}, 202, okay,
			&runtimeapitest.Outcome{Payload: []byte("s")}},
		{"unknown mode", "POST", response, strings.NewReader("s"), []string{"Lambda-Runtime-Function-Response-Mode", "dreaming"}, 400,
			`"InvalidFunctionResponseMode"`, &runtimeapitest.Outcome{Fault: &runtimeapi.Fault{Type: "Runtime.InvalidResponseModeHeader",
				Body: []byte(`{"errorMessage":"Invalid function response mode","errorType":"Runtime.InvalidResponseModeHeader"}`)}}},
		{"error", "POST", failure, strings.NewReader(`{"errorMessage":"m"}`), []string{"Lambda-Runtime-Function-Error-Type", "Runtime.HandlerNotFound"}, 202, okay,
			&runtimeapitest.Outcome{Fault: &runtimeapi.Fault{Type: "Runtime.HandlerNotFound", Body: []byte(`{"errorMessage":"m"}`)}}},
		{"error of a type of its own", "POST", failure, strings.NewReader(`{}`), []string{"Lambda-Runtime-Function-Error-Type", "ValueError"}, 202, okay,
			&runtimeapitest.Outcome{Fault: &runtimeapi.Fault{Type: "Runtime.Unknown", Body: []byte(`{}`)}}},
		{"function error of no type", "POST", failure, strings.NewReader(`{}`), []string{"Lambda-Runtime-Function-Error-Type", "Function.x y"}, 202, okay,
			&runtimeapitest.Outcome{Fault: &runtimeapi.Fault{Type: "Function.Unknown", Body: []byte(`{}`)}}},
		{"error with cause header", "POST", failure, strings.NewReader(`{}`), []string{"Lambda-Runtime-Function-XRay-Error-Cause", cause}, 202, okay,
			&runtimeapitest.Outcome{Fault: &runtimeapi.Fault{Type: "Runtime.Unknown", Body: []byte(`{}`), XRayCause: []byte(cause)}}},
		{"error with huge cause", "POST", failure, strings.NewReader(`{}`), []string{"Lambda-Runtime-Function-XRay-Error-Cause", strings.Repeat("y", 1<<20-1)}, 202, okay,
			&runtimeapitest.Outcome{Fault: &runtimeapi.Fault{Type: "Runtime.Unknown", Body: []byte(`{}`)}}},
		{"error with cause in body", "POST", failure, strings.NewReader(`{"errorMessage":"m","errorType":"t","stackTrace":["a"],"errorCause":` + cause + `}`),
			[]string{"Content-Type", "application/vnd.aws.lambda.error.cause+json"}, 202, okay,
			&runtimeapitest.Outcome{Fault: &runtimeapi.Fault{Type: "Runtime.Unknown", Body: []byte(`{"errorMessage":"m","errorType":"t","stackTrace":["a"]}`), XRayCause: []byte(cause)}}},
		{"another id", "POST", "/2018-06-01/runtime/invocation/r2/response", strings.NewReader("x"), nil, 400,
			`{"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}`, nil},
		{"another attempt", "POST", response, strings.NewReader("x"), []string{"Lambda-Runtime-Invocation-Id", "other"}, 400, "InvalidRequestID", nil},
		{"init error while running", "POST", initErr, strings.NewReader("{}"), nil, 403, "InvalidStateTransition", nil},
		{"next while running", "GET", next, nil, nil, 403, "InvalidStateTransition", nil},
		{"no id", "POST", "/2018-06-01/runtime/invocation//response", nil, nil, 404, "", nil},
		{"no verb", "POST", "/2018-06-01/runtime/invocation/r1", nil, nil, 404, "", nil},
		{"path tricks", "GET", "/2018-06-01/runtime/../runtime/invocation/next", nil, nil, 404, "", nil},
		{"encoded path", "POST", "/2018-06-01/runtime/invocation/r%31/response", strings.NewReader("x"), nil, 400, "InvalidRequestID", nil},
		{"wrong method", "GET", response, nil, nil, 405, "", nil},
		{"ping", "GET", "/2018-06-01/ping", nil, nil, 200, "pong", nil},
		{"extensions", "POST", "/2020-01-01/extension/register", strings.NewReader("{}"), nil, 404, "", nil},
		{"telemetry", "PUT", "/2022-07-01/telemetry", strings.NewReader("{}"), nil, 404, "", nil},
		{"logs", "PUT", "/2020-08-15/logs", strings.NewReader("{}"), nil, 404, "", nil},
		{"restore", "GET", "/2018-06-01/runtime/restore/next", nil, nil, 404, "", nil},
		{"root", "GET", "/", nil, nil, 404, "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t)
			_, _, out := s.invoke(event("r1"))
			res, body := s.do(tt.method, tt.path, tt.body, tt.header...)
			if res.StatusCode != tt.status || !strings.Contains(body, tt.want) {
				t.Errorf("got %d %q, want %d %q", res.StatusCode, body, tt.status, tt.want)
			}
			if strings.HasPrefix(body, "{") && !json.Valid([]byte(body)) {
				t.Errorf("not JSON: %q", body)
			}
			if tt.outcome == nil {
				// The invocation goes on as if nothing had been said.
				if res, body := s.do("POST", response, strings.NewReader("late")); res.StatusCode != 202 {
					t.Errorf("answer afterwards: %s %s", res.Status, body)
				}
				tt.outcome = &runtimeapitest.Outcome{Payload: []byte("late")}
			}
			same(t, wait(t, out, "outcome"), *tt.outcome)
			if res, body := s.do("POST", response, strings.NewReader("again")); res.StatusCode != 403 {
				t.Errorf("a second answer: %s %s", res.Status, body)
			}
		})
	}
}

func same(t *testing.T, got, want runtimeapitest.Outcome) {
	t.Helper()
	short := func(o runtimeapitest.Outcome) string {
		s := fmt.Sprintf("payload %.80q (%d) tooLarge %v", o.Payload, len(o.Payload), o.TooLarge)
		if o.Fault != nil {
			s += fmt.Sprintf(" fault %s body %s cause %s", o.Fault.Type, o.Fault.Body, o.Fault.XRayCause)
		}
		return s
	}
	if g, w := short(got), short(want); g != w || !bytes.Equal(got.Payload, want.Payload) {
		t.Errorf("outcome:\ngot  %s\nwant %s", g, w)
	}
}

func TestInitError(t *testing.T) {
	s := serve(t)
	res, body := s.do("POST", initErr, strings.NewReader(`{"errorMessage":"x"}`), "Lambda-Runtime-Function-Error-Type", "Runtime.ImportModuleError")
	if res.StatusCode != 202 {
		t.Fatalf("%s %s", res.Status, body)
	}
	if f := wait(t, s.env.InitFailed(), "init failure"); f.Type != "Runtime.ImportModuleError" || string(f.Body) != `{"errorMessage":"x"}` {
		t.Errorf("fault %+v", f)
	}
	if res, _ := s.do("POST", initErr, strings.NewReader(`{}`)); res.StatusCode != 403 {
		t.Errorf("a second report: %s", res.Status)
	}
}

// TestInitErrorTooLarge: a report that is too large is a report.
func TestInitErrorTooLarge(t *testing.T) {
	s := serve(t)
	if res, _ := s.do("POST", initErr, strings.NewReader(strings.Repeat("x", alcove.MaxPayload+1)), "Lambda-Runtime-Function-Error-Type", "Runtime.Xy"); res.StatusCode != 413 {
		t.Errorf("%s", res.Status)
	}
	if f := wait(t, s.env.InitFailed(), "init failure"); f.Type != "Runtime.Xy" || !json.Valid(f.Body) {
		t.Errorf("fault %+v", f)
	}
}

// TestStreamedFailure: trailers turn a response into a failure.
func TestStreamedFailure(t *testing.T) {
	s := serve(t)
	_, _, out := s.invoke(event("r1"))
	c, err := net.Dial("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "POST "+response+" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"+
		"Lambda-Runtime-Function-Response-Mode: streaming\r\nTrailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n"+
		"5\r\nhello\r\n0\r\nLambda-Runtime-Function-Error-Type: Function.Broke\r\nLambda-Runtime-Function-Error-Body: eyJhIjoxfQ==\r\n\r\n")
	if status := statusLine(t, c); !strings.Contains(status, " 202 ") {
		t.Errorf("status %q", status)
	}
	same(t, wait(t, out, "outcome"), runtimeapitest.Outcome{Fault: &runtimeapi.Fault{Type: "Function.Broke", Body: []byte(`{"a":1}`)}})
}

// TestTruncated: a connection that breaks in the middle of an answer ends the
// invocation.
func TestTruncated(t *testing.T) {
	for name, head := range map[string]string{
		"length": "Content-Length: 10\r\n\r\nabc",
		"chunks": "Transfer-Encoding: chunked\r\n\r\n5\r\nab",
		"large":  fmt.Sprintf("Content-Length: %d\r\n\r\nabc", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t)
			_, _, out := s.invoke(event("r1"))
			c, err := net.Dial("unix", s.socket)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, _ = io.WriteString(c, "POST "+response+" HTTP/1.1\r\nHost: x\r\n"+head)
			if err := c.(*net.UnixConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if status := statusLine(t, c); !strings.Contains(status, " 400 ") {
				t.Errorf("status %q", status)
			}
			if o := wait(t, out, "outcome"); o.Fault == nil || o.Fault.Type != runtimeapi.TypeTruncated {
				t.Errorf("outcome %+v", o)
			}
		})
	}
}

func statusLine(t *testing.T, c net.Conn) string {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return line
}

// TestNextClientGone: when a client goes away, its blocked Next returns, and
// another client gets the event that comes afterwards.
func TestNextClientGone(t *testing.T) {
	env := &watched{Environment: runtimeapitest.New(), gone: make(chan error, 1)}
	s := serveFor(t, env.Environment, env)
	c, err := net.Dial("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, "GET "+next+" HTTP/1.1\r\nHost: x\r\n\r\n")
	wait(t, env.Ready(), "first next")
	_ = c.Close()
	if err := wait(t, env.gone, "end of the first next"); !errors.Is(err, context.Canceled) {
		t.Fatalf("the first next: %v", err)
	}
	if _, body, _ := s.invoke(event("r1")); body != `{"a":1}` {
		t.Errorf("the second next: %q", body)
	}
}

// watched tells when a Next has failed.
type watched struct {
	*runtimeapitest.Environment
	gone chan error
}

func (w *watched) Next(ctx context.Context) (*runtimeapi.Event, error) {
	ev, err := w.Environment.Next(ctx)
	if err != nil {
		w.gone <- err
	}
	return ev, err
}

// TestPipelined: an answer and the next question may come in one packet.
func TestPipelined(t *testing.T) {
	s := serve(t)
	_, _, out := s.invoke(event("r1"))
	c, err := net.Dial("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "POST "+response+" HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nokGET "+next+" HTTP/1.1\r\nHost: x\r\n\r\n")
	same(t, wait(t, out, "outcome"), runtimeapitest.Outcome{Payload: []byte("ok")})
	go func() { _, _ = s.env.Invoke(context.Background(), event("r2")) }()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	br := bufio.NewReader(c)
	for _, want := range []string{"{\"status\":\"OK\"}\n", `{"a":1}`} {
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(res.Body); err != nil || string(body) != want {
			t.Errorf("got %q %v, want %q", body, err, want)
		}
	}
}

// TestClose: blocked requests end when the server is closed.
func TestClose(t *testing.T) {
	s := serve(t)
	c, err := net.Dial("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "GET "+next+" HTTP/1.1\r\nHost: x\r\n\r\n")
	wait(t, s.env.Ready(), "first next")
	if err := s.server.Close(); err != nil {
		t.Fatal(err)
	}
	s.server.Wait()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if rest, err := io.ReadAll(c); err != nil || len(rest) != 0 {
		t.Errorf("read %q %v", rest, err)
	}
	if _, err := net.Dial("unix", s.socket); err == nil {
		t.Error("the listener is still there")
	}
}
