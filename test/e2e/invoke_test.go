package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// TestHandlers invokes every kind of handler that AWS's runtimes know.
func TestHandlers(t *testing.T) {
	for _, c := range []struct {
		name    string
		runtime types.Runtime
		file    string
		code    string
	}{
		{"python", python, "main.py", "def handler(event, context):\n return {'got': event['n'], 'id': context.aws_request_id, 'name': context.function_name, 'left': context.get_remaining_time_in_millis() > 0}"},
		{"node async", nodejs, "main.mjs", "export const handler = async (event, context) => ({got: event.n, id: context.awsRequestId, name: context.functionName, left: context.getRemainingTimeInMillis() > 0})"},
		{"node module", nodejs, "main.js", "exports.handler = async (event, context) => ({got: event.n, id: context.awsRequestId, name: context.functionName, left: context.getRemainingTimeInMillis() > 0})"},
		{"node callback", nodejs, "main.cjs", "exports.handler = (event, context, done) => setImmediate(() => done(null, {got: event.n, id: context.awsRequestId, name: context.functionName, left: context.getRemainingTimeInMillis() > 0}))"},
	} {
		t.Run(c.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, n *node) {
				f := n.deploy(t, c.runtime, files{c.file: c.code})
				var got struct {
					Got  int
					ID   string
					Name string
					Left bool
				}
				inv := n.run(t, f, call{payload: `{"n": 7}`}, &got)
				if got.Got != 7 || len(got.ID) != 36 || got.Name != f || !got.Left {
					t.Errorf("the handler saw %+v", got)
				}
				if aws.ToString(inv.ExecutedVersion) != "$LATEST" || inv.StatusCode != 200 {
					t.Errorf("answered with status %d, version %q", inv.StatusCode, aws.ToString(inv.ExecutedVersion))
				}
				if inv.start == "warm" || n.run(t, f, call{payload: `{"n": 8}`}, nil).start != "warm" {
					t.Error("the first invocation must find no warm environment, the second one must")
				}
			})
		})
	}
}

// TestExceptions checks the objects that AWS answers with when a handler fails.
func TestExceptions(t *testing.T) {
	onEach(t, func(t *testing.T, n *node) {
		t.Run("python", func(t *testing.T) {
			f := n.deploy(t, python, files{"main.py": "def inner():\n raise ValueError('no é')\ndef handler(event, context):\n inner()"})
			got, inv := n.fail(t, f, call{})
			if got.ErrorType != "ValueError" || got.ErrorMessage != "no é" || len(got.StackTrace) != 2 || got.RequestID == nil || len(*got.RequestID) != 36 {
				t.Errorf("answered %s", inv.Payload)
			}
			if !strings.Contains(inv.tail, "[ERROR] ValueError: no é") {
				t.Errorf("the log tail does not say what failed:\n%s", inv.tail)
			}
			if n.invoke(t, f, call{}).start != "warm" {
				t.Error("an exception must not cost the environment")
			}
		})
		t.Run("node", func(t *testing.T) {
			f := n.deploy(t, nodejs, files{"main.mjs": "class Mine extends Error { get name() { return 'Mine' } }\nexport const handler = async () => { throw new Mine('no') }"})
			got, inv := n.fail(t, f, call{})
			if got.ErrorType != "Mine" || got.ErrorMessage != "no" || len(got.Trace) < 2 || got.RequestID != nil {
				t.Errorf("answered %s", inv.Payload)
			}
		})
		t.Run("node rejects unhandled", func(t *testing.T) {
			f := n.deploy(t, nodejs, files{"main.mjs": "export const handler = () => { Promise.reject(new Error('lost')); return new Promise(() => setTimeout(() => {}, 10000)) }"})
			got, inv := n.fail(t, f, call{})
			if got.ErrorType != "Runtime.UnhandledPromiseRejection" {
				t.Errorf("answered %s", inv.Payload)
			}
		})
	})
}

// TestEnds checks what a caller is told when a function's process ends, or is
// ended; the next invocation must find a new environment.
func TestEnds(t *testing.T) {
	const code = `
import os, signal, time
count = 0
def handler(event, context):
    global count
    count += 1
    how = event.get('how')
    if how == 'exit': os._exit(event['code'])
    if how == 'signal': os.kill(os.getpid(), event['signal'])
    if how == 'sleep': time.sleep(60)
    if how == 'memory':
        kept = []
        for i in range(100): kept.append(bytearray(os.urandom(4096)) * 1024)
    if how == 'big': return 'x' * (event['size'] - 2)
    return count
`
	for _, c := range []struct {
		name, event   string
		kind, message string // what the message ends with
		inMeter       string // what the REPORT line has
	}{
		{"exit 0", `{"how":"exit","code":0}`, "Runtime.ExitError", "Error: Runtime exited without providing a reason", "Status: error\tError Type: Runtime.ExitError"},
		{"exit 3", `{"how":"exit","code":3}`, "Runtime.ExitError", "Error: Runtime exited with error: exit status 3", "Status: error\tError Type: Runtime.ExitError"},
		{"killed", `{"how":"signal","signal":9}`, "Runtime.ExitError", "Error: Runtime exited with error: signal: killed", "Status: error\tError Type: Runtime.ExitError"},
		{"segmentation fault", `{"how":"signal","signal":11}`, "Runtime.ExitError", "Error: Runtime exited with error: signal: segmentation fault", "Status: error"},
		{"timeout", `{"how":"sleep"}`, "Sandbox.Timedout", "Error: Task timed out after 2.00 seconds", "Status: timeout"},
		{"out of memory", `{"how":"memory"}`, "Runtime.ExitError", "Error: Runtime exited with error: signal: killed", "Status: error\tError Type: Runtime.OutOfMemory"},
		{"response too large", fmt.Sprintf(`{"how":"big","size":%d}`, 6<<20+101), "Function.ResponseSizeTooLarge",
			"Response payload size exceeded maximum allowed payload size (6291556 bytes).", "REPORT RequestId"},
	} {
		t.Run(c.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, n *node) {
				limit := int32(60) // only what is to take too long does, however busy the machine is
				if c.name == "timeout" {
					limit = 2
				}
				f := n.deploy(t, python, files{"main.py": code}, isolated, memory(128), timeout(limit))
				n.run(t, f, call{tenant: "other"}, nil)
				n.run(t, f, call{tenant: "blue"}, nil)
				got, inv := n.fail(t, f, call{tenant: "blue", payload: c.event})
				if got.ErrorType != c.kind || !strings.HasSuffix(got.ErrorMessage, c.message) {
					t.Errorf("answered %.300s, want %s: %s", inv.Payload, c.kind, c.message)
				}
				if c.kind != "Function.ResponseSizeTooLarge" && !strings.HasPrefix(got.ErrorMessage, "RequestId: ") {
					t.Errorf("the message names no request: %q", got.ErrorMessage)
				}
				if !strings.Contains(inv.tail, c.inMeter) {
					t.Errorf("no %q in the log tail:\n%s", c.inMeter, inv.tail)
				}
				var count int
				if n.run(t, f, call{tenant: "blue"}, &count); count != 1 && c.kind != "Function.ResponseSizeTooLarge" {
					t.Errorf("the next invocation found the counter at %d: the environment was used again", count)
				}
				if inv := n.run(t, f, call{tenant: "other"}, &count); count != 2 || inv.start != "warm" {
					t.Errorf("another tenant's environment was touched: counter %d, %s start", count, inv.start)
				}
			})
		})
	}
}

// TestLargestPayloads sends and answers with as much as AWS allows.
func TestLargestPayloads(t *testing.T) {
	onEach(t, func(t *testing.T, n *node) {
		f := n.deploy(t, python, files{"main.py": "def handler(event, context):\n return event"})
		payload, err := json.Marshal(strings.Repeat("x", 6<<20-2))
		if err != nil || len(payload) != 6<<20 {
			t.Fatal(err, len(payload))
		}
		if inv := n.run(t, f, call{payload: string(payload)}, nil); !bytes.Equal(inv.Payload, payload) {
			t.Errorf("%d bytes came back of %d", len(inv.Payload), len(payload))
		}
		_, err = n.try(t, f, call{payload: string(payload) + " "})
		wantError(t, err, 413, "RequestEntityTooLargeException", "Request must be smaller than 6291456 bytes for the InvokeFunction operation")
		_, err = n.try(t, f, call{payload: "{"})
		wantError(t, err, 400, "InvalidRequestContentException", "Could not parse request body into json")
	})
}

// TestInitFails checks the answers when a module does not load.
func TestInitFails(t *testing.T) {
	onEach(t, func(t *testing.T, n *node) {
		for _, c := range []struct {
			name    string
			runtime types.Runtime
			code    files
			kind    string
			message string
		}{
			{"python raises", python, files{"main.py": "raise KeyError('gone')"}, "KeyError", "'gone'"},
			{"python has no module", python, files{"other.py": ""}, "Runtime.ImportModuleError", "Unable to import module 'main': No module named 'main'"},
			{"python has no handler", python, files{"main.py": ""}, "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'main'"},
			{"python syntax", python, files{"main.py": "def"}, "Runtime.UserCodeSyntaxError", ""},
			{"python exits", python, files{"main.py": "import os; os._exit(4)"}, "Runtime.ExitError", "Runtime exited with error: exit status 4"},
			{"node throws", nodejs, files{"main.mjs": "throw new RangeError('gone')"}, "RangeError", "gone"},
			{"node has no module", nodejs, files{"other.mjs": ""}, "Runtime.ImportModuleError", "main"},
			{"no bootstrap", provided, files{"other": ""}, "Runtime.InvalidEntrypoint", "Couldn't find valid bootstrap(s)"},
		} {
			t.Run(c.name, func(t *testing.T) {
				f := n.deploy(t, c.runtime, c.code)
				for range 2 {
					got, inv := n.fail(t, f, call{})
					if got.ErrorType != c.kind || !strings.Contains(got.ErrorMessage, c.message) {
						t.Errorf("answered %.400s\nwant %s: %s", inv.Payload, c.kind, c.message)
					}
				}
			})
		}
	})
}

// TestLogTail checks the lines that LogType Tail answers with.
func TestLogTail(t *testing.T) {
	onEach(t, func(t *testing.T, n *node) {
		f := n.deploy(t, python, files{"main.py": "import os\nprint('once')\ndef handler(event, context):\n print('a line')\n os.write(1, b'and bytes\\n')\n print('x' * event.get('n', 0))"})
		inv := n.run(t, f, call{}, nil)
		var order []string
		for line := range strings.Lines(inv.tail) {
			order = append(order, strings.Fields(line + " .")[0])
		}
		for i, want := range []string{"START", "a", "and", "END", "REPORT"} {
			if at := slices.Index(order, want); at < 0 || i > 0 && at < slices.Index(order, []string{"START", "a", "and", "END", "REPORT"}[i-1]) {
				t.Errorf("%s is missing or out of order in\n%s", want, inv.tail)
			}
		}
		for _, part := range []string{"Version: $LATEST", "\tDuration: ", " ms\tBilled Duration: ", "\tMemory Size: 128 MB\tMax Memory Used: ", "\tInit Duration: "} {
			if !strings.Contains(inv.tail, part) {
				t.Errorf("no %q in\n%s", part, inv.tail)
			}
		}
		second := n.run(t, f, call{payload: `{"n": 9000}`}, nil)
		if strings.Contains(second.tail, "Init Duration") || strings.Contains(second.tail, "a line") || len(second.tail) > 4096 || !strings.Contains(second.tail, "REPORT RequestId: ") {
			t.Errorf("the second tail, of %d bytes, must be the last 4 KB and of this invocation alone: …%s", len(second.tail), tail(second.tail, 600))
		}
		none, err := n.lambda.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &f})
		if err != nil || none.LogResult != nil {
			t.Errorf("without LogType, a tail of %d bytes, %v", len(aws.ToString(none.LogResult)), err)
		}
	})
}

// TestClientContext carries a client's context to the handler.
func TestClientContext(t *testing.T) {
	onEach(t, func(t *testing.T, n *node) {
		f := n.deploy(t, python, files{"main.py": "def handler(event, context):\n return context.client_context.custom['k']"})
		var got string
		n.run(t, f, call{change: func(in *lambda.InvokeInput) {
			in.ClientContext = aws.String(base64.StdEncoding.EncodeToString([]byte(`{"custom": {"k": "v\u00e9"}}`)))
		}}, &got)
		if got != "vé" {
			t.Errorf("the handler saw %q", got)
		}
	})
}

// TestInvocationTypes checks the type that runs no function; events have tests of
// their own.
func TestInvocationTypes(t *testing.T) {
	n := on(t, "namespace")
	f := n.deploy(t, python, files{"main.py": "raise Exception('must not run')"}, isolated)
	inv := n.invoke(t, f, call{tenant: "blue", change: func(in *lambda.InvokeInput) { in.InvocationType = types.InvocationTypeDryRun }})
	if inv.StatusCode != 204 || len(inv.Payload) != 0 {
		t.Errorf("DryRun is answered with %d %q", inv.StatusCode, inv.Payload)
	}
	if envs := n.environments(t, f); len(envs) > 0 {
		t.Errorf("DryRun made environments: %+v", envs)
	}
	_, err := n.try(t, f, call{tenant: "blue", change: func(in *lambda.InvokeInput) { in.InvocationType = "Never" }})
	wantError(t, err, 400, "ValidationException", "Never")
}

// TestEnvironmentVariables checks what AWS promises of a function's variables.
func TestEnvironmentVariables(t *testing.T) {
	onEach(t, func(t *testing.T, n *node) {
		f := n.deploy(t, python, files{"main.py": "import os\ndef handler(event, context):\n return dict(os.environ)"}, memory(200),
			func(in *lambda.CreateFunctionInput) {
				in.Environment = &types.Environment{Variables: map[string]string{"MINE": "ä b"}}
			})
		var got map[string]string
		n.run(t, f, call{}, &got)
		for k, want := range map[string]string{
			"MINE": "ä b", "AWS_LAMBDA_FUNCTION_NAME": f, "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "200",
			"_HANDLER": "main.handler", "LAMBDA_TASK_ROOT": "/var/task", "AWS_REGION": "us-east-1", "TZ": ":UTC",
			"AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/" + f, "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
		} {
			if got[k] != want {
				t.Errorf("%s is %q, want %q", k, got[k], want)
			}
		}
		for k := range got {
			if strings.HasPrefix(k, "ALCOVE") {
				t.Errorf("%s is not for functions", k)
			}
		}
	})
}
