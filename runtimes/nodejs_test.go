package runtimes_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/runtimeapi"
)

func node(code string) function {
	return function{runtime: "nodejs20.x", files: map[string]string{"index.js": code}}
}

// TestNodeResults: what a handler gives, by whatever means, and what the caller
// gets.
func TestNodeResults(t *testing.T) {
	for _, tt := range []struct{ name, code, event, want string }{
		{"async", `exports.handler = async (event) => ({a: 1, e: event})`, `{"k":["v",1e3]}`, `{"a":1,"e":{"k":["v",1000]}}`},
		{"async later", `exports.handler = async () => { await new Promise((r) => setTimeout(r, 5)); return "later"; }`, ``, `"later"`},
		{"promise", `exports.handler = () => Promise.resolve(7)`, ``, `7`},
		{"thenable", `exports.handler = () => ({then: (f) => f("t")})`, ``, `"t"`},
		{"undefined", `exports.handler = async () => {}`, ``, `null`},
		{"function", `exports.handler = async () => () => {}`, ``, `null`},
		{"callback", `exports.handler = (event, context, callback) => callback(null, {a: "b"})`, ``, `{"a":"b"}`},
		{"callback later", `exports.handler = (event, context, callback) => { setTimeout(() => callback(null, 1), 5); }`, ``, `1`},
		{"callback waits for the loop", `let n = 0; exports.handler = (event, context, callback) => { setTimeout(() => { n = 5; }, 20); callback(null, {get n() { return n; }}); }`, ``, `{"n":5}`},
		{"callback that need not wait", `exports.handler = (event, context, callback) => { context.callbackWaitsForEmptyEventLoop = false; setInterval(() => {}, 1e6); callback(null, "now"); }`, ``, `"now"`},
		{"first callback counts", `exports.handler = (event, context, callback) => { callback(null, 1); callback(null, 2); context.done(null, 3); }`, ``, `1`},
		{"done", `exports.handler = (event, context) => context.done(null, "d")`, ``, `"d"`},
		{"succeed", `exports.handler = (event, context) => { setInterval(() => {}, 1e6); context.succeed("s"); }`, ``, `"s"`},
		{"nothing", `exports.handler = () => "ignored"`, ``, `null`},
		{"promise that nothing ends", `exports.handler = async () => { await new Promise(() => {}); }`, ``, `null`},
		{"unicode", `exports.handler = async (event) => "\u2603 \u{1f600} " + event`, `"日本"`, `"☃ 😀 日本"`},
		{"date, NaN, undefined member", `exports.handler = async () => ({d: new Date(0), n: NaN, u: undefined})`, ``, `{"d":"1970-01-01T00:00:00.000Z","n":null}`},
		{"buffer", `exports.handler = async () => Buffer.from("ab")`, ``, `{"type":"Buffer","data":[97,98]}`},
		{"streaming", `const stream = require("stream").promises;
			exports.handler = awslambda.streamifyResponse(async (event, out, context) => {
				out.setContentType("text/plain"); out.write("a"); out.write({b: context.awsRequestId}); await stream.pipeline(require("stream").Readable.from(["c", "d"]), out);
			})`, ``, `a{"b":"r1"}cd`},
		{"streaming with a prelude", `exports.handler = awslambda.streamifyResponse(async (event, out) => {
				out = awslambda.HttpResponseStream.from(out, {statusCode: 201}); out.end("body"); })`, ``, "{\"statusCode\":201}\x00\x00\x00\x00\x00\x00\x00\x00body"},
		{"streaming bytes", `exports.handler = awslambda.streamifyResponse(async (event, out) => { out.write(new Uint8Array([0, 255])); out.end(); })`, ``, "\x00\xff"},
		{"storage starts empty", `const {AsyncLocalStorage} = require("async_hooks"); const als = new AsyncLocalStorage();
			exports.handler = async () => { const was = als.getStore(); als.enterWith("left over"); return [was ?? null]; }`, ``, `[null]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := start(t, node(tt.code))
			for range 2 {
				ev := runtimeapi.Event{RequestID: "r1"}
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
			}
		})
	}
}

// TestNodeFailures: how an invocation fails.
func TestNodeFailures(t *testing.T) {
	for _, tt := range []struct {
		name, code string
		errorType  string
		message    string // a regular expression
		trace      string // likewise, over all lines
		exit       int    // of the process, or 0 if it goes on
	}{
		{"throw", `exports.handler = () => { throw new TypeError("sync"); }`, "TypeError", `^sync$`, `^TypeError: sync\n    at (?:\S+ )?\(?\S*/task/index.js:1:`, 0},
		{"reject", `exports.handler = async () => { throw new RangeError("async"); }`, "RangeError", `^async$`, `^RangeError: async\n    at exports.handler \(\S*/task/index.js`, 0},
		{"callback", `exports.handler = (e, c, callback) => callback(new Error("cb"))`, "Error", `^cb$`, `^Error: cb\n`, 0},
		{"callback with a string", `exports.handler = (e, c, callback) => callback("text")`, "string", `^text$`, `^$`, 0},
		{"fail", `exports.handler = (e, c) => c.fail(new Error("f"))`, "Error", `^f$`, `^Error: f\n`, 0},
		{"fail with nothing", `exports.handler = (e, c) => c.fail()`, "string", `^handled$`, `^$`, 0},
		{"reject with an object", `exports.handler = () => Promise.reject({a: 1})`, "object", `^\[object Object\]$`, `^$`, 0},
		{"class and members of its own", `class Odd extends Error { constructor() { super("odd ü"); this.name = "Odd"; this.code = "E1"; } } exports.handler = async () => { throw new Odd(); }`, "Odd", `^odd ü$`, `^Odd: odd ü\n`, 0},
		{"circle", `exports.handler = async () => { const a = {}; a.a = a; return a; }`, "Error", `^Unable to stringify response body$`, `^Error: Unable`, 0},
		{"circle by callback", `exports.handler = (e, c, callback) => { const a = {}; a.a = a; callback(null, a); }`, "Error", `^Unable to stringify response body$`, `^Error: Unable`, 0},
		{"big integer", `exports.handler = async () => 1n`, "Error", `^Unable to stringify response body$`, `^Error: Unable`, 0},
		{"uncaught", `exports.handler = () => new Promise(() => { setTimeout(() => { throw new Error("loose"); }, 1); })`, "Error", `^loose$`, `^Error: loose\n`, 129},
		{"unhandled rejection", `exports.handler = () => new Promise(() => { setTimeout(() => Promise.reject(new Error("lost")), 1); })`, "Runtime.UnhandledPromiseRejection", `^Error: lost$`, `^Runtime.UnhandledPromiseRejection: Error: lost\n`, 128},
		{"streaming, not async", `exports.handler = awslambda.streamifyResponse((e, out) => { out.end("x"); })`, "string", `^Streaming does not support non-async handlers.$`, `^$`, 0},
		{"streaming, throws", `exports.handler = awslambda.streamifyResponse(async (e, out) => { out.write("x"); throw new Error("half"); })`, "Error", `^half$`, `^Error: half\n`, 0},
		{"streaming, not ended", `exports.handler = awslambda.streamifyResponse(async (e, out) => { out.write("x"); })`, "string", `^Response stream is not finished.$`, `^$`, 0},
		{"streaming, nothing left to do", `exports.handler = awslambda.streamifyResponse(async (e, out) => { await new Promise(() => {}); })`, "string", `^Response stream is not finished.$`, `^$`, 0},
		{"streaming, type too late", `exports.handler = awslambda.streamifyResponse(async (e, out) => { out.write("x"); out.setContentType("y"); })`, "Runtime.InvalidStreamingOperation", `^Cannot set content-type, too late.$`, `.`, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := start(t, node(tt.code))
			o := p.invoke(runtimeapi.Event{RequestID: "r1"})
			e := parseFailure(t, o.Fault)
			wantFault := "Runtime.Unknown"
			if strings.HasPrefix(tt.errorType, "Runtime.") {
				wantFault = tt.errorType
			}
			if o.Fault.Type != wantFault || e.ErrorType != tt.errorType || e.RequestID != nil {
				t.Errorf("types %s, %s in %s", o.Fault.Type, e.ErrorType, o.Fault.Body)
			}
			if !regexp.MustCompile(tt.message).MatchString(e.ErrorMessage) {
				t.Errorf("message %q, want %s", e.ErrorMessage, tt.message)
			}
			if trace := strings.Join(e.Trace, "\n"); e.Trace == nil || !regexp.MustCompile(tt.trace).MatchString(trace) {
				t.Errorf("trace %q, want %s", trace, tt.trace)
			}
			if tt.errorType == "RangeError" && !regexp.MustCompile(`"exceptions":\[{"type":"RangeError","message":"async","stack":\[{"path":"\S*/index.js","line":1,`).Match(o.Fault.XRayCause) {
				t.Errorf("cause %s", o.Fault.XRayCause)
			}
			if tt.exit != 0 {
				if code := p.exit(); code != tt.exit {
					t.Errorf("exit code %d, want %d", code, tt.exit)
				}
				return
			}
			p.invoke(runtimeapi.Event{RequestID: "r2"}) // by the same process
		})
	}
}

// TestNodeInitFailures: how Init fails.
func TestNodeInitFailures(t *testing.T) {
	for _, tt := range []struct {
		name, handler string
		files         map[string]string
		errorType     string
		message       string // a regular expression
	}{
		{"no such module", "", nil, "Runtime.ImportModuleError", `(?s)^Error: Cannot find module 'index'\nRequire stack:\n- `},
		{"import fails", "", map[string]string{"index.js": `require("nonesuch")`}, "Runtime.ImportModuleError", `(?s)^Error: Cannot find module 'nonesuch'\nRequire stack:\n- \S*/task/index.js\n- `},
		{"no such handler", "index.nope", map[string]string{"index.js": ``}, "Runtime.HandlerNotFound", `^index.nope is undefined or not exported$`},
		{"not a function", "", map[string]string{"index.js": `exports.handler = 1`}, "Runtime.HandlerNotFound", `^index.handler is not a function$`},
		{"no dot", "handler", nil, "Runtime.MalformedHandlerName", `^Bad handler$`},
		{"relative", "../index.handler", nil, "Runtime.MalformedHandlerName", `^'../index.handler' is not a valid handler name`},
		{"syntax", "", map[string]string{"index.js": `const = 1`}, "Runtime.UserCodeSyntaxError", `^SyntaxError: Unexpected token '='$`},
		{"syntax in a module", "", map[string]string{"index.mjs": `const = 1`}, "Runtime.UserCodeSyntaxError", `^SyntaxError: Unexpected token '='$`},
		{"exception", "", map[string]string{"index.js": `throw new RangeError("x")`}, "RangeError", `^x$`},
		{"rejected at the top", "", map[string]string{"index.mjs": `await Promise.reject(new RangeError("y"))`}, "RangeError", `^y$`},
		{"no such package in a module", "", map[string]string{"index.mjs": `import "nonesuch"`}, "Error", `^Cannot find package 'nonesuch' imported from `},
		{"unknown streaming", "", map[string]string{"index.js": `exports.handler = async () => {}; exports.handler[Symbol.for("aws.lambda.runtime.handler.streaming")] = "both"`},
			"Runtime.MalformedStreamingHandler", `^Only response streaming is supported.$`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := start(t, function{runtime: "nodejs20.x", handler: tt.handler, files: withDir(tt.files)})
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
				if len(e.Trace) < 2 {
					t.Errorf("trace %q", e.Trace)
				}
			case <-time.After(patience):
				t.Fatal("no report")
			}
			if code := p.exit(); code != 129 {
				t.Errorf("exit code %d", code)
			}
			p.await("log record", func() bool {
				return len(p.frames) == 1 && p.frames[0].kind == 0xa55a0017 &&
					strings.Contains(p.frames[0].text, "\tundefined\tERROR\tUncaught Exception \t{\"errorType\":\""+tt.errorType+`"`)
			})
		})
	}
}

// TestNodeEndlessInit: a top-level await that nothing will end.
func TestNodeEndlessInit(t *testing.T) {
	p := start(t, function{runtime: "nodejs20.x", files: map[string]string{"index.mjs": "await new Promise(() => {})"}})
	if code := p.exit(); code != 13 {
		t.Errorf("exit code %d", code)
	}
}

// TestNodeHandlers: where a handler may be, and in which kind of module.
func TestNodeHandlers(t *testing.T) {
	const common = `exports.handler = async () => typeof require;`
	const module = `export const handler = async () => typeof require;`
	for _, tt := range []struct {
		name, handler string
		files         map[string]string
		want          string
	}{
		{"js", "index.handler", map[string]string{"index.js": common}, `"function"`},
		{"cjs", "index.handler", map[string]string{"index.cjs": common}, `"function"`},
		{"mjs", "index.handler", map[string]string{"index.mjs": module}, `"undefined"`},
		{"type module", "index.handler", map[string]string{"index.js": module, "package.json": `{"type":"module"}`}, `"undefined"`},
		{"type module above", "a/b/index.handler", map[string]string{"a/b/index.js": module, "package.json": `{"type":"module"}`}, `"undefined"`},
		{"type commonjs nearer", "a/index.handler", map[string]string{"a/index.js": common, "a/package.json": `{}`, "package.json": `{"type":"module"}`}, `"function"`},
		{"js before mjs", "index.handler", map[string]string{"index.js": common, "index.mjs": module}, `"function"`},
		{"no extension", "index.handler", map[string]string{"index": common}, `"function"`},
		{"folder", "dir/index.handler", map[string]string{"dir/index.js": common}, `"function"`},
		{"folder with index", "dir.handler", map[string]string{"dir/index.js": common}, `"function"`},
		{"nested", "index.a.b.handler", map[string]string{"index.js": `exports.a = {b: {handler: async () => "deep"}};`}, `"deep"`},
		{"default export", "index.handler", map[string]string{"index.mjs": `export default {handler: async () => "default"};`}, `"default"`},
		{"top-level await", "index.handler", map[string]string{"index.mjs": `const n = await Promise.resolve(5); export const handler = async () => n;`}, `5`},
		{"import", "index.handler", map[string]string{"index.mjs": `import {n} from "./n.mjs"; export const handler = async () => n;`, "n.mjs": `export const n = 6;`}, `6`},
		{"package", "index.handler", map[string]string{"index.js": `const p = require("pkg"); exports.handler = async () => p;`, "node_modules/pkg/index.js": `module.exports = "p";`}, `"p"`},
		{"odd name", "a%20#b/index.handler", map[string]string{"a%20#b/index.mjs": module}, `"undefined"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := start(t, function{runtime: "nodejs20.x", handler: tt.handler, files: tt.files})
			if got := string(p.invoke(runtimeapi.Event{}).Payload); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

const nodeContext = `exports.handler = async (event, c) => ({
	name: c.functionName, version: c.functionVersion, arn: c.invokedFunctionArn, memory: c.memoryLimitInMB, id: c.awsRequestId, group: c.logGroupName,
	stream: c.logStreamName, identity: c.identity, client: c.clientContext, tenant: c.tenantId, hasTenant: c.tenantId !== undefined,
	left: c.getRemainingTimeInMillis() > 50000 && c.getRemainingTimeInMillis() <= 60000, waits: c.callbackWaitsForEmptyEventLoop,
	keys: Object.keys(c).slice(0, 5).join(), trace: process.env._X_AMZN_TRACE_ID, w3c: process.env.TRACEPARENT, state: process.env.TRACESTATE, argv: process.argv.length, fd: process.env._LAMBDA_TELEMETRY_LOG_FD ?? null,
	gc: typeof gc})`

func TestNodeContext(t *testing.T) {
	p := start(t, node(nodeContext))
	o := p.invoke(runtimeapi.Event{RequestID: "r1", FunctionARN: functionARN + ":live", Tenant: "blue", TraceID: "Root=1-2", Traceparent: "00-a-b-01", Tracestate: "v=1",
		ClientContext: `{"custom":{"k":"ü"}}`, CognitoIdentity: `{"cognitoIdentityId":"id"}`})
	want := map[string]any{"name": "f", "version": "$LATEST", "arn": functionARN + ":live", "memory": "256", "id": "r1",
		"group": "/aws/lambda/f", "stream": "2026/01/01/[$LATEST]abc", "tenant": "blue", "hasTenant": true, "left": true, "waits": true,
		"keys": "callbackWaitsForEmptyEventLoop,succeed,fail,done,functionVersion", "trace": "Root=1-2", "w3c": "00-a-b-01", "state": "v=1", "argv": 2.0, "fd": nil, "gc": "function",
		"identity": map[string]any{"cognitoIdentityId": "id"}, "client": map[string]any{"custom": map[string]any{"k": "ü"}}}
	sameJSON(t, o.Payload, want)

	o = p.invoke(runtimeapi.Event{RequestID: "r2"})
	want["id"], want["arn"], want["hasTenant"] = "r2", functionARN, false
	for _, key := range []string{"tenant", "trace", "w3c", "state", "client", "identity"} {
		delete(want, key)
	}
	sameJSON(t, o.Payload, want)

	o = p.invoke(runtimeapi.Event{ClientContext: "{"})
	if e := parseFailure(t, o.Fault); e.ErrorType != "Error" || !strings.HasPrefix(e.ErrorMessage, "Cannot parse ClientContext as json: SyntaxError") {
		t.Errorf("%+v", e)
	}
}

// TestNodePromisesOnly: what is different from Node.js 24 on.
func TestNodePromisesOnly(t *testing.T) {
	f := node(`exports.handler = (event, context) => ({done: typeof context.done, event});`)
	f.runtime = "nodejs24.x"
	if got := string(start(t, f).invoke(runtimeapi.Event{}).Payload); got != `{"done":"undefined","event":{"n":1}}` {
		t.Errorf("got %s", got)
	}
	f = node(`exports.handler = async () => { throw new Error("x"); };`)
	f.runtime = "nodejs24.x"
	if e := parseFailure(t, start(t, f).invoke(runtimeapi.Event{}).Fault); e.ErrorMessage != "x" {
		t.Errorf("got %+v", e)
	}
	f = node(`exports.handler = async () => { await new Promise(() => {}); };`)
	f.runtime = "nodejs24.x"
	if got := string(start(t, f).invoke(runtimeapi.Event{}).Payload); got != `null` {
		t.Errorf("got %s", got)
	}
	f = node(`exports.handler = (event, context, callback) => callback(null, 1);`)
	f.runtime = "nodejs24.x"
	p := start(t, f)
	select {
	case got := <-p.env.InitFailed():
		if got.Type != "Runtime.CallbackHandlerDeprecated" {
			t.Errorf("got %s %s", got.Type, got.Body)
		}
	case <-time.After(patience):
		t.Fatal("no report")
	}
}

const nodeLogs = `console.warn("at init");
exports.handler = async () => {
	console.trace("t"); console.debug("d"); console.log("two\nlines %d", 1, {a: 1}); console.error("with", new TypeError("inner"));
	console.info({k: "v"}); console.fatal("f"); process.stdout.write("raw\n");
	const e = new RangeError("bad\nthing"); e.code = "E7"; e.own = 1; throw e;
};`

func TestNodeTextLogs(t *testing.T) {
	p := start(t, node(nodeLogs))
	p.invoke(runtimeapi.Event{RequestID: "r1", Tenant: "blue"})
	p.await("records", func() bool { return len(p.frames) == 8 && p.output.String() == "raw\n" })
	for i, want := range []struct {
		kind uint32
		text string
	}{
		{0xa55a0013, `^2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\tundefined\tWARN\tat init\n$`},
		{0xa55a0007, `^\S+Z\tr1\tTRACE\tt\n$`},
		{0xa55a000b, `^\S+Z\tr1\tDEBUG\td\n$`},
		{0xa55a000f, `^\S+Z\tr1\tINFO\ttwo\nlines 1 { a: 1 }\n$`},
		{0xa55a0017, `(?s)^\S+Z\tr1\tERROR\twith TypeError: inner\n    at .*\n$`},
		{0xa55a000f, `^\S+Z\tr1\tINFO\t{ k: 'v' }\n$`},
		{0xa55a001b, `^\S+Z\tr1\tFATAL\tf\n$`},
		{0xa55a0017, `^\S+Z\tr1\tERROR\tInvoke Error \t{"errorType":"RangeError","errorMessage":"bad\\nthing","code":"E7","own":1,"stack":\["RangeError: bad","thing","    at [^\n]*\]}\n$`},
	} {
		f := p.frames[i]
		if f.kind != want.kind || !regexp.MustCompile(want.text).MatchString(f.text) || time.Since(f.at).Abs() > time.Minute {
			t.Errorf("record %d: %x %v %q, want %x %s", i, f.kind, f.at, f.text, want.kind, want.text)
		}
	}
}

func TestNodeJSONLogs(t *testing.T) {
	f := node(nodeLogs)
	f.logging = alcove.Logging{Format: "JSON", ApplicationLevel: "DEBUG"}
	p := start(t, f)
	p.invoke(runtimeapi.Event{RequestID: "r1", Tenant: "blue"})
	p.await("records", func() bool { return len(p.frames) == 7 })
	for i, want := range []struct {
		kind uint32
		text string
	}{
		{0xa55a0012, `^{"timestamp":"2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z","level":"WARN","message":"at init"}$`},
		{0xa55a000a, `^{"timestamp":"[^"]*","level":"DEBUG","requestId":"r1","tenantId":"blue","message":"d"}$`},
		{0xa55a000e, `"message":"two\\nlines 1 { a: 1 }"}$`},
		{0xa55a0016, `"message":"with TypeError: inner\\n[^"]*","errorType":"TypeError","errorMessage":"inner","stackTrace":\["TypeError: inner",`},
		{0xa55a000e, `"message":{"k":"v"}}$`},
		{0xa55a001a, `"level":"FATAL"`},
		{0xa55a0016, `^{"timestamp":"[^"]*","level":"ERROR","requestId":"r1","tenantId":"blue","message":{"errorType":"RangeError","errorMessage":"bad\\nthing","stackTrace":\["RangeError: bad",.*\],"code":"E7","own":1}}$`},
	} {
		f := p.frames[i]
		if f.kind != want.kind || !regexp.MustCompile(want.text).MatchString(f.text) {
			t.Errorf("record %d: %x %q, want %x %s", i, f.kind, f.text, want.kind, want.text)
		}
	}
}

// TestNodeLogsToStdout: without a log descriptor, records are lines of stdout.
func TestNodeLogsToStdout(t *testing.T) {
	f := node(`exports.handler = async () => { console.log("a\nb"); };`)
	f.stdout = true
	p := start(t, f)
	p.invoke(runtimeapi.Event{RequestID: "r1"})
	want := regexp.MustCompile("^\\S+Z\tr1\tINFO\ta\rb\n$")
	p.await("line", func() bool { return want.Match(p.output.Bytes()) })
}

// TestNodeLargePayloads: 6 MB in, 6 MB out; and an answer beyond the limit does
// not end the process.
func TestNodeLargePayloads(t *testing.T) {
	p := start(t, node(`exports.handler = async (event) => event === "much" ? "x".repeat(7e6) : event;`))
	big := []byte(`"` + strings.Repeat("ü", (alcove.MaxPayload-2)/2) + `"`)
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

func TestNodeTCP(t *testing.T) {
	f := node(`let n = 0; exports.handler = async () => ++n;`)
	f.tcp = true
	p := start(t, f)
	for _, want := range []string{"1", "2", "3"} {
		if got := string(p.invoke(runtimeapi.Event{InvocationID: "attempt"}).Payload); got != want {
			t.Errorf("got %s", got)
		}
	}
}

// TestNodeOptions: NODE_OPTIONS is the function's to set, and the heap follows
// its memory.
func TestNodeOptions(t *testing.T) {
	f := node(`exports.handler = async () => [process.title, require("v8").getHeapStatistics().heap_size_limit / 1048576];`)
	f.env = map[string]string{"NODE_OPTIONS": "--title=optional"}
	f.memory = 1000
	got := string(start(t, f).invoke(runtimeapi.Event{}).Payload)
	if !regexp.MustCompile(`^\["optional",(9\d\d|10\d\d)(\.\d+)?\]$`).MatchString(got) {
		t.Errorf("got %s", got)
	}
}

// TestNodeExit: a handler that ends the process answers nothing.
func TestNodeExit(t *testing.T) {
	p := start(t, node(`exports.handler = async () => { process.exit(7); };`))
	go func() {
		_, _ = p.env.Invoke(t.Context(), &runtimeapi.Event{RequestID: "r", Deadline: time.Now(), Payload: []byte("{}")})
	}()
	if code := p.exit(); code != 7 {
		t.Errorf("exit code %d", code)
	}
}

// TestNodeLateFailure: an error that comes up after the answer ends the process,
// and is nobody's answer.
func TestNodeLateFailure(t *testing.T) {
	p := start(t, node(`exports.handler = async () => { setTimeout(() => { throw new Error("late"); }, 1); return "fine"; };`))
	if got := string(p.invoke(runtimeapi.Event{}).Payload); got != `"fine"` {
		t.Errorf("got %s", got)
	}
	if code := p.exit(); code != 129 {
		t.Errorf("exit code %d", code)
	}
}
