package runtimeapi_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alcove-run/alcove/runtimeapi"
	"github.com/alcove-run/alcove/runtimeapi/runtimeapitest"
)

const plainHead = " HTTP/1.1\r\nHost: runtime\r\n"

// sayings are what clients say on a connection, in the plain form and off it.
var sayings = []string{
	"GET " + next + plainHead + "\r\n",
	"GET " + next + plainHead + "\r\nGET " + next + plainHead + "\r\n",
	"GET " + next + plainHead + "User-Agent: x/1\r\nAccept: */*\r\nAccept-Encoding: gzip\r\nConnection: keep-alive\r\n\r\n",
	"GET " + next + plainHead + "Content-Length: 0\r\n\r\n",
	"GET " + next + plainHead + "Content-Length: 2\r\n\r\nab",
	"GET " + next + plainHead + "X: y\r\n\r\n",
	"GET " + next + " HTTP/1.0\r\n\r\n",
	"GET " + next + " HTTP/1.1\r\n\r\n",
	"GET " + next + "/" + plainHead + "\r\n",
	"GET " + next + "?a" + plainHead + "\r\n",
	"POST " + next + plainHead + "Content-Length: 0\r\n\r\n",
	"POST " + response + plainHead + "Content-Length: 2\r\n\r\nok",
	"POST " + response + plainHead + "content-LENGTH:2\r\ncontent-type: \t application/json \r\n\r\nokGET " + next + plainHead + "\r\n",
	"POST " + response + plainHead + "Content-Length: 2\r\n\r\nokGET /2018-06-01/ping" + plainHead + "\r\n",
	"POST " + response + plainHead + "Content-Length: 2\r\n\r\nokPOST " + response + plainHead + "Content-Length: 2\r\n\r\nok",
	"POST " + response + plainHead + "Content-Length: 3\r\n\r\nok",
	"POST " + response + plainHead + "Content-Length: 02\r\n\r\nok",
	"POST " + response + plainHead + "Content-Length: +2\r\n\r\nok",
	"POST " + response + plainHead + "Content-Length: 2, 2\r\n\r\nok",
	"POST " + response + plainHead + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
	"POST " + response + plainHead + "Content-Length: 2\r\nContent-Length: 3\r\n\r\nok",
	"POST " + response + plainHead + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
	"POST " + response + plainHead + "Content-Length: 70000\r\n\r\n" + strings.Repeat("x", 70000),
	"POST " + response + plainHead + "\r\n",
	"POST " + response + plainHead + "Content-Length: 2\r\nConnection: close\r\n\r\nok",
	"POST " + response + plainHead + "Content-Length: 2\r\nHost: other\r\n\r\nok",
	"POST " + response + plainHead + "Content-Length : 2\r\n\r\nok",
	"POST " + response + plainHead + "Content-Length: 2\r\n Accept: x\r\n\r\nok",
	"POST " + response + plainHead + "Content-Length: 2\r\nAccept: \x01\r\n\r\nok",
	"POST " + response + plainHead + "Content-Length: 2\r\nAccept: x\nContent-Type: y\r\n\r\nok",
	"POST " + response + plainHead + "Content-Length: 2\r\nLambda-Runtime-Function-Response-Mode: dreaming\r\n\r\nok",
	"POST " + response + plainHead + "Content-Length: 2\r\nLambda-Runtime-Invocation-Id: other\r\n\r\nok",
	"POST " + response + plainHead + "Content-Length: 2\r\nAccept: " + strings.Repeat("x", 5000) + "\r\n\r\nok",
	"POST /2018-06-01/runtime/invocation/r2/response" + plainHead + "Content-Length: 2\r\n\r\nok",
	"POST /2018-06-01/runtime/invocation/r%31/response" + plainHead + "Content-Length: 2\r\n\r\nok",
	"POST /2018-06-01/runtime/invocation//response" + plainHead + "Content-Length: 2\r\n\r\nok",
	"POST " + failure + plainHead + "Content-Length: 2\r\nLambda-Runtime-Function-Error-Type: Runtime.X\r\n\r\n{}",
	"POST " + failure + plainHead + "Content-Length: 2\r\nLambda-Runtime-Function-Error-Type: Runtime.X\r\nLambda-Runtime-Function-XRay-Error-Cause: {\"paths\":[1]}\r\n\r\n{}",
	"POST " + failure + plainHead + "Content-Length: 28\r\nContent-Type: application/vnd.aws.lambda.error.cause+json\r\n\r\n{\"errorCause\":{\"paths\":[1]}}",
	"POST " + failure + plainHead + "Content-Length: 3\r\n\r\n{}",
	"POST " + failure + plainHead + "Content-Length: 2\r\nLambda-Runtime-Function-Error-Type: A\r\nLambda-Runtime-Function-Error-Type: B\r\n\r\n{}",
	"GET /2018-06-01/ping" + plainHead + "\r\n",
	"GET /2018-06-01/ping" + plainHead + "\r\nGET " + next + plainHead + "\r\n",
	"GET " + next + plainHead + "\r\nGET /2018-06-01/ping" + plainHead + "\r\n",
	"GET /2018-06-01/ping" + plainHead + "Content-Length: 2\r\n\r\nab",
	"GET /2018-06-01/ping?" + plainHead + "\r\n",
	"GET /2018-06-01/pings" + plainHead + "\r\n",
	"POST /2018-06-01/ping" + plainHead + "Content-Length: 0\r\n\r\n",
	"GET /2018-06-01/ping HTTP/1.1\r\n\r\n",
	"\r\nGET " + next + plainHead + "\r\n",
	"G",
	"",
}

// goodbye is the last request of a connection. Without one, what comes of a
// question depends on whether the end of the connection is seen before.
const goodbye = "GET /2018-06-01/ping" + plainHead + "Connection: close\r\n\r\n"

// said is what came of a saying: each answer's status and body, and how the
// invocation under way ended, if it did. Another waits behind it.
func said(t *testing.T, in []byte, pieces int, more ...func(*runtimeapi.Server)) string {
	env := runtimeapitest.New()
	s := serveFor(t, env, env, more...)
	_, _, out := s.invoke(event("r1"))
	go func() { _, _ = env.Invoke(context.Background(), event("r2")) }()
	in = append(in[:len(in):len(in)], goodbye...)
	c, err := net.Dial("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	answers := make(chan string, 1)
	go func() { answers <- statuses(c) }()
	for i := range pieces { // fails if the server has hung up
		if _, err := c.Write(in[len(in)*i/pieces : len(in)*(i+1)/pieces]); err != nil {
			break
		}
	}
	// For who waits for more of a body, which has taken the goodbye for its own.
	defer time.AfterFunc(100*time.Millisecond, func() { _ = c.(*net.UnixConn).CloseWrite() }).Stop()
	text := wait(t, answers, "end of the answers")
	if res, _ := s.do("POST", response, nil); res.StatusCode == 202 {
		return text + "it runs on"
	}
	o := wait(t, out, "outcome")
	return fmt.Sprintf("%s%q %+v %v", text, o.Payload, o.Fault, o.TooLarge)
}

// statuses reads answers until there are no more.
func statuses(c net.Conn) string {
	var b strings.Builder
	br := bufio.NewReader(c)
	for {
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			return b.String()
		}
		body, err := io.ReadAll(res.Body)
		// A server that has refused a request hangs up on what follows it, which ends
		// a body without a length as well as an orderly end would.
		if err != nil && !(errors.Is(err, syscall.ECONNRESET) && res.ContentLength < 0) {
			return b.String()
		}
		fmt.Fprintf(&b, "%d %q %q %v; ", res.StatusCode, res.Header.Get(textproto.CanonicalMIMEHeaderKey("content-type")), body, res.Close)
	}
}

// TestSameAsHTTP: what the short way takes has the answers and the consequences
// that it has with net/http, however it arrives.
func TestSameAsHTTP(t *testing.T) {
	for _, in := range sayings {
		want := said(t, []byte(in), 1, (*runtimeapi.Server).OnlyHTTP)
		for _, pieces := range []int{1, 2, 7} {
			if got := said(t, []byte(in), pieces); got != want {
				t.Errorf("%.300q in %d pieces:\n got %s\nwant %s", in, pieces, got, want)
			}
		}
	}
}

// TestPongIsNotHeldUp: the answer to a ping does not wait for the event that was
// asked for together with it.
func TestPongIsNotHeldUp(t *testing.T) {
	env := runtimeapitest.New()
	s := serveFor(t, env, env)
	c, err := net.Dial("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, "GET /2018-06-01/ping"+plainHead+"\r\nGET "+next+plainHead+"\r\n"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != "pong" {
		t.Errorf("%q, %v", body, err)
	}
}

// FuzzSameAsHTTP is TestSameAsHTTP for what nobody has thought of.
func FuzzSameAsHTTP(f *testing.F) {
	for _, in := range sayings {
		f.Add([]byte(in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		want := said(t, in, 1, (*runtimeapi.Server).OnlyHTTP)
		if got := said(t, in, 1); got != want {
			t.Errorf("%q:\n got %s\nwant %s", in, got, want)
		}
	})
}

// TestAcceptedWithTheNextEvent: a client that sends its answer and its next
// question together has both answered together.
func TestAcceptedWithTheNextEvent(t *testing.T) {
	s := serve(t)
	_, _, out := s.invoke(event("r1"))
	c := s.dial()
	if _, err := io.WriteString(c, "POST "+response+plainHead+"Content-Length: 2\r\n\r\nokGET "+next+plainHead+"\r\n"); err != nil {
		t.Fatal(err)
	}
	if o := wait(t, out, "outcome"); string(o.Payload) != "ok" {
		t.Fatalf("outcome %+v", o)
	}
	go func() { _, _ = s.env.Invoke(t.Context(), event("r2")) }()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, 4096)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(b[:n]); !strings.HasPrefix(text, "HTTP/1.1 202 ") || !strings.Contains(text, "HTTP/1.1 200 ") || !strings.Contains(text, ": r2\r\n") {
		t.Errorf("the first that came: %q", text)
	}
}

// TestLargeEventIsNotWaitedFor: an event that the socket has no room for holds
// up nobody but its own client, who gets all of it.
func TestLargeEventIsNotWaitedFor(t *testing.T) {
	s := serve(t)
	c := s.dial()
	if _, err := io.WriteString(c, "GET "+next+plainHead+"\r\n"); err != nil {
		t.Fatal(err)
	}
	ev := event("r1")
	ev.Payload = []byte(strings.Repeat("x", 4<<20))
	go func() { _, _ = s.env.Invoke(t.Context(), ev) }()
	wait(t, s.env.Ready(), "question")
	if res, body := s.do("GET", "/2018-06-01/ping", nil); res.StatusCode != 200 || body != "pong" {
		t.Errorf("another client meanwhile: %s %q", res.Status, body)
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(res.Body); err != nil || len(body) != len(ev.Payload) {
		t.Errorf("%d bytes, %v", len(body), err)
	}
}
