package runtimeapi_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/alcove-run/alcove"
)

// streamed is a streamed answer that a test makes by hand.
type streamed struct {
	body *io.PipeWriter
	done chan *http.Response
}

// begin starts to post a streamed answer to invocation r1.
func (s *served) begin(trailer http.Header) *streamed {
	s.t.Helper()
	r, w := io.Pipe()
	req, err := http.NewRequestWithContext(s.t.Context(), "POST", "http://runtime"+response, r)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Lambda-Runtime-Function-Response-Mode", "streaming")
	req.Trailer = trailer
	out := &streamed{body: w, done: make(chan *http.Response, 1)}
	go func() {
		res, err := s.client.Do(req)
		if err != nil {
			_ = r.CloseWithError(err)
			close(out.done)
			return
		}
		res.Body.Close()
		out.done <- res
	}()
	s.t.Cleanup(func() { _ = w.Close() })
	return out
}

// TestPiecesGoOnAtOnce: what the runtime has sent reaches the reader before the
// runtime sends more, and the runtime waits for the reader.
func TestPiecesGoOnAtOnce(t *testing.T) {
	s := serve(t)
	stream := alcove.NewStream()
	s.env.StreamTo(stream)
	_, _, out := s.invoke(event("r1"))
	answer := s.begin(nil)
	for i := range 3 {
		want := fmt.Sprintf("piece %d", i)
		if _, err := io.WriteString(answer.body, want); err != nil {
			t.Fatal(err)
		}
		// The runtime has sent nothing after it.
		if p, ok := stream.Next(); !ok || string(p) != want {
			t.Fatalf("piece %d: %q, %v", i, p, ok)
		}
	}
	select {
	case o := <-out:
		t.Fatalf("the invocation ended before its answer: %+v", o)
	default:
	}
	go stream.Next() // takes the last
	_ = answer.body.Close()
	if o := wait(t, out, "outcome"); o.Fault != nil || o.TooLarge || len(o.Payload) != 0 {
		t.Errorf("outcome %+v", o)
	}
	if res := wait(t, answer.done, "answer"); res == nil || res.StatusCode != 202 {
		t.Errorf("accepted with %v", res)
	}
}

// TestStreamedErrors: an answer that fails half-way fails the invocation.
func TestStreamedErrors(t *testing.T) {
	for _, c := range []struct {
		name   string
		finish func(*streamed)
		fault  string
		body   string
		status int
	}{
		{"trailers", func(a *streamed) { _ = a.body.Close() }, "Function.Half", `{"errorMessage":"half"}`, 202},
		{"broken off", func(a *streamed) { _ = a.body.CloseWithError(errors.New("gone")) }, "Runtime.TruncatedResponse", "truncated", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t)
			stream := alcove.NewStream()
			s.env.StreamTo(stream)
			_, _, out := s.invoke(event("r1"))
			answer := s.begin(http.Header{
				"Lambda-Runtime-Function-Error-Type": {"Function.Half"},
				"Lambda-Runtime-Function-Error-Body": {base64.StdEncoding.EncodeToString([]byte(`{"errorMessage":"half"}`))},
			})
			go func() { _, _ = io.WriteString(answer.body, "x") }()
			if p, _ := stream.Next(); string(p) != "x" {
				t.Fatalf("piece %q", p)
			}
			stream.Leave()
			c.finish(answer)
			if o := wait(t, out, "outcome"); o.Fault == nil || o.Fault.Type != c.fault || !strings.Contains(string(o.Fault.Body), c.body) {
				t.Errorf("outcome %+v", o)
			}
			if res := wait(t, answer.done, "end"); (res == nil) != (c.status == 0) || res != nil && res.StatusCode != c.status {
				t.Errorf("answered %v, want %d", res, c.status)
			}
		})
	}
}

// TestStreamedTooLarge: a streamed answer has a limit of its own.
func TestStreamedTooLarge(t *testing.T) {
	s := serve(t)
	stream := alcove.NewStream()
	stream.Leave() // nobody looks at it
	s.env.StreamTo(stream)
	_, _, out := s.invoke(event("r1"))
	answer := s.begin(nil)
	go func() {
		zeros := make([]byte, 1<<20)
		for range alcove.MaxStreamed/len(zeros) + 1 {
			if _, err := answer.body.Write(zeros); err != nil {
				return
			}
		}
		_ = answer.body.Close()
	}()
	o := wait(t, out, "outcome")
	if o.Fault == nil || o.Fault.Type != "Function.ResponseSizeTooLarge" || !strings.Contains(string(o.Fault.Body), "(209715200 bytes)") {
		t.Errorf("outcome %+v", o)
	}
	if n := stream.Written(); n > alcove.MaxStreamed {
		t.Errorf("%d bytes went on", n)
	}
}

// TestStreamOfAnInvocationThatIsOver: who still writes is told, and not kept.
func TestStreamOfAnInvocationThatIsOver(t *testing.T) {
	s := serve(t)
	stream := alcove.NewStream()
	s.env.StreamTo(stream)
	s.invoke(event("r1"))
	answer := s.begin(nil)
	go func() { _, _ = io.WriteString(answer.body, "x") }()
	if p, _ := stream.Next(); string(p) != "x" {
		t.Fatalf("piece %q", p)
	}
	stream.End()
	go func() { _, _ = io.WriteString(answer.body, "y") }()
	if res := wait(t, answer.done, "answer"); res != nil && res.StatusCode != 403 {
		t.Errorf("answered %v", res)
	}
}

// TestStreamOfAnotherInvocation is refused before anything is read.
func TestStreamOfAnotherInvocation(t *testing.T) {
	s := serve(t)
	stream := alcove.NewStream()
	s.env.StreamTo(stream)
	s.invoke(event("r2")) // r1 is another's
	answer := s.begin(nil)
	if res := wait(t, answer.done, "answer"); res == nil || res.StatusCode != 400 {
		t.Errorf("answered %v", res)
	}
}
