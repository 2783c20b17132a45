package urlapi

import (
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/invoke"
)

// begins is a function that streams.
func begins(contentType string, write func(*alcove.Stream) (*alcove.Result, error)) func(invoke.Request) (*alcove.Result, error) {
	return func(req invoke.Request) (*alcove.Result, error) {
		req.Stream.Begin(alcove.StreamStart{RequestID: req.RequestID, ContentType: contentType})
		return write(req.Stream)
	}
}

// TestStream: the body is with the caller before the function goes on.
func TestStream(t *testing.T) {
	for _, c := range []struct {
		name, kind string
		pieces     []string
		status     int
		header     http.Header
	}{
		{"plain", "text/x", nil, 200, http.Header{"Content-Type": {"text/x"}}},
		{"without a type", "", nil, 200, http.Header{"Content-Type": {"application/octet-stream"}}},
		{"prelude", preludeType, []string{`{"statusCode":201,"headers":{"x-a":"b","content-type":"text/y"},"cookies":["c=d"]}`, "\x00\x00\x00\x00\x00\x00\x00\x00"}, 201,
			http.Header{"Content-Type": {"text/y"}, "X-A": {"b"}, "Set-Cookie": {"c=d"}}},
		{"prelude in pieces", preludeType, []string{`{"statusCode`, `":201}`, "\x00\x00\x00", "\x00\x00\x00\x00", "\x00"}, 201, http.Header{"Content-Type": {"application/octet-stream"}}},
		{"empty prelude", preludeType, []string{"{}\x00\x00\x00\x00\x00\x00\x00\x00"}, 200, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := start(t, alcove.FunctionURL{InvokeMode: "RESPONSE_STREAM"})
			goOn := make(chan struct{})
			n.answer = begins(c.kind, func(s *alcove.Stream) (*alcove.Result, error) {
				for _, p := range append(c.pieces, "one") {
					_, _ = s.Write([]byte(p))
				}
				<-goOn
				_, _ = s.Write([]byte("two"))
				return &alcove.Result{}, nil
			})
			r, err := http.NewRequest("GET", n.server.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = host
			res, err := n.server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			one := make([]byte, 3)
			if _, err := io.ReadFull(res.Body, one); err != nil || string(one) != "one" {
				t.Fatalf("%q, %v", one, err)
			}
			close(goOn)
			rest, err := io.ReadAll(res.Body)
			if err != nil || string(rest) != "two" || res.StatusCode != c.status {
				t.Errorf("%d %q %v", res.StatusCode, rest, err)
			}
			for name, want := range c.header {
				if got := res.Header[name]; !reflect.DeepEqual(got, want) {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
		})
	}
}

// TestStreamOfAWholeAnswer is passed on as it is, as recorded.
func TestStreamOfAWholeAnswer(t *testing.T) {
	n := start(t, alcove.FunctionURL{InvokeMode: "RESPONSE_STREAM"})
	n.answer = says(`{"statusCode":201,"body":"x"}`)
	if res, body := n.send(t, "GET", "/", "", nil); res.StatusCode != 200 || body != `{"statusCode":201,"body":"x"}` {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

// TestStreamThatFails: half an answer does not look like a whole one.
func TestStreamThatFails(t *testing.T) {
	for _, c := range []struct {
		name, kind, piece string
		status            int // 0 is an answer that breaks off
		err               error
	}{
		{name: "half-way", kind: "text/x", piece: "half"},
		{name: "platform, half-way", kind: "text/x", piece: "half", err: errors.New("secret")},
		{name: "within the prelude", kind: preludeType, piece: `{"statusCode":200}`, status: 502},
		{name: "no prelude", kind: preludeType, piece: "x\x00\x00\x00\x00\x00\x00\x00\x00", status: 502},
		{name: "endless prelude", kind: preludeType, piece: strings.Repeat("x", maxPrelude+1), status: 502},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := start(t, alcove.FunctionURL{InvokeMode: "RESPONSE_STREAM"})
			n.answer = begins(c.kind, func(s *alcove.Stream) (*alcove.Result, error) {
				_, _ = s.Write([]byte(c.piece))
				return &alcove.Result{FunctionError: "Unhandled"}, c.err
			})
			r, err := http.NewRequest("GET", n.server.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = host
			res, err := n.server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if c.status == 0 && (err == nil || string(body) != c.piece) || c.status != 0 && (err != nil || res.StatusCode != c.status || string(body) != "Internal Server Error") {
				t.Errorf("%d %q, %v", res.StatusCode, body, err)
			}
		})
	}
}

// FuzzPrelude: however a stream is cut, it means the same.
func FuzzPrelude(f *testing.F) {
	f.Add([]byte("{\"statusCode\":201,\"headers\":{\"a\":\"b\"}}\x00\x00\x00\x00\x00\x00\x00\x00body"), 3)
	f.Add([]byte("{}\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), 1)
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00"), 7)
	f.Fuzz(func(t *testing.T, in []byte, size int) {
		if size < 1 || len(in) > maxPrelude {
			return
		}
		var whole, cut prelude
		wantHead, wantBody, wantDone, wantErr := whole.add(in)
		var head answer
		var body []byte
		var done bool
		var err error
		for at := 0; at < len(in) && !done && err == nil; at += size {
			end := min(at+size, len(in))
			if head, body, done, err = cut.add(in[at:end]); done {
				body = append(body[:len(body):len(body)], in[end:]...)
			}
		}
		if done != wantDone || (err == nil) != (wantErr == nil) || done && (string(body) != string(wantBody) || !reflect.DeepEqual(head, wantHead)) {
			t.Fatalf("in pieces of %d: %+v %q %v %v; whole: %+v %q %v %v", size, head, body, done, err, wantHead, wantBody, wantDone, wantErr)
		}
	})
}
