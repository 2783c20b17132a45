package lambdaapi

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"

	"github.com/alcove-run/alcove"
	frames "github.com/alcove-run/alcove/internal/eventstream"
	"github.com/alcove-run/alcove/invoke"
)

const streamingInvocations = "/2021-11-15/functions/f/response-streaming-invocations"

// answering has the invoker begin an answer and let a test write it.
func (n *node) answering(write func(*alcove.Stream) (*alcove.Result, error)) {
	n.invoker.answer = func(req invoke.Request) (*alcove.Result, error) {
		req.Stream.Begin(alcove.StreamStart{RequestID: "11111111-2222-3333-4444-555555555555", Version: "7", Start: alcove.StartWarm})
		return write(req.Stream)
	}
}

func (n *node) stream(t *testing.T, in *lambda.InvokeWithResponseStreamInput) *lambda.InvokeWithResponseStreamOutput {
	t.Helper()
	in.FunctionName = aws.String("f")
	out, err := n.client.InvokeWithResponseStream(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = out.GetStream().Close() })
	return out
}

// rest reads events to their end.
func rest(t *testing.T, out *lambda.InvokeWithResponseStreamOutput) (payload string, end *types.InvokeWithResponseStreamCompleteEvent) {
	t.Helper()
	for event := range out.GetStream().Events() {
		switch event := event.(type) {
		case *types.InvokeWithResponseStreamResponseEventMemberPayloadChunk:
			payload += string(event.Value.Payload)
		case *types.InvokeWithResponseStreamResponseEventMemberInvokeComplete:
			if end != nil {
				t.Error("two ends")
			}
			end = &event.Value
		}
	}
	return payload, end
}

// TestChunksReachTheSDKAtOnce: the function does not go on before the SDK has
// read what it wrote.
func TestChunksReachTheSDKAtOnce(t *testing.T) {
	n := start(t)
	n.create(t, "f", nil)
	goOn := make(chan struct{})
	n.answering(func(s *alcove.Stream) (*alcove.Result, error) {
		_, _ = s.Write([]byte("one"))
		<-goOn
		_, _ = s.Write([]byte("two"))
		return &alcove.Result{LogTail: []byte("REPORT\n")}, nil
	})
	out := n.stream(t, &lambda.InvokeWithResponseStreamInput{Payload: []byte(`{"a":1}`), LogType: types.LogTypeTail, TenantId: aws.String("blue")})
	if *out.ExecutedVersion != "7" || out.StatusCode != 200 || *out.ResponseStreamContentType != frames.Type {
		t.Errorf("%+v", out)
	}
	first := <-out.GetStream().Events()
	if chunk, ok := first.(*types.InvokeWithResponseStreamResponseEventMemberPayloadChunk); !ok || string(chunk.Value.Payload) != "one" {
		t.Fatalf("the first event is %+v", first)
	}
	close(goOn)
	payload, end := rest(t, out)
	if payload != "two" || end == nil || end.ErrorCode != nil || end.ErrorDetails != nil {
		t.Fatalf("%q, end %+v", payload, end)
	}
	if log, _ := base64.StdEncoding.DecodeString(*end.LogResult); string(log) != "REPORT\n" {
		t.Errorf("log %q", log)
	}
	if err := out.GetStream().Err(); err != nil {
		t.Error(err)
	}
	if got := n.invoker.last; got.Tenant != "blue" || string(got.Payload) != `{"a":1}` || !got.Tail {
		t.Errorf("asked for %+v", got)
	}
}

// TestStreamEnds: each way in which an answer can end, as the SDK reads it.
func TestStreamEnds(t *testing.T) {
	whole := func(r alcove.Result, err error) func(invoke.Request) (*alcove.Result, error) {
		return func(invoke.Request) (*alcove.Result, error) { return &r, err }
	}
	half := func(r alcove.Result, err error) func(invoke.Request) (*alcove.Result, error) {
		return func(req invoke.Request) (*alcove.Result, error) {
			req.Stream.Begin(alcove.StreamStart{RequestID: "r", Version: "7"})
			_, _ = req.Stream.Write([]byte("half"))
			return &r, err
		}
	}
	failed := func(kind string) alcove.Result {
		return alcove.Result{Payload: []byte(`{"errorType":"X"}`), FunctionError: "Unhandled", Report: alcove.Report{ErrorType: kind}}
	}
	for _, c := range []struct {
		name                   string
		answer                 func(invoke.Request) (*alcove.Result, error)
		payload, code, details string
		err                    string // of the call
		streamErr              string // of the stream
	}{
		{name: "answer that is whole", answer: whole(alcove.Result{Payload: []byte(`"all"`)}, nil), payload: `"all"`},
		{name: "answer without a byte", answer: whole(alcove.Result{}, nil)},
		{name: "error of the function", answer: whole(failed("Function.X"), nil), code: "Unhandled", details: `{"errorType":"X"}`},
		{name: "error half-way", answer: half(failed("Runtime.Unknown"), nil), payload: "half", code: "Unhandled", details: `{"errorType":"X"}`},
		{name: "timeout half-way", answer: half(failed("Sandbox.Timedout"), nil), payload: "half", code: "Sandbox.Timedout", details: `{"errorType":"X"}`},
		{name: "out of memory half-way", answer: half(failed("Runtime.OutOfMemory"), nil), payload: "half", code: "Runtime.ExitError", details: `{"errorType":"X"}`},
		{name: "no room", answer: whole(alcove.Result{}, alcove.Throttled(alcove.ReasonConcurrency, alcove.LimitConcurrency)), err: "TooManyRequestsException"},
		{name: "platform, before", answer: whole(alcove.Result{}, errors.New("secret")), err: "ServiceException"},
		{name: "platform, half-way", answer: half(alcove.Result{}, errors.New("secret")), payload: "half", streamErr: "ServiceException"},
		{name: "panic", answer: func(invoke.Request) (*alcove.Result, error) { panic("secret") }, err: "ServiceException"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := start(t)
			n.create(t, "f", nil)
			n.invoker.answer = c.answer
			out, err := n.client.InvokeWithResponseStream(context.Background(), &lambda.InvokeWithResponseStreamInput{FunctionName: aws.String("f")})
			if c.err != "" {
				if e, ok := errors.AsType[smithy.APIError](err); !ok || e.ErrorCode() != c.err || strings.Contains(e.Error(), "secret") {
					t.Fatalf("answered %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			payload, end := rest(t, out)
			if payload != c.payload {
				t.Errorf("payload %q", payload)
			}
			if err := out.GetStream().Err(); c.streamErr != "" {
				if e, ok := errors.AsType[smithy.APIError](err); !ok || e.ErrorCode() != c.streamErr || strings.Contains(e.Error(), "secret") || end != nil {
					t.Errorf("the stream's error is %v, its end %+v", err, end)
				}
				return
			} else if err != nil {
				t.Fatal(err)
			}
			if end == nil || aws.ToString(end.ErrorCode) != c.code || aws.ToString(end.ErrorDetails) != c.details || end.LogResult != nil {
				t.Errorf("end %+v", end)
			}
		})
	}
}

// TestCallerThatLeavesAStream: the function runs on, and its result is awaited.
func TestCallerThatLeavesAStream(t *testing.T) {
	n := start(t)
	n.create(t, "f", nil)
	finished := make(chan error, 1)
	left := make(chan struct{})
	n.answering(func(s *alcove.Stream) (*alcove.Result, error) {
		_, _ = s.Write([]byte("one"))
		<-left
		var err error
		for range 1000 {
			if _, err = s.Write(make([]byte, 32<<10)); err != nil {
				break
			}
		}
		finished <- err
		return &alcove.Result{}, nil
	})
	out := n.stream(t, &lambda.InvokeWithResponseStreamInput{})
	<-out.GetStream().Events()
	_ = out.GetStream().Close()
	close(left)
	if err := <-finished; err != nil {
		t.Errorf("the function was told: %v", err)
	}
}

// TestSlowCallerSlowsTheFunction: a caller that does not read keeps the function
// from writing on, and nothing piles up here.
func TestSlowCallerSlowsTheFunction(t *testing.T) {
	n := start(t)
	n.create(t, "f", nil)
	const all = 64 << 20
	var stream *alcove.Stream
	wrote := make(chan struct{})
	n.answering(func(s *alcove.Stream) (*alcove.Result, error) {
		stream = s
		_, _ = s.Write([]byte("first"))
		defer close(wrote)
		piece := make([]byte, 32<<10)
		for range all / len(piece) {
			if _, err := s.Write(piece); err != nil {
				return nil, err
			}
		}
		return &alcove.Result{}, nil
	})
	req, err := http.NewRequest("POST", n.url+streamingInvocations, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", root.AccessKeyID)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	one := make([]byte, 1)
	if _, err := resp.Body.Read(one); err != nil {
		t.Fatal(err)
	}
	// Sockets hold some; the rest waits for this. It never gets there by itself.
	for before := int64(-1); before != stream.Written(); {
		before = stream.Written()
		for range 1000 { // whoever could write would be let
			select {
			case <-wrote:
				t.Fatal("the function wrote all of it to a caller that reads nothing")
			default:
				runtime.Gosched()
			}
		}
	}
	rest, err := io.ReadAll(resp.Body)
	if err != nil || len(rest) < all {
		t.Errorf("%d bytes came, %v", len(rest), err)
	}
	<-wrote
}

func TestStreamingRefuses(t *testing.T) {
	n := start(t)
	n.create(t, "f", nil)
	status, h, body := n.raw(t, "POST", streamingInvocations, http.Header{"X-Amz-Invocation-Type": {"Event"}}, "{}")
	if status != 400 || h.Get("X-Amzn-Errortype") != "ValidationException" || !strings.Contains(body, "[RequestResponse, DryRun]") {
		t.Errorf("Event: %d %s", status, body)
	}
	status, _, body = n.raw(t, "POST", streamingInvocations, http.Header{"X-Amz-Invocation-Type": {"DryRun"}}, "{}")
	if status != 204 || body != "" || !n.invoker.last.DryRun {
		t.Errorf("DryRun: %d %s", status, body)
	}
	status, h, _ = n.raw(t, "POST", strings.Replace(streamingInvocations, "/f/", "/nope/", 1), nil, "{}")
	if status != 404 || h.Get("X-Amzn-Errortype") != "ResourceNotFoundException" {
		t.Errorf("no such function: %d", status)
	}
}

// FuzzFrame sees that AWS's own decoder reads what the writer writes, and nothing
// else.
func FuzzFrame(f *testing.F) {
	f.Add(":event-type", "PayloadChunk", []byte("payload"), []byte("more"))
	f.Add("", "", []byte{}, []byte{})
	f.Add("a", strings.Repeat("x", 65535), bytes.Repeat([]byte{0}, 1<<16), []byte("\x00"))
	f.Fuzz(func(t *testing.T, name, value string, payload, second []byte) {
		if name == "" || len(name) > 255 || len(value) > 65535 {
			return
		}
		b := frames.Append([]byte("before"), []frames.Header{{Name: name, Value: value}}, payload)
		b = appendChunk(b, second)
		b = appendError(b, value, name)
		in := bytes.NewReader(b[len("before"):])
		decoder := eventstream.NewDecoder()
		m, err := decoder.Decode(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Headers.Get(name); got == nil || got.String() != value || !bytes.Equal(m.Payload, payload) {
			t.Fatalf("read %+v", m)
		}
		if m, err = decoder.Decode(in, nil); err != nil || !bytes.Equal(m.Payload, second) || m.Headers.Get(":event-type").String() != "PayloadChunk" {
			t.Fatalf("read %+v, %v", m, err)
		}
		if m, err = decoder.Decode(in, nil); err != nil || m.Headers.Get(":message-type").String() != "error" {
			t.Fatalf("read %+v, %v", m, err)
		}
		if in.Len() != 0 {
			t.Fatalf("%d bytes too many", in.Len())
		}
	})
}
