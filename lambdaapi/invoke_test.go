package lambdaapi

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/invoke"
)

const invocations = "/2015-03-31/functions/f/invocations"

func TestInvoke(t *testing.T) {
	n := start(t)
	n.create(t, "f", nil)
	out := must[*lambda.InvokeOutput](t)(n.client.Invoke(context.Background(), &lambda.InvokeInput{
		FunctionName: aws.String("f"), Payload: []byte(` {"a": 1}`), TenantId: aws.String("blue tenant/7"), LogType: types.LogTypeTail,
		ClientContext: aws.String(base64.StdEncoding.EncodeToString([]byte("{\n\t\"custom\": {\"k\": \"v \\n\"}}\n"))),
	}))
	if string(out.Payload) != ` {"a": 1}` || out.StatusCode != 200 || *out.ExecutedVersion != "$LATEST" || out.FunctionError != nil {
		t.Errorf("answered %+v with %s", out, out.Payload)
	}
	if log, _ := base64.StdEncoding.DecodeString(*out.LogResult); string(log) != "START\nEND\n" {
		t.Errorf("log %q", log)
	}
	want := invoke.Request{Ref: alcove.Ref{Name: "f"}, Tenant: "blue tenant/7", ClientContext: `{"custom":{"k":"v \n"}}`, Tail: true}
	got := n.invoker.last
	got.Payload = nil
	if got.Ref != want.Ref || got.Tenant != want.Tenant || got.ClientContext != want.ClientContext || got.Tail != want.Tail || got.DryRun {
		t.Errorf("asked for %+v, want %+v", got, want)
	}
}

func TestInvokeHeaders(t *testing.T) {
	n := start(t)
	n.create(t, "f", nil)
	n.invoker.answer = func(invoke.Request) (*alcove.Result, error) {
		return &alcove.Result{Payload: []byte(`{"errorMessage":"x"}`), FunctionError: "Unhandled",
			Report: alcove.Report{RequestID: "11111111-2222-3333-4444-555555555555", Version: "7", Start: alcove.StartCold, Environment: "e", Isolation: "gvisor"}}, nil
	}
	status, h, body := n.raw(t, "POST", invocations, nil, "{}")
	if status != 200 || body != `{"errorMessage":"x"}` {
		t.Errorf("%d %s", status, body)
	}
	for name, want := range map[string]string{
		"X-Amz-Function-Error": "Unhandled", "X-Amz-Executed-Version": "7", "X-Amzn-Requestid": "11111111-2222-3333-4444-555555555555",
		"X-Alcove-Start": "cold", "X-Amz-Log-Result": "", "Content-Length": "20", "X-Alcove-Environment": "", "X-Alcove-Isolation": "",
	} {
		if h.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, h.Get(name), want)
		}
	}
	_, h, _ = n.raw(t, "POST", invocations, http.Header{explainHeader: {"1"}}, "{}")
	if h.Get("X-Alcove-Environment") != "e" || h.Get("X-Alcove-Isolation") != "gvisor" {
		t.Errorf("explained by %v", h)
	}
}

func TestInvokeWithoutPayloadIsAnEmptyObject(t *testing.T) {
	n := start(t)
	n.create(t, "f", nil)
	out := must[*lambda.InvokeOutput](t)(n.client.Invoke(context.Background(), &lambda.InvokeInput{FunctionName: aws.String("f")}))
	if string(out.Payload) != "{}" {
		t.Errorf("the event was %q", out.Payload)
	}
}

func TestInvokeDryRun(t *testing.T) {
	n := start(t)
	n.create(t, "f", nil)
	out := must[*lambda.InvokeOutput](t)(n.client.Invoke(context.Background(), &lambda.InvokeInput{FunctionName: aws.String("f"), InvocationType: types.InvocationTypeDryRun}))
	if out.StatusCode != 204 || len(out.Payload) != 0 || out.ExecutedVersion != nil || !n.invoker.last.DryRun {
		t.Errorf("answered %+v to %+v", out, n.invoker.last)
	}
}

func TestInvokeRefuses(t *testing.T) {
	n := start(t)
	n.create(t, "f", nil)
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	one := func(name, value string) http.Header { return http.Header{name: {value}} }
	for _, c := range []struct {
		name   string
		header http.Header
		path   string
		body   string
		status int
		code   string
		text   string
	}{
		{name: "not there", path: "/2015-03-31/functions/nope/invocations", status: 404, code: "ResourceNotFoundException", text: `"Message":"Function not found: arn:aws:lambda:us-east-1:000000000000:function:nope"`},
		{name: "no json", body: "hello", status: 400, code: "InvalidRequestContentException", text: "Could not parse request body into json: Could not parse payload into json: "},
		{name: "half json", body: `{"a":`, status: 400, code: "InvalidRequestContentException", text: "Could not parse request body into json"},
		{name: "white space", body: " \n", status: 400, code: "InvalidRequestContentException"},
		{name: "not utf-8", body: "\"\x87\"", status: 400, code: "InvalidRequestContentException", text: "Invalid UTF-8"},
		{name: "too large", body: `"` + strings.Repeat("x", 6<<20) + `"`, status: 413, code: "RequestEntityTooLargeException",
			text: "Request must be smaller than 6291456 bytes for the InvokeFunction operation"},
		{name: "type", header: one("X-Amz-Invocation-Type", "x"), status: 400, code: "ValidationException",
			text: "1 validation error detected: Value 'x' at 'invocationType' failed to satisfy constraint: Member must satisfy enum value set: [Event, RequestResponse, DryRun]"},
		{name: "type and log", header: http.Header{"X-Amz-Invocation-Type": {"x"}, "X-Amz-Log-Type": {"y"}}, status: 400, code: "ValidationException",
			text: "2 validation errors detected: Value 'x' at 'invocationType' failed to satisfy constraint: Member must satisfy enum value set: [Event, RequestResponse, DryRun]; Value 'y' at 'logType'"},
		{name: "name, tenant and log", path: "/2015-03-31/functions/a%20b/invocations", header: http.Header{"X-Amz-Tenant-Id": {"a#b"}, "X-Amz-Log-Type": {"y"}}, status: 400, code: "ValidationException",
			text: "3 validation errors detected: Value 'a b' at 'functionName'"},
		{name: "durable", header: one("X-Amz-Durable-Execution-Name", "x"), status: 400, code: "InvalidParameterValueException", text: "DurableExecutionName is not supported yet"},
		{name: "context not base64", header: one("X-Amz-Client-Context", "{}"), status: 400, code: "InvalidRequestContentException", text: "Client context must be a valid Base64-encoded JSON object."},
		{name: "context not json", header: one("X-Amz-Client-Context", b64("x")), status: 400, code: "InvalidRequestContentException"},
		{name: "context no object", header: one("X-Amz-Client-Context", b64("[]")), status: 400, code: "InvalidRequestContentException"},
		{name: "context not utf-8", header: one("X-Amz-Client-Context", b64("{\"a\":\"\x87\"}")), status: 400, code: "InvalidRequestContentException"},
		{name: "context too long", header: one("X-Amz-Client-Context", b64(`{"a":"`+strings.Repeat("x", 2700)+`"}`)), status: 400, code: "InvalidRequestContentException", text: "3583"},
		{name: "tenant pattern", header: one("X-Amz-Tenant-Id", "a#b"), status: 400, code: "ValidationException",
			text: "1 validation error detected: Value 'a#b' at 'tenantId' failed to satisfy constraint: Member must satisfy regular expression pattern: "},
		{name: "tenant empty", header: one("X-Amz-Tenant-Id", ""), status: 400, code: "ValidationException", text: "Member must have length greater than or equal to 1"},
		{name: "tenant empty, other spelling", header: one("X-Amzn-Tenant-Id", ""), status: 400, code: "ValidationException", text: "Member must have length greater than or equal to 1"},
		{name: "tenant too long", header: one("X-Amz-Tenant-Id", strings.Repeat("a", 257)), status: 400, code: "ValidationException", text: "Member must have length less than or equal to 256"},
		{name: "tenant twice", header: http.Header{"X-Amz-Tenant-Id": {"a", "a"}}, status: 400, code: "ValidationException", text: "Member must be given once"},
		{name: "tenant in both spellings", header: http.Header{"X-Amz-Tenant-Id": {"a"}, "X-Amzn-Tenant-Id": {"a"}}, status: 400, code: "ValidationException", text: "Member must be given once"},
		{name: "tenant with two spaces", header: one("X-Amz-Tenant-Id", "a  b"), status: 400, code: "ValidationException", text: "two in a row"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := c.path
			if path == "" {
				path = invocations
			}
			n.invoker.last = invoke.Request{}
			status, h, body := n.raw(t, "POST", path, c.header, c.body)
			if status != c.status || h.Get("X-Amzn-Errortype") != c.code || !strings.Contains(strings.ReplaceAll(body, `\u003e`, ">"), c.text) {
				t.Errorf("%d %s %s", status, h.Get("X-Amzn-Errortype"), body)
			}
			if len(h.Get("X-Amzn-Requestid")) != 36 {
				t.Errorf("request id %q", h.Get("X-Amzn-Requestid"))
			}
			if n.invoker.last.Ref.Name != "" {
				t.Error("it was invoked")
			}
		})
	}
}

func TestInvokeTakesTheLargestPayload(t *testing.T) {
	n := start(t)
	n.create(t, "f", nil)
	body := `"` + strings.Repeat("x", 6<<20-2) + `"`
	if status, _, answer := n.raw(t, "POST", invocations, nil, body); status != 200 || answer != body {
		t.Errorf("%d with %d bytes", status, len(answer))
	}
	r, err := http.NewRequest("POST", n.url+invocations, struct{ *strings.Reader }{strings.NewReader(`{"chunked":true}`)})
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = -1
	r.Header.Set("Authorization", root.AccessKeyID)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 || string(n.invoker.last.Payload) != `{"chunked":true}` {
		t.Errorf("without a length: %d %s", resp.StatusCode, n.invoker.last.Payload)
	}
}

func TestInvokeThrottled(t *testing.T) {
	n := start(t)
	n.create(t, "f", nil)
	n.invoker.answer = func(invoke.Request) (*alcove.Result, error) {
		return nil, &alcove.Error{Fault: alcove.FaultClient, Code: alcove.CodeTooManyRequests, Message: "Rate Exceeded.", Reason: alcove.ReasonConcurrency, RetryAfter: 1100 * time.Millisecond}
	}
	_, err := n.client.Invoke(context.Background(), &lambda.InvokeInput{FunctionName: aws.String("f")})
	wantError(t, err, 429, "TooManyRequestsException", "Rate Exceeded.")
	status, h, body := n.raw(t, "POST", invocations, nil, "")
	if status != 429 || h.Get("Retry-After") != "2" || body != `{"Reason":"ConcurrentInvocationLimitExceeded","Type":"User","message":"Rate Exceeded."}` {
		t.Errorf("%d %v %s", status, h, body)
	}
}

// TestPayloadsAreNotRecycled: an invoker may still be writing an event into a
// sandbox when the answer is out, so its bytes must stay what they are.
func TestPayloadsAreNotRecycled(t *testing.T) {
	n := start(t)
	n.create(t, "f", nil)
	var kept [][]byte
	n.invoker.answer = func(req invoke.Request) (*alcove.Result, error) {
		kept = append(kept, req.Payload)
		return &alcove.Result{Payload: []byte("null")}, nil
	}
	payload := func(i int) string { return `"` + strings.Repeat(string(rune('a'+i)), 3000-i) + `"` }
	for i := range 20 {
		n.raw(t, "POST", invocations, nil, payload(i))
	}
	for i, p := range kept {
		if string(p) != payload(i) {
			t.Fatalf("payload %d became %.20s…", i, p)
		}
	}
}

// discard is a ResponseWriter that keeps nothing.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

func BenchmarkInvoke(b *testing.B) {
	n := newNode(b)
	n.catalog.functions["f"] = &fakeFunction{versions: []*alcove.Version{{Name: "f", Number: alcove.Latest}}}
	result := &alcove.Result{Payload: []byte(`{"ok":true}`), Report: alcove.Report{RequestID: "11111111-2222-3333-4444-555555555555", Version: alcove.Latest, Start: alcove.StartWarm}}
	n.api.Invoker = answerer{result}
	payload := bytes.Repeat([]byte("1"), 200)
	r, err := http.NewRequest("POST", "http://127.0.0.1"+invocations, nil)
	if err != nil {
		b.Fatal(err)
	}
	r.RequestURI = invocations
	r.ContentLength = int64(len(payload))
	r.Header.Set("Authorization", root.AccessKeyID)
	r.Header.Set("X-Amz-Tenant-Id", "blue")
	w := &discard{h: http.Header{}}
	body := bytes.NewReader(payload)
	r.Body = struct {
		*bytes.Reader
		nopCloser
	}{Reader: body}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.h)
		body.Reset(payload)
		n.api.ServeHTTP(w, r)
		if w.h["X-Alcove-Start"] == nil {
			b.Fatal(w.h)
		}
	}
}

type nopCloser struct{}

func (nopCloser) Close() error { return nil }

type answerer struct{ result *alcove.Result }

func (a answerer) Invoke(context.Context, alcove.Caller, invoke.Request) (*alcove.Result, error) {
	return a.result, nil
}

// An event is answered when it is kept, with the request id of its runs, and no
// body.
func TestInvokeEvent(t *testing.T) {
	n := start(t)
	n.create(t, "f", func(in *lambda.CreateFunctionInput) {
		in.TenancyConfig = &types.TenancyConfig{TenantIsolationMode: types.TenantIsolationModePerTenant}
	})
	out, err := n.client.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("f"), InvocationType: types.InvocationTypeEvent,
		TenantId: aws.String("blue"), Payload: []byte(`{"a":1}`)})
	if err != nil || out.StatusCode != 202 || len(out.Payload) != 0 || out.ExecutedVersion != nil || out.FunctionError != nil {
		t.Fatalf("%+v %v", out, err)
	}
	if id, _ := awsmiddleware.GetRequestIDMetadata(out.ResultMetadata); id != "99999999-2222-3333-4444-555555555555" {
		t.Errorf("request id %s", id)
	}
	if got := n.invoker.last; got.Tenant != "blue" || string(got.Payload) != `{"a":1}` {
		t.Errorf("accepted %+v", got)
	}
	//lint:ignore SA1019 it is there for those who still use it
	old, err := n.client.InvokeAsync(t.Context(), &lambda.InvokeAsyncInput{FunctionName: aws.String("f"), InvokeArgs: strings.NewReader(`{"b":2}`)})
	if err != nil || old.Status != 202 || string(n.invoker.last.Payload) != `{"b":2}` || n.invoker.last.Tenant != "" {
		t.Errorf("the old operation: %+v %v, accepted %+v", old, err, n.invoker.last)
	}
	if status, h, text := n.raw(t, "POST", "/2014-11-13/functions/f/invoke-async", nil, "no JSON"); status != 400 || h.Get("X-Amzn-Errortype") != "InvalidRequestContentException" {
		t.Errorf("no JSON: %d %s", status, text)
	}
}

func TestInvokeWithIdempotencyKey(t *testing.T) {
	n := start(t)
	n.create(t, "f", nil)
	for _, c := range []struct {
		kind, key string
		status    int
		repeated  string
	}{
		{"", "k", 200, ""}, {"", "again", 200, "true"}, {"Event", "k", 202, ""}, {"Event", "again", 202, "true"}, {"", "", 400, ""}, {"DryRun", "k", 204, ""},
	} {
		h := http.Header{"X-Alcove-Idempotency-Key": {c.key}}
		if c.kind != "" {
			h.Set("X-Amz-Invocation-Type", c.kind)
		}
		status, got, text := n.raw(t, "POST", invocations, h, `{"a":1}`)
		if status != c.status || got.Get("X-Alcove-Idempotent-Replay") != c.repeated {
			t.Errorf("%q with %q: %d %v %s", c.kind, c.key, status, got, text)
		}
	}
}

// What a function asks for is in the chain that the function runs in, whatever it
// sends on.
func TestInvokeFromWithin(t *testing.T) {
	n := start(t)
	n.create(t, "f", nil)
	const one, two = "Root=1-5759e988-bd862e3fe1be46a994272793", "Root=1-67891233-abcdef012345678912345678"
	before := ""
	n.api.Within = func(*http.Request) (alcove.Trace, bool) { return alcove.ParseTrace(before), before != "" }
	for _, c := range []struct{ before, sent, want string }{
		{"", one, one},
		{two + ";Lineage=12345678:3", "", two + ";Lineage=12345678:3"},
		{two + ";Lineage=12345678:3", one + ";Lineage=12345678:1", one + ";Lineage=12345678:3"},
	} {
		before = c.before
		n.raw(t, "POST", invocations, http.Header{"X-Amzn-Trace-Id": {c.sent}}, "{}")
		if got := n.invoker.last.Trace; got.Header() != c.want {
			t.Errorf("%+v: %q", c, got.Header())
		}
	}
}
