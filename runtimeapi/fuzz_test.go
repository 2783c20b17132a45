package runtimeapi_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/runtimeapi/runtimeapitest"
)

// FuzzConnection sends arbitrary bytes over a connection while an invocation is
// running. Whatever they are: the server answers in HTTP or hangs up, the
// invocation ends at most once and within the limits, and an honest client
// beside it is served.
func FuzzConnection(f *testing.F) {
	const head = " HTTP/1.1\r\nHost: x\r\n"
	for _, seed := range []string{
		"GET " + next + head + "\r\n",
		"POST " + response + head + "Content-Length: 2\r\n\r\nokGET " + next + head + "\r\n",
		"POST " + response + head + "Transfer-Encoding: chunked\r\nTrailer: Lambda-Runtime-Function-Error-Type\r\n\r\n2\r\nok\r\n0\r\nLambda-Runtime-Function-Error-Type: Function.X\r\n\r\n",
		"POST " + response + head + "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nok",
		"POST " + response + head + "Content-Length: 9999999999\r\n\r\nok",
		"POST " + response + head + "Content-Length: 2\r\nContent-Length: 3\r\n\r\nok",
		"POST " + response + head + "Content-Length: -1\r\n\r\n",
		"POST " + failure + head + "Lambda-Runtime-Function-Error-Type: Runtime.X\r\nContent-Type: application/vnd.aws.lambda.error.cause+json\r\nContent-Length: 27\r\n\r\n{\"errorCause\":{\"paths\":[1]}}",
		"POST " + initErr + head + "Content-Length: 2\r\n\r\n{}",
		"GET /alcove/function" + head + "\r\n",
		"PUT /2022-07-01/telemetry" + head + "Content-Length: 0\r\n\r\n",
		"GET /2018-06-01/ping HTTP/1.0\r\n\r\n",
		"GET http://elsewhere/2018-06-01/ping" + head + "\r\n",
		"CONNECT host:80 HTTP/1.1\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"OPTIONS *" + head + "\r\n",
		"\x16\x03\x01",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		s := serve(t)
		_, _, out := s.invoke(event("r1"))
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
		if res, body := s.do("GET", "/2018-06-01/ping", nil); res.StatusCode != 200 || body != "pong" {
			t.Fatalf("an honest client gets %s %q", res.Status, body)
		}
		res, _ := s.do("POST", response, nil)
		if res.StatusCode != 202 && res.StatusCode != 403 && res.StatusCode != 400 {
			t.Fatalf("answer afterwards: %s", res.Status)
		}
		o := wait(t, out, "outcome")
		if len(o.Payload) > alcove.MaxPayload || o.Fault != nil && len(o.Fault.Body) > alcove.MaxPayload {
			t.Errorf("outcome beyond the limit: %d", len(o.Payload))
		}
	})
}

// FuzzBlankConnection sends arbitrary bytes to an environment that has not heard
// of its function yet. Whatever they are, it is told once at most, and what comes
// after it gets its first event as always.
func FuzzBlankConnection(f *testing.F) {
	const ask, told = "GET " + function + " HTTP/1.1\r\nHost: x\r\n\r\n", "told-once"
	for _, seed := range []string{
		ask, ask + ask, ask + "GET " + next + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET " + function + " HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
		"GET " + function + "?a HTTP/1.0\r\n\r\n",
		"POST " + initErr + " HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}" + ask,
		"HEAD " + function + " HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		env := runtimeapitest.NewBlank()
		env.Specialise([]byte(told))
		s := serveFor(t, env, env)
		c, err := net.Dial("unix", s.socket)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		read := make(chan string, 1)
		go func() { raw, _ := io.ReadAll(c); read <- string(raw) }()
		_, _ = c.Write(in) // fails if the server has hung up
		_ = c.(*net.UnixConn).CloseWrite()
		times := strings.Count(wait(t, read, "end of answers"), told)
		res, body := s.do("GET", function, nil)
		if res.StatusCode == http.StatusOK && body == told {
			times++
		} else if res.StatusCode != http.StatusNotFound {
			t.Errorf("%q: afterwards: %s %q", in, res.Status, body)
		}
		if times > 1 {
			t.Errorf("%q: told %d times", in, times)
		}
	})
}

// readAnswers reads HTTP answers until the connection ends.
func readAnswers(c net.Conn) error {
	br := bufio.NewReader(c)
	for {
		if _, err := br.Peek(1); err != nil {
			return nil
		}
		res, err := http.ReadResponse(br, nil)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil // it hung up in the middle, as it may
		}
		if err != nil {
			return err
		}
		if res.StatusCode >= 100 && res.StatusCode < 200 {
			continue
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return nil
		}
	}
}

// BenchmarkRoundTrip is one invocation seen from the environment: the event is
// handed out and the result comes back, over a unix socket, with a client that
// costs as little as one can.
func BenchmarkRoundTrip(b *testing.B) {
	s := serve(b)
	c, err := net.Dial("unix", s.socket)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	go echo(c)
	ev := event("r1")
	b.ReportAllocs()
	for b.Loop() {
		o, err := s.env.Invoke(context.Background(), ev)
		if err != nil || string(o.Payload) != `{"a":1}` {
			b.Fatal(o, err)
		}
	}
}

// echo is a runtime that answers r1 with a constant.
func echo(c net.Conn) {
	const ask = "GET " + next + " HTTP/1.1\r\nHost: x\r\n\r\n"
	const answer = "POST " + response + " HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n{\"a\":1}"
	br := bufio.NewReader(c)
	out := []byte(ask)
	for {
		if _, err := c.Write(out); err != nil {
			return
		}
		for range len(out) / len(ask) { // one answer at first, two later
			if !skipAnswer(br) {
				return
			}
		}
		out = []byte(answer + ask)
	}
}

// skipAnswer reads an answer with a body of at most 16 bytes.
func skipAnswer(br *bufio.Reader) bool {
	n := 0
	for {
		line, err := br.ReadSlice('\n')
		if err != nil {
			return false
		}
		if len(line) == 2 {
			_, err := br.Discard(n)
			return err == nil
		}
		if rest, ok := cutFold(line, "content-length: "); ok {
			for _, d := range rest {
				if d >= '0' && d <= '9' {
					n = n*10 + int(d-'0')
				}
			}
		}
	}
}

func cutFold(line []byte, prefix string) ([]byte, bool) {
	if len(line) < len(prefix) {
		return nil, false
	}
	for i := range len(prefix) {
		if line[i]|0x20 != prefix[i]|0x20 {
			return nil, false
		}
	}
	return line[len(prefix):], true
}
