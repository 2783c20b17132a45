package environment

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/sandbox"
)

// stream posts a streamed answer, whose body is what write writes.
func (rt *runtimeClient) stream(id string, write func(io.Writer)) int {
	r, w := io.Pipe()
	go func() {
		write(w)
		_ = w.Close()
	}()
	req, err := http.NewRequest("POST", "http://runtime/2018-06-01/runtime/invocation/"+id+"/response", r)
	if err != nil {
		return 0
	}
	req.Header.Set("Lambda-Runtime-Function-Response-Mode", "streaming")
	req.Header.Set("Content-Type", "text/x")
	resp, err := rt.http.Do(req)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

type streamedResult struct {
	res *alcove.Result
	err error
}

// invokeStream is invoke for a caller that reads the answer while it is made.
func (b *bench) invokeStream(t *testing.T, payload string) (*alcove.Stream, <-chan streamedResult) {
	t.Helper()
	s := alcove.NewStream()
	done := make(chan streamedResult, 1)
	go func() {
		res, err := b.env.Invoke(t.Context(), &alcove.Invocation{RequestID: "r-1", Version: b.env.Version(), Tenant: "blue", Stream: s,
			Payload: []byte(payload), InvokedARN: b.env.Version().ARN, Accepted: time.Now()}, InvokeOptions{Tail: true, Waited: true})
		s.End()
		done <- streamedResult{res, err}
	}()
	return s, done
}

func TestAnswerIsReadWhileItIsMade(t *testing.T) {
	goOn := make(chan struct{})
	b := start(t, func(rt *runtimeClient) sandbox.Exit {
		id, _, _, _ := rt.next()
		rt.stream(id, func(w io.Writer) {
			_, _ = io.WriteString(rt.stdout, "a line\n")
			_, _ = io.WriteString(w, "one")
			<-goOn
			_, _ = io.WriteString(w, "two")
		})
		return echo(rt)
	}, nil)
	s, done := b.invokeStream(t, "1")
	begun, ok := s.Begun()
	if want := (alcove.StreamStart{RequestID: "r-1", Version: "$LATEST", ContentType: "text/x", Start: alcove.StartCold}); !ok || begun != want {
		t.Fatalf("begun %+v", begun)
	}
	if p, _ := s.Next(); string(p) != "one" {
		t.Fatalf("piece %q", p)
	}
	close(goOn) // the function could not have gone on before
	if p, _ := s.Next(); string(p) != "two" {
		t.Fatalf("piece %q", p)
	}
	if _, more := s.Next(); more {
		t.Error("more than was written")
	}
	got := <-done
	if got.err != nil || got.res.FunctionError != "" || len(got.res.Payload) != 0 || got.res.Report.BytesOut != 6 || got.res.Report.Status != alcove.StatusSuccess {
		t.Errorf("%+v %v", got.res, got.err)
	}
	if !strings.Contains(string(got.res.LogTail), "a line\n") {
		t.Errorf("tail %q", got.res.LogTail)
	}
	if res := b.mustInvoke(t, "blue", "3"); string(res.Payload) != "3" {
		t.Errorf("the next one: %s", res.Payload)
	}
}

// TestStreamedAnswerIsWholeForWhoWantsItSo: Invoke of a function that streams.
func TestStreamedAnswerIsWholeForWhoWantsItSo(t *testing.T) {
	b := start(t, func(rt *runtimeClient) sandbox.Exit {
		id, _, _, _ := rt.next()
		rt.stream(id, func(w io.Writer) {
			_, _ = io.WriteString(w, "one")
			_, _ = io.WriteString(w, "two")
		})
		return echo(rt)
	}, nil)
	if res := b.mustInvoke(t, "blue", "1"); string(res.Payload) != "onetwo" || res.Report.BytesOut != 6 {
		t.Errorf("%+v", res)
	}
}

// TestWholeAnswerOfWhoCouldRead: a stream that has not begun is over when the
// answer is there.
func TestWholeAnswerOfWhoCouldRead(t *testing.T) {
	b := start(t, echo, nil)
	s, done := b.invokeStream(t, "1")
	if _, begun := s.Begun(); begun {
		t.Error("begun")
	}
	if got := <-done; got.err != nil || string(got.res.Payload) != "1" || got.res.Report.BytesOut != 1 {
		t.Errorf("%+v %v", got.res, got.err)
	}
}

func TestStreamEndsWithItsInvocation(t *testing.T) {
	for _, c := range []struct {
		name, kind string
		status     alcove.Status
		end        func(*runtimeClient) sandbox.Exit
	}{
		{"timeout", "Sandbox.Timedout", alcove.StatusTimeout, func(rt *runtimeClient) sandbox.Exit { <-rt.killed; return sandbox.Exit{} }},
		{"exit", "Runtime.ExitError", alcove.StatusError, func(*runtimeClient) sandbox.Exit { return sandbox.Exit{Code: 3} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			read := make(chan struct{})
			b := start(t, func(rt *runtimeClient) sandbox.Exit {
				id, _, _, _ := rt.next()
				go rt.stream(id, func(w io.Writer) {
					_, _ = io.WriteString(w, "half")
					<-rt.killed
				})
				<-read
				return c.end(rt)
			}, func(cfg *Config) {
				if c.status == alcove.StatusTimeout {
					timeout(2)(cfg)
				}
			})
			s, done := b.invokeStream(t, "1")
			if p, _ := s.Next(); string(p) != "half" {
				t.Fatalf("piece %q", p)
			}
			close(read)
			// The caller has its piece still, and does not come back: neither the
			// end nor the report waits for it.
			got := <-done
			if got.err != nil {
				t.Fatal(got.err)
			}
			if kind, _ := errorObject(t, got.res); kind != c.kind || got.res.Report.Status != c.status {
				t.Errorf("%s, report %+v", kind, got.res.Report)
			}
			if _, more := s.Next(); more {
				t.Error("a piece after the end")
			}
		})
	}
}

// TestOneStreamAnInvocation: a second answer while the first goes out is refused.
func TestOneStreamAnInvocation(t *testing.T) {
	status, read := make(chan int, 1), make(chan struct{})
	b := start(t, func(rt *runtimeClient) sandbox.Exit {
		id, _, _, _ := rt.next()
		rt.stream(id, func(w io.Writer) {
			_, _ = io.WriteString(w, "one")
			<-read
			status <- rt.stream(id, func(w io.Writer) { _, _ = io.WriteString(w, "other") })
		})
		return echo(rt)
	}, nil)
	s, done := b.invokeStream(t, "1")
	if p, _ := s.Next(); string(p) != "one" {
		t.Fatalf("piece %q", p)
	}
	close(read)
	if p, more := s.Next(); more {
		t.Errorf("another piece: %q", p)
	}
	if got := <-status; got != 403 {
		t.Errorf("the second answer: %d", got)
	}
	<-done
}
