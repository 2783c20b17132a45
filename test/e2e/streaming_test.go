package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/alcove-run/alcove/test/testnode"
)

// streamer streams as its event says.
const streamer = `exports.handler = awslambda.streamifyResponse(async (event, out, context) => {
	out.write(context.tenantId + " first");
	console.log("wrote it");
	if (event.do === "hang") await new Promise((resolve) => setTimeout(resolve, 600000));
	if (event.do === "throw") throw new RangeError("half-way");
	if (event.do === "exit") { await new Promise((resolve) => out.write("x", resolve)); process.exit(7); }
	if (event.do === "much") {
		const piece = Buffer.alloc(1 << 20, "x");
		for (let i = 0; i < event.megabytes; i++) if (!out.write(piece)) await new Promise((resolve) => out.once("drain", resolve));
	}
	out.end(" last");
});
`

// answer is a streamed answer as the SDK reads it.
type answer struct {
	start   *lambda.InvokeWithResponseStreamOutput
	payload string // all chunks
	chunks  int
	end     *types.InvokeWithResponseStreamCompleteEvent
}

func (n *node) stream(t *testing.T, function, tenant, payload string) answer {
	t.Helper()
	in := &lambda.InvokeWithResponseStreamInput{FunctionName: &function, Payload: []byte(payload), LogType: types.LogTypeTail}
	if tenant != "" {
		in.TenantId = &tenant
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := n.lambda.InvokeWithResponseStream(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	stream := out.GetStream()
	defer stream.Close()
	a := answer{start: out}
	var all strings.Builder
	for event := range stream.Events() {
		switch event := event.(type) {
		case *types.InvokeWithResponseStreamResponseEventMemberPayloadChunk:
			a.chunks++
			all.Write(event.Value.Payload)
		case *types.InvokeWithResponseStreamResponseEventMemberInvokeComplete:
			a.end = &event.Value
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	if a.payload = all.String(); a.end == nil {
		t.Fatalf("no end after %q", a.payload)
	}
	return a
}

// failed checks how an answer ended.
func (a answer) failed(t *testing.T, payload, code, details string) {
	t.Helper()
	if a.payload != payload || aws.ToString(a.end.ErrorCode) != code || !strings.Contains(aws.ToString(a.end.ErrorDetails), details) {
		t.Errorf("%q, then %q %q; want %q, then %q %q", a.payload, aws.ToString(a.end.ErrorCode), aws.ToString(a.end.ErrorDetails), payload, code, details)
	}
}

// TestResponseStream streams from Node.js to the SDK. That a chunk is on its way
// before the handler ends is shown by handlers that never end well: what they
// wrote before can only have gone out by then.
func TestResponseStream(t *testing.T) {
	onEach(t, func(t *testing.T, n *node) {
		f := n.deploy(t, nodejs, files{"index.js": streamer}, isolated, handler("index.handler"), timeout(3))
		for _, tenant := range []string{"a", "b", "a"} {
			a := n.stream(t, f, tenant, `{}`)
			a.failed(t, tenant+" first last", "", "")
			if *a.start.ExecutedVersion != "$LATEST" || *a.start.ResponseStreamContentType != "application/vnd.amazon.eventstream" {
				t.Errorf("%+v", a)
			}
			log, err := base64.StdEncoding.DecodeString(*a.end.LogResult)
			if err != nil || !strings.Contains(string(log), "wrote it") || !strings.Contains(string(log), "REPORT") {
				t.Errorf("log %q, %v", log, err)
			}
		}
		n.stream(t, f, "a", `{"do":"throw"}`).failed(t, "a first", "Unhandled", `"errorMessage":"half-way"`)
		// Whichever is seen first: the end of the process, or of its connection, or
		// what came by it.
		if a := n.stream(t, f, "a", `{"do":"exit"}`); !strings.HasPrefix("a firstx", a.payload) || *a.end.ErrorCode != "Runtime.ExitError" && *a.end.ErrorCode != "Runtime.TruncatedResponse" {
			t.Errorf("%q, then %+v", a.payload, a.end)
		}
		n.stream(t, f, "a", `{"do":"hang"}`).failed(t, "a first", "Sandbox.Timedout", "Task timed out after 3.00 seconds")
		much := n.stream(t, f, "a", `{"do":"much","megabytes":20}`)
		if want := len("a first last") + 20<<20; len(much.payload) != want || much.end.ErrorCode != nil {
			t.Errorf("%d bytes, want %d; end %+v", len(much.payload), want, much.end)
		}
		// Who wants it whole gets it whole, or an error.
		if got := n.invoke(t, f, call{tenant: "a", payload: `{}`}); string(got.Payload) != "a first last" {
			t.Errorf("Invoke: %s", got.Payload)
		}
		if fault, _ := n.fail(t, f, call{tenant: "a", payload: `{"do":"throw"}`}); fault.ErrorType != "RangeError" {
			t.Errorf("Invoke: %+v", fault)
		}
	})
}

// TestResponseStreamOfWholeAnswers: a function that answers as usual is read as
// one chunk. AWS's runtime for Python streams in no other way.
func TestResponseStreamOfWholeAnswers(t *testing.T) {
	onEach(t, func(t *testing.T, n *node) {
		f := n.deploy(t, python, files{"main.py": "def handler(event, context):\n    if event.get('fail'):\n        raise ValueError('no')\n    return {'tenant': context.tenant_id}\n"},
			isolated, handler("main.handler"))
		a := n.stream(t, f, "a", `{}`)
		if a.failed(t, `{"tenant": "a"}`, "", ""); a.chunks != 1 {
			t.Errorf("in %d chunks", a.chunks)
		}
		n.stream(t, f, "a", `{"fail": true}`).failed(t, "", "Unhandled", `"errorType": "ValueError"`)
		_, err := n.lambda.InvokeWithResponseStream(t.Context(), &lambda.InvokeWithResponseStreamInput{FunctionName: &f})
		wantError(t, err, 400, "InvalidParameterValueException", "Add a valid tenant ID")
	})
}

// TestResponseStreamOfACustomRuntime streams with aws-lambda-go, as it is.
func TestResponseStreamOfACustomRuntime(t *testing.T) {
	program := filepath.Join(t.TempDir(), "bootstrap")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "./testdata/gostream")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	onEach(t, func(t *testing.T, n *node) {
		f := n.deploy(t, provided, files{"bootstrap*": string(b)}, handler("bootstrap"), timeout(3))
		n.stream(t, f, "", `{}`).failed(t, "firstsecond", "", "")
		n.stream(t, f, "", `{"do":"fail"}`).failed(t, "", "Unhandled", "not even begun")
		n.stream(t, f, "", `{"do":"break"}`).failed(t, "first", "Unhandled", "half-way")
		n.stream(t, f, "", `{"do":"hang"}`).failed(t, "first", "Sandbox.Timedout", "Task timed out")
		if got := n.invoke(t, f, call{payload: `{}`}); string(got.Payload) != "firstsecond" {
			t.Errorf("Invoke: %s", got.Payload)
		}
	})
}

// TestResponseStreamInJavaScript reads streams with the SDK for JavaScript.
func TestResponseStreamInJavaScript(t *testing.T) {
	installJavaScript(t)
	onEach(t, func(t *testing.T, n *node) {
		f := n.deploy(t, nodejs, files{"index.js": streamer}, isolated, handler("index.handler"), timeout(3))
		cmd := exec.CommandContext(t.Context(), "node", "stream.mjs", `{}`, `{"do":"throw"}`, `{"do":"hang"}`)
		cmd.Dir = javaScriptDir
		cmd.Env = cleanEnv("ENDPOINT="+n.url, "FUNCTION="+f, "TENANT=a", "AWS_REGION=us-east-1",
			"AWS_ACCESS_KEY_ID="+n.key.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+n.key.SecretAccessKey)
		var errs testnode.Buffer
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v\n%s", err, errs.String())
		}
		var got []struct {
			Version string
			Chunks  []string
			End     struct{ ErrorCode, ErrorDetails, LogResult string }
		}
		if err := json.Unmarshal(out, &got); err != nil || len(got) != 3 {
			t.Fatalf("%v\n%s", err, out)
		}
		if g := got[0]; g.Version != "$LATEST" || strings.Join(g.Chunks, "") != "a first last" || g.End.ErrorCode != "" || g.End.LogResult == "" {
			t.Errorf("%+v", g)
		}
		if g := got[1]; g.End.ErrorCode != "Unhandled" || !strings.Contains(g.End.ErrorDetails, "half-way") {
			t.Errorf("%+v", g)
		}
		if g := got[2]; strings.Join(g.Chunks, "") != "a first" || g.End.ErrorCode != "Sandbox.Timedout" {
			t.Errorf("%+v", g)
		}
	})
}
