package runtimes_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/runtimeapi"
	"github.com/alcove-run/alcove/runtimes"
)

func python(code string) function {
	return function{runtime: "python3.12", files: map[string]string{"lambda_function.py": code}}
}

// TestPythonResults: what a handler returns, and what the caller gets.
func TestPythonResults(t *testing.T) {
	for _, tt := range []struct{ name, code, event, want string }{
		{"dict", `return {"a": 1, "b": [True, None, 1.5]}`, ``, `{"a": 1, "b": [true, null, 1.5]}`},
		{"event", `return event`, `{"k":["v",{"x":1e3}]}`, `{"k": ["v", {"x": 1000.0}]}`},
		{"none", `pass`, ``, `null`},
		{"string", `return "x\"y"`, ``, `"x\"y"`},
		{"number", `return 42`, ``, `42`},
		{"list", `return list(range(3))`, ``, `[0, 1, 2]`},
		{"tuple", `return (1, 2)`, ``, `[1, 2]`},
		{"bytes", `return b"\x00\xff raw"`, ``, "\x00\xff raw"},
		{"bytes inside", `return {"body": b"text"}`, ``, `{"body": "text"}`},
		{"NaN", `return [float("nan"), float("inf"), -float("inf")]`, ``, `[NaN, Infinity, -Infinity]`},
		{"NaN in the event", `return str(event)`, `NaN`, `"nan"`},
		{"unicode", `return {"grüße": "\u2603 \U0001f600 " + event["k"]}`, `{"k":"日本"}`, `{"grüße": "☃ 😀 日本"}`},
		{"decimal", "from decimal import Decimal\n return {'a': Decimal('1.10'), 'b': [Decimal('NaN'), 'x\"'], 'c': Decimal('-3')}", ``, `{"a": 1.10, "b": [NaN, "x\""], "c": -3}`},
		{"named tuple", "import collections\n P = collections.namedtuple('P', 'x y')\n return {'p': P(1, P(2, [3]))}", ``, `{"p": {"x": 1, "y": {"x": 2, "y": [3]}}}`},
		{"integer keys", `return {1: 2, None: 3, True: 4}`, ``, `{"1": 4, "null": 3}`},
		{"subclasses", "import enum\n class S(str): pass\n class D(dict): pass\n return D(a=S('x'), e=enum.IntEnum('E', 'A').A)", ``, `{"a": "x", "e": 1}`},
		{"exit is there", `return [callable(exit), callable(quit), callable(help)]`, ``, `[true, true, true]`},
		{"white space", `return event`, " \r\n\t[1]\n ", `[1]`},
		{"empty string", `return event`, `""`, `""`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := start(t, python("def handler(event, context):\n "+tt.code+"\n"))
			ev := runtimeapi.Event{}
			if tt.event != "" {
				ev.Payload = []byte(tt.event)
			}
			o := p.invoke(ev)
			if o.Fault != nil {
				t.Fatalf("fault %s %s", o.Fault.Type, o.Fault.Body)
			}
			if string(o.Payload) != tt.want {
				t.Errorf("got %s, want %s", o.Payload, tt.want)
			}
		})
	}
}

// TestPythonASCII: before Python 3.12, AWS escapes what is beyond ASCII.
func TestPythonASCII(t *testing.T) {
	f := python("def handler(event, context):\n return 'ü'\n")
	f.runtime = "python3.9"
	if got := string(start(t, f).invoke(runtimeapi.Event{}).Payload); got != `"\u00fc"` {
		t.Errorf("got %s", got)
	}
}

// TestPythonFailures: how an invocation fails.
func TestPythonFailures(t *testing.T) {
	for _, tt := range []struct {
		name, code, event string
		faultType         string
		errorType         string
		message           string // a regular expression
		trace             string // likewise, over all entries
	}{
		{"exception", `raise ValueError("no " + event["k"])`, `{"k":"go"}`, "Runtime.Unknown", "ValueError", `^no go$`,
			`^  File "[^"]*/task/lambda_function.py", line 2, in handler\n    raise ValueError\("no " \+ event\["k"\]\)\n$`},
		{"nested", "inner()\ndef inner():\n raise KeyError('x')", ``, "Runtime.Unknown", "KeyError", `^'x'$`,
			`(?s)^  File "[^"]*lambda_function.py", line 2, in handler\n    inner\(\)\n  File "[^"]*", line 4, in inner\n    raise KeyError\('x'\)\n$`},
		{"class of its own", "class Odd(Exception): pass\n raise Odd('ü')", ``, "Runtime.Unknown", "Odd", `^ü$`, `in handler`},
		{"no message", `raise Exception()`, ``, "Runtime.Unknown", "Exception", `^$`, `in handler`},
		{"assertion in a library", "import json\n json.loads('{')", ``, "Runtime.Unknown", "JSONDecodeError", `^Expecting property name`, `(?s)in handler.*decoder\.py`},
		{"recursion", `return handler(event, context)`, ``, "Runtime.Unknown", "RecursionError", `maximum recursion`, `Previous line repeated`},
		{"half a surrogate pair", `raise Exception("\ud800")`, ``, "Runtime.Unknown", "Exception", `.`, `in handler`},
		{"datetime", "import datetime\n return {'d': datetime.datetime.now()}", ``, "Runtime.MarshalError", "Runtime.MarshalError",
			`^Unable to marshal response: Object of type datetime is not JSON serializable$`, `^$`},
		{"set", `return {1, 2}`, ``, "Runtime.MarshalError", "Runtime.MarshalError", `Object of type set is not JSON serializable$`, `^$`},
		{"circle", "a = []\n a.append(a)\n return a", ``, "Runtime.MarshalError", "Runtime.MarshalError", `Circular reference detected$`, `^$`},
		{"coroutine", "async def f(): pass\n return f()", ``, "Runtime.MarshalError", "Runtime.MarshalError", `Object of type coroutine is not JSON serializable$`, `^$`},
		{"result of half a pair", `return "\ud800"`, ``, "Runtime.MarshalError", "Runtime.MarshalError", `surrogates not allowed$`, `^$`},
		{"event that is not JSON", `return 1`, `{"a":`, "Runtime.UnmarshalError", "Runtime.UnmarshalError",
			`^Unable to unmarshal input: Expecting value: line 1 column 6 \(char 5\)$`, `^$`},
		{"event with a tail", `return 1`, `{} x`, "Runtime.UnmarshalError", "Runtime.UnmarshalError", `Extra data: line 1 column 4 \(char 3\)$`, `^$`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := start(t, python("def handler(event, context):\n "+tt.code+"\n"))
			ev := runtimeapi.Event{RequestID: "r1"}
			if tt.event != "" {
				ev.Payload = []byte(tt.event)
			}
			o := p.invoke(ev)
			e := parseFailure(t, o.Fault)
			if o.Fault.Type != tt.faultType || e.ErrorType != tt.errorType {
				t.Errorf("types %s, %s; want %s, %s", o.Fault.Type, e.ErrorType, tt.faultType, tt.errorType)
			}
			if !regexp.MustCompile(tt.message).MatchString(e.ErrorMessage) {
				t.Errorf("message %q, want %s", e.ErrorMessage, tt.message)
			}
			if e.RequestID == nil || *e.RequestID != "r1" || e.StackTrace == nil {
				t.Errorf("members: %s", o.Fault.Body)
			}
			if trace := strings.Join(e.StackTrace, ""); !regexp.MustCompile(tt.trace).MatchString(trace) {
				t.Errorf("trace %q, want %s", trace, tt.trace)
			}
			if tt.errorType == "ValueError" && !strings.Contains(string(o.Fault.XRayCause), `"type": "ValueError"`) {
				t.Errorf("cause %s", o.Fault.XRayCause)
			}
			// The next invocation is served by the same process.
			if o := p.invoke(runtimeapi.Event{RequestID: "r2", Payload: []byte(`{"k":"on"}`)}); o.TooLarge {
				t.Errorf("afterwards: %+v", o)
			}
		})
	}
}

// TestPythonInitFailures: how Init fails.
func TestPythonInitFailures(t *testing.T) {
	for _, tt := range []struct {
		name, handler string
		files         map[string]string
		errorType     string
		message       string // a regular expression
		trace         string
		exit          int
	}{
		{"no such module", "", nil, "Runtime.ImportModuleError", `^Unable to import module 'lambda_function': No module named 'lambda_function'$`, `^$`, 1},
		{"import fails", "", map[string]string{"lambda_function.py": "import nonesuch"}, "Runtime.ImportModuleError",
			`^Unable to import module 'lambda_function': No module named 'nonesuch'$`, `^$`, 1},
		{"no such handler", "lambda_function.nope", map[string]string{"lambda_function.py": ""}, "Runtime.HandlerNotFound",
			`^Handler 'nope' missing on module 'lambda_function'$`, `^$`, 1},
		{"no dot", "handler", nil, "Runtime.MalformedHandlerName", `^Bad handler 'handler': not enough values to unpack \(expected 2, got 1\)$`, `^$`, 1},
		{"built-in", "sys.exit", nil, "Runtime.BuiltInModuleConflict", `^Cannot use built-in module sys as a handler module$`, `^$`, 1},
		{"syntax", "", map[string]string{"lambda_function.py": "x = 1\ndef handler(:\n"}, "Runtime.UserCodeSyntaxError",
			`^Syntax error in module 'lambda_function': invalid syntax \(lambda_function.py, line 2\)$`, `File "[^"]*/task/lambda_function.py" Line 2\n    def handler\(:`, 1},
		{"exception", "", map[string]string{"lambda_function.py": "def f():\n  return 1/0\nf()"}, "ZeroDivisionError", `^division by zero$`,
			`(?s)^  File "[^"]*/task/lambda_function.py", line 3, in <module>\n    f\(\)\n  File "[^"]*", line 2, in f\n    return 1/0\n$`, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := start(t, function{runtime: "python3.12", handler: tt.handler, files: withDir(tt.files)})
			select {
			case f := <-p.env.InitFailed():
				e := parseFailure(t, &f)
				wantType := tt.errorType
				if !strings.HasPrefix(wantType, "Runtime.") {
					wantType = "Runtime.Unknown"
				}
				if f.Type != wantType || e.ErrorType != tt.errorType {
					t.Errorf("types %s, %s", f.Type, e.ErrorType)
				}
				if !regexp.MustCompile(tt.message).MatchString(e.ErrorMessage) {
					t.Errorf("message %q", e.ErrorMessage)
				}
				if e.RequestID == nil || *e.RequestID != "" || !regexp.MustCompile(tt.trace).MatchString(strings.Join(e.StackTrace, "")) {
					t.Errorf("body %s", f.Body)
				}
			case <-time.After(patience):
				t.Fatal("no report")
			}
			if code := p.exit(); code != tt.exit {
				t.Errorf("exit code %d", code)
			}
			p.await("log record", func() bool {
				return len(p.frames) == 1 && p.frames[0].kind == 0xa55a0017 && strings.HasPrefix(p.frames[0].text, "[ERROR] "+tt.errorType+": ")
			})
		})
	}
}

// withDir makes sure that the task directory exists.
func withDir(files map[string]string) map[string]string {
	if files == nil {
		return map[string]string{"empty": ""}
	}
	return files
}

// TestPythonHandlers: where a handler may be.
func TestPythonHandlers(t *testing.T) {
	const code = "def handler(event, context):\n  return __name__\nclass O:\n  def __call__(self, e, c): return 'called'\no = O()\n"
	for _, tt := range []struct{ handler, file, want string }{
		{"pkg/mod.handler", "pkg/mod.py", `"pkg.mod"`},
		{"pkg.mod.handler", "pkg/mod.py", `"pkg.mod"`},
		{"a/b/mod.handler", "a/b/mod.py", `"a.b.mod"`},
		{"pkg.handler", "pkg/__init__.py", `"pkg"`},
		{"with-dash.handler", "with-dash.py", `"with-dash"`},
		{"bootstrap.handler", "bootstrap.py", `"bootstrap"`},
		{"mod.o", "mod.py", `"called"`},
	} {
		t.Run(tt.handler, func(t *testing.T) {
			t.Parallel()
			p := start(t, function{runtime: "python3.12", handler: tt.handler, files: map[string]string{tt.file: code}})
			if got := string(p.invoke(runtimeapi.Event{}).Payload); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

const pythonContext = `
import json, os, sys
def show(o):
    return None if o is None else {n: getattr(o, n) if isinstance(getattr(o, n), (str, dict, type(None))) else show(getattr(o, n)) for n in o.__slots__}
def handler(event, c):
    left = c.get_remaining_time_in_millis()
    return dict(name=c.function_name, version=c.function_version, arn=c.invoked_function_arn, memory=c.memory_limit_in_mb,
        id=c.aws_request_id, group=c.log_group_name, stream=c.log_stream_name, identity=show(c.identity), client=show(c.client_context),
        tenant=c.tenant_id, left=isinstance(left, int) and 50000 < left <= 60000, text=repr(c)[:29], trace=os.environ.get("_X_AMZN_TRACE_ID"), w3c=[os.environ.get("TRACEPARENT"), os.environ.get("TRACESTATE")],
        argv=len(sys.argv), fd=os.environ.get("_LAMBDA_TELEMETRY_LOG_FD"))
`

func TestPythonContext(t *testing.T) {
	p := start(t, python(pythonContext))
	o := p.invoke(runtimeapi.Event{RequestID: "r1", FunctionARN: functionARN + ":live", Tenant: "blue", TraceID: "Root=1-2", Traceparent: "00-a-b-01", Tracestate: "v=1",
		ClientContext:   `{"client":{"installation_id":"i","app_title":"t"},"custom":{"k":"ü"},"env":{"e":"f"}}`,
		CognitoIdentity: `{"cognitoIdentityId":"id","cognitoIdentityPoolId":"pool"}`})
	want := map[string]any{"name": "f", "version": "$LATEST", "arn": functionARN + ":live", "memory": "256", "id": "r1",
		"group": "/aws/lambda/f", "stream": "2026/01/01/[$LATEST]abc", "tenant": "blue", "left": true, "text": "LambdaContext([aws_request_id",
		"trace": "Root=1-2", "w3c": []any{"00-a-b-01", "v=1"}, "argv": 1.0, "fd": nil,
		"identity": map[string]any{"cognito_identity_id": "id", "cognito_identity_pool_id": "pool"},
		"client": map[string]any{"custom": map[string]any{"k": "ü"}, "env": map[string]any{"e": "f"},
			"client": map[string]any{"installation_id": "i", "app_title": "t", "app_version_name": nil, "app_version_code": nil, "app_package_name": nil}}}
	sameJSON(t, o.Payload, want)

	// What the second invocation does not have must not be left from the first.
	o = p.invoke(runtimeapi.Event{RequestID: "r2"})
	want["id"], want["arn"], want["tenant"], want["trace"], want["client"], want["w3c"] = "r2", functionARN, nil, nil, nil, []any{nil, nil}
	want["identity"] = map[string]any{"cognito_identity_id": nil, "cognito_identity_pool_id": nil}
	sameJSON(t, o.Payload, want)

	o = p.invoke(runtimeapi.Event{ClientContext: "{"})
	if e := parseFailure(t, o.Fault); e.ErrorType != "Runtime.LambdaContextUnmarshalError" || !strings.HasPrefix(e.ErrorMessage, "Unable to parse Client Context JSON: Expecting property name") {
		t.Errorf("%+v", e)
	}
}

func sameJSON(t *testing.T, raw []byte, want map[string]any) {
	t.Helper()
	var got map[string]any
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	g, _ := json.Marshal(got)
	w, _ := json.Marshal(want)
	if string(g) != string(w) {
		t.Errorf("got  %s\nwant %s", g, w)
	}
}

// TestPythonState: globals and files live from one invocation to the next.
func TestPythonState(t *testing.T) {
	p := start(t, python("n = 0\ndef handler(event, context):\n global n\n n += 1\n return n\n"))
	for _, want := range []string{"1", "2", "3"} {
		if got := string(p.invoke(runtimeapi.Event{}).Payload); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// TestPythonExit: a handler that ends the process answers nothing.
func TestPythonExit(t *testing.T) {
	for code, want := range map[string]int{"import sys; sys.exit(7)": 7, "import os; os._exit(3)": 3, "exit()": 0} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			p := start(t, python("def handler(event, context):\n "+code+"\n"))
			go func() {
				_, _ = p.env.Invoke(t.Context(), &runtimeapi.Event{RequestID: "r", Deadline: time.Now(), Payload: []byte("{}")})
			}()
			if got := p.exit(); got != want {
				t.Errorf("exit code %d, want %d", got, want)
			}
		})
	}
}

const pythonLogs = `
import logging
logging.getLogger("early").warning("at init")
def handler(event, context):
    log = logging.getLogger("app")
    log.debug("d"); log.info("i"); log.warning("two\nlines %d", 1)
    try:
        1/0
    except Exception:
        log.exception("caught", extra={"order": 7})
    log.critical("c")
    context.log("raw")
    print("printed")
    raise ValueError("bad\nthing")
`

func TestPythonTextLogs(t *testing.T) {
	p := start(t, python(pythonLogs))
	p.invoke(runtimeapi.Event{RequestID: "r1", Tenant: "blue"})
	p.await("records", func() bool { return len(p.frames) == 6 && strings.Contains(p.output.String(), "printed\n") })
	// Without a level, root is at WARNING, and frames carry none.
	for i, want := range []string{
		`^\[WARNING\]\t2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\t\tat init\n$`,
		`^\[WARNING\]\t\S+Z\tr1\ttwo\nlines 1\n$`,
		`(?s)^\[ERROR\]\t\S+Z\tr1\tcaught\nTraceback \(most recent call last\):\n.*ZeroDivisionError: division by zero\n$`,
		`^\[CRITICAL\]\t\S+Z\tr1\tc\n$`,
		`^raw$`,
		"(?s)^\\[ERROR\\] ValueError: bad\nthing\nTraceback \\(most recent call last\\):\n\u00a0\u00a0File \"[^\"]*lambda_function.py\", line 14, in handler\n\u00a0{4}raise ValueError\\(\"bad\\\\nthing\"\\)$",
	} {
		f := p.frames[i]
		if !regexp.MustCompile(want).MatchString(f.text) {
			t.Errorf("record %d: %q, want %s", i, f.text, want)
		}
		kind := uint32(0xa55a0003)
		if i == 5 {
			kind |= 20
		}
		if f.kind != kind || time.Since(f.at).Abs() > time.Minute {
			t.Errorf("frame %d: %x %v", i, f.kind, f.at)
		}
	}
}

func TestPythonJSONLogs(t *testing.T) {
	f := python(pythonLogs)
	f.logging = alcove.Logging{Format: "JSON", ApplicationLevel: "INFO"}
	p := start(t, f)
	p.invoke(runtimeapi.Event{RequestID: "r1", Tenant: "blue"})
	p.await("records", func() bool { return len(p.frames) == 7 })
	for i, want := range []struct {
		kind uint32
		text string
	}{
		{0xa55a0012, `^{"timestamp": "2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "level": "WARNING", "message": "at init", "logger": "early", "requestId": ""}\n$`},
		{0xa55a000e, `^{"timestamp": "[^"]*", "level": "INFO", "message": "i", "logger": "app", "requestId": "r1", "tenantId": "blue"}\n$`},
		{0xa55a0012, `"message": "two\\nlines 1"`},
		{0xa55a0016, `^{"timestamp": "[^"]*", "level": "ERROR", "message": "caught", "logger": "app", "stackTrace": \["  File [^]]*"\], "errorType": "ZeroDivisionError", "errorMessage": "division by zero", "requestId": "r1", "location": "[^"]*lambda_function.py:handler:10", "tenantId": "blue", "order": 7}\n$`},
		{0xa55a001a, `"level": "CRITICAL"`},
		{0xa55a0003, `^raw$`},
		{0xa55a0016, `^{"timestamp": "[^"]*Z", "log_level": "ERROR", "errorMessage": "bad\\nthing", "errorType": "ValueError", "requestId": "r1", "stackTrace": \["[^]]*"\]}$`},
	} {
		f := p.frames[i]
		if f.kind != want.kind || !regexp.MustCompile(want.text).MatchString(f.text) {
			t.Errorf("record %d: %x %q, want %x %s", i, f.kind, f.text, want.kind, want.text)
		}
	}
}

// TestPythonLogsToStdout: without a log descriptor, records are lines of stdout.
func TestPythonLogsToStdout(t *testing.T) {
	f := python("import logging\ndef handler(event, context):\n logging.error('x')\n raise Exception('y')\n")
	f.stdout = true
	p := start(t, f)
	p.invoke(runtimeapi.Event{RequestID: "r1"})
	want := regexp.MustCompile("^\\[ERROR\\]\t\\S+Z\tr1\tx\n\\[ERROR\\] Exception: y\rTraceback \\(most recent call last\\):\r\u00a0\u00a0File [^\n]*\n$")
	p.await("lines", func() bool { return want.Match(p.output.Bytes()) })
}

// TestPythonLogLevel: the level that the configuration asks for.
func TestPythonLogLevel(t *testing.T) {
	f := python("import logging\ndef handler(event, context):\n return logging.getLogger().level\n")
	f.logging = alcove.Logging{Format: "JSON"}
	for level, want := range map[string]string{"TRACE": "10", "DEBUG": "10", "WARN": "30", "FATAL": "50", "": "30"} {
		f.logging.ApplicationLevel = level
		if got := string(start(t, f).invoke(runtimeapi.Event{}).Payload); got != want {
			t.Errorf("%s: %s, want %s", level, got, want)
		}
	}
}

// TestPythonPrint: each line is there when it has been printed, not later.
func TestPythonPrint(t *testing.T) {
	p := start(t, python("import os, sys\ndef handler(event, context):\n print('one', 'two')\n print('err', file=sys.stderr)\n os._exit(0)\n"))
	go func() {
		_, _ = p.env.Invoke(t.Context(), &runtimeapi.Event{RequestID: "r", Deadline: time.Now(), Payload: []byte("{}")})
	}()
	p.exit()
	if got := p.output.String(); got != "one two\nerr\n" {
		t.Errorf("output %q", got)
	}
}

// TestPythonSearchPath: layers come after the function's code and before what
// PYTHONPATH names.
func TestPythonSearchPath(t *testing.T) {
	f := python("import sys\ndef handler(event, context):\n return sys.path\n")
	f.runtime = "python3.9"
	f.env = map[string]string{"PYTHONPATH": "/var/task/lib"}
	p := start(t, f)
	var got []string
	if err := json.Unmarshal(p.invoke(runtimeapi.Event{}).Payload, &got); err != nil {
		t.Fatal(err)
	}
	r, err := found().Resolve("python3.9")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{p.task, "/opt/python/lib/python3.9/site-packages"}
	if real := "python" + r.Version[:strings.LastIndex(r.Version, ".")]; real != "python3.9" {
		want = append(want, "/opt/python/lib/"+real+"/site-packages")
	}
	want = append(want, "/opt/python", p.task+"/lib")
	if len(got) < len(want) || strings.Join(got[:len(want)], ":") != strings.Join(want, ":") {
		t.Errorf("got %q, want first %q", got, want)
	}
}

// TestPythonLargePayloads: 6 MB in, 6 MB out; and an answer beyond the limit does
// not end the process.
func TestPythonLargePayloads(t *testing.T) {
	p := start(t, python("def handler(event, context):\n return event if event != 'much' else 'x' * 7000000\n"))
	big := []byte(`"` + strings.Repeat("x", alcove.MaxPayload-2) + `"`)
	if o := p.invoke(runtimeapi.Event{Payload: big}); string(o.Payload) != string(big) {
		t.Errorf("%d bytes, fault %v", len(o.Payload), o.Fault)
	}
	if o := p.invoke(runtimeapi.Event{Payload: []byte(`"much"`)}); !o.TooLarge {
		t.Errorf("%d bytes, fault %v", len(o.Payload), o.Fault)
	}
	if o := p.invoke(runtimeapi.Event{Payload: []byte(`1`)}); string(o.Payload) != "1" {
		t.Errorf("afterwards: %+v", o)
	}
}

func TestPythonTCP(t *testing.T) {
	f := python("def handler(event, context):\n return 'over TCP'\n")
	f.tcp = true
	p := start(t, f)
	for range 3 {
		if got := string(p.invoke(runtimeapi.Event{InvocationID: "attempt"}).Payload); got != `"over TCP"` {
			t.Errorf("got %s", got)
		}
	}
}

// TestWrapper: AWS_LAMBDA_EXEC_WRAPPER puts a program in front of the runtime.
func TestWrapper(t *testing.T) {
	wrapper := filepath.Join(t.TempDir(), "wrapper")
	if err := os.WriteFile(wrapper, []byte("#!/bin/sh\nexport WRAPPED=yes\nexec \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for runtime, file := range map[string]map[string]string{
		"python3.12": {"lambda_function.py": "import os\ndef handler(event, context):\n return os.environ.get('WRAPPED')\n"},
		"nodejs22.x": {"index.js": "exports.handler = async () => process.env.WRAPPED;"},
	} {
		p := start(t, function{runtime: runtime, files: file, env: map[string]string{"AWS_LAMBDA_EXEC_WRAPPER": wrapper}})
		if got := string(p.invoke(runtimeapi.Event{}).Payload); got != `"yes"` {
			t.Errorf("%s: got %s", runtime, got)
		}
		p = start(t, function{runtime: runtime, files: file, env: map[string]string{"AWS_LAMBDA_EXEC_WRAPPER": "/nonesuch"}})
		if code := p.exit(); code != 127 || p.output.String() != "/nonesuch: does not exist\n" {
			t.Errorf("%s: exit code %d, output %q", runtime, code, p.output.String())
		}
		r, err := found().Resolve(runtime)
		if err != nil {
			t.Fatal(err)
		}
		v := version(function{runtime: runtime, env: map[string]string{"AWS_LAMBDA_EXEC_WRAPPER": wrapper}})
		if r.TCP || !r.For(v).TCP || strings.Contains(strings.Join(r.Args, " "), runtimes.LayerDir) {
			t.Errorf("%s: %+v", runtime, r)
		}
	}
}
