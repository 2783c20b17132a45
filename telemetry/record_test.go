package telemetry

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
)

var at = time.Date(2026, 11, 23, 8, 12, 0, 123456789, time.FixedZone("CET", 3600))

const (
	stamp     = "2026-11-23T07:12:00.123Z"
	requestID = "6d68ca91-49c9-448d-89b8-7ca3e6dc66aa"
	arn       = "arn:aws:lambda:us-east-1:000000000000:function:hello"
)

// The shapes as encoding/json writes them: the appenders must agree.
type (
	envelope struct {
		Time   string `json:"time"`
		Type   string `json:"type"`
		Record any    `json:"record"`
	}
	wireTracing struct {
		SpanID string `json:"spanId,omitempty"`
		Type   string `json:"type"`
		Value  string `json:"value"`
	}
	wireSpan struct {
		Name     string  `json:"name"`
		Start    string  `json:"start"`
		Duration float64 `json:"durationMs"`
	}
	wireMetrics struct {
		Duration   float64  `json:"durationMs"`
		Produced   *int64   `json:"producedBytes,omitempty"`
		Billed     *int64   `json:"billedDurationMs,omitempty"`
		MemorySize *int     `json:"memorySizeMB,omitempty"`
		MaxMemory  *int     `json:"maxMemoryUsedMB,omitempty"`
		Init       *float64 `json:"initDurationMs,omitempty"`
	}
	wireInit struct {
		InitializationType string       `json:"initializationType"`
		Phase              string       `json:"phase"`
		FunctionARN        string       `json:"functionArn,omitempty"`
		Function           string       `json:"functionName,omitempty"`
		Version            string       `json:"functionVersion,omitempty"`
		RuntimeVersion     string       `json:"runtimeVersion,omitempty"`
		RuntimeVersionARN  string       `json:"runtimeVersionArn,omitempty"`
		Environment        string       `json:"instanceId,omitempty"`
		MaxMemory          int          `json:"instanceMaxMemory,omitempty"`
		Status             string       `json:"status,omitempty"`
		Metrics            *wireMetrics `json:"metrics,omitempty"`
		ErrorType          string       `json:"errorType,omitempty"`
		Spans              []wireSpan   `json:"spans,omitempty"`
		Tracing            *wireTracing `json:"tracing,omitempty"`
	}
	wireInvoke struct {
		RequestID   string       `json:"requestId"`
		FunctionARN string       `json:"functionArn,omitempty"`
		Version     string       `json:"version,omitempty"`
		Status      string       `json:"status,omitempty"`
		ErrorType   string       `json:"errorType,omitempty"`
		Metrics     *wireMetrics `json:"metrics,omitempty"`
		Spans       []wireSpan   `json:"spans,omitempty"`
		Tracing     *wireTracing `json:"tracing,omitempty"`
		Tenant      string       `json:"tenantId,omitempty"`
	}
)

func ptr[T any](v T) *T { return &v }

func wire(t *testing.T, kind string, record any) string {
	t.Helper()
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(envelope{stamp, kind, record}); err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSuffix(buf.Bytes(), []byte("\n")))
}

func TestRecords(t *testing.T) {
	spans := []Span{{SpanResponseLatency, at, 1500 * time.Microsecond}, {SpanRuntimeOverhead, at, time.Millisecond}}
	wireSpans := []wireSpan{{"responseLatency", stamp, 1.5}, {"runtimeOverhead", stamp, 1}}
	tracing := Tracing{SpanID: "54565fb41ac79632", Value: "Root=1-62e900b2;Sampled=1"}
	wired := &wireTracing{"54565fb41ac79632", "X-Amzn-Trace-Id", "Root=1-62e900b2;Sampled=1"}

	tests := []struct {
		name   string
		record Record
		kind   string
		wire   any
		text   string
		level  Level
	}{
		{"initStart", &InitStart{at, InitOnDemand, PhaseInit, arn, "hello", "$LATEST", "python:3.11.2", "arn:x", "env-1", 128, tracing},
			"platform.initStart",
			wireInit{InitializationType: "on-demand", Phase: "init", FunctionARN: arn, Function: "hello", Version: "$LATEST",
				RuntimeVersion: "python:3.11.2", RuntimeVersionARN: "arn:x", Environment: "env-1", MaxMemory: 128, Tracing: wired},
			"INIT_START Runtime Version: python:3.11.2\tRuntime Version ARN: arn:x\n", LevelInfo},
		{"initStart without ARN", &InitStart{Time: at, InitializationType: InitOnDemand, Phase: PhaseInit, RuntimeVersion: "nodejs:20"},
			"platform.initStart", wireInit{InitializationType: "on-demand", Phase: "init", RuntimeVersion: "nodejs:20"},
			"INIT_START Runtime Version: nodejs:20\n", LevelInfo},
		{"initStart suppressed", &InitStart{Time: at, InitializationType: InitOnDemand, Phase: PhaseInvoke},
			"platform.initStart", wireInit{InitializationType: "on-demand", Phase: "invoke"}, "", LevelDebug},
		{"initRuntimeDone", &InitRuntimeDone{at, InitOnDemand, PhaseInit, alcove.StatusError, "Runtime.ExitError", spans, tracing},
			"platform.initRuntimeDone",
			wireInit{InitializationType: "on-demand", Phase: "init", Status: "error", ErrorType: "Runtime.ExitError", Spans: wireSpans, Tracing: wired},
			"", LevelWarn},
		{"initReport", &InitReport{Time: at, InitializationType: InitOnDemand, Phase: PhaseInit, Status: alcove.StatusSuccess, Duration: 110101 * time.Microsecond},
			"platform.initReport",
			wireInit{InitializationType: "on-demand", Phase: "init", Status: "success", Metrics: &wireMetrics{Duration: 110.101}},
			"", LevelDebug},
		{"initReport provisioned", &InitReport{Time: at, InitializationType: InitProvisioned, Phase: PhaseInit, Status: alcove.StatusSuccess, Duration: time.Second},
			"platform.initReport",
			wireInit{InitializationType: "provisioned-concurrency", Phase: "init", Status: "success", Metrics: &wireMetrics{Duration: 1000}},
			"INIT_REPORT Init Duration: 1000.00 ms\tPhase: init\n", LevelInfo},
		{"initReport timeout", &InitReport{Time: at, InitializationType: InitOnDemand, Phase: PhaseInit, Status: alcove.StatusTimeout, Duration: 9999790 * time.Microsecond},
			"platform.initReport",
			wireInit{InitializationType: "on-demand", Phase: "init", Status: "timeout", Metrics: &wireMetrics{Duration: 9999.79}},
			"INIT_REPORT Init Duration: 9999.79 ms\tPhase: init\tStatus: timeout\n", LevelWarn},
		{"initReport error", &InitReport{Time: at, InitializationType: InitOnDemand, Phase: PhaseInvoke, Status: alcove.StatusError, ErrorType: "Runtime.Unknown", Duration: 998150 * time.Microsecond},
			"platform.initReport",
			wireInit{InitializationType: "on-demand", Phase: "invoke", Status: "error", ErrorType: "Runtime.Unknown", Metrics: &wireMetrics{Duration: 998.15}},
			"INIT_REPORT Init Duration: 998.15 ms\tPhase: invoke\tStatus: error\tError Type: Runtime.Unknown\n", LevelWarn},
		{"start", &Start{at, requestID, arn, "$LATEST", tracing, "blue"},
			"platform.start", wireInvoke{RequestID: requestID, FunctionARN: arn, Version: "$LATEST", Tracing: wired, Tenant: "blue"},
			"START RequestId: " + requestID + " Version: $LATEST\n", LevelInfo},
		{"start without tenant", &Start{Time: at, RequestID: requestID, Version: "7"},
			"platform.start", wireInvoke{RequestID: requestID, Version: "7"},
			"START RequestId: " + requestID + " Version: 7\n", LevelInfo},
		{"runtimeDone", &RuntimeDone{at, requestID, alcove.StatusSuccess, "", 3010 * time.Microsecond, 42, spans, tracing, "blue"},
			"platform.runtimeDone",
			wireInvoke{RequestID: requestID, Status: "success", Metrics: &wireMetrics{Duration: 3.01, Produced: ptr(int64(42))}, Spans: wireSpans, Tracing: wired, Tenant: "blue"},
			"END RequestId: " + requestID + "\n", LevelDebug},
		{"runtimeDone timeout", &RuntimeDone{Time: at, RequestID: requestID, Status: alcove.StatusTimeout, Tenant: "a b"},
			"platform.runtimeDone",
			wireInvoke{RequestID: requestID, Status: "timeout", Metrics: &wireMetrics{Produced: ptr(int64(0))}, Tenant: "a b"},
			"END RequestId: " + requestID + "\n", LevelWarn},
		{"report", &Report{Time: at, RequestID: requestID, Status: alcove.StatusSuccess, Duration: 3008 * time.Microsecond, Billed: 4 * time.Millisecond,
			MemorySize: 128, MaxMemoryUsed: 36, Init: 110095 * time.Microsecond, Tenant: "blue"},
			"platform.report",
			wireInvoke{RequestID: requestID, Status: "success", Tenant: "blue", Metrics: &wireMetrics{Duration: 3.008, Billed: ptr(int64(4)),
				MemorySize: ptr(128), MaxMemory: ptr(36), Init: ptr(110.095)}},
			"REPORT RequestId: " + requestID + "\tDuration: 3.01 ms\tBilled Duration: 4 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\tInit Duration: 110.10 ms\t\n", LevelInfo},
		{"report of an exception", &Report{Time: at, RequestID: requestID, Status: alcove.StatusError, ErrorType: "ValueError", Duration: time.Millisecond,
			Billed: time.Millisecond, MemorySize: 128, MaxMemoryUsed: 36},
			"platform.report",
			wireInvoke{RequestID: requestID, Status: "error", ErrorType: "ValueError", Metrics: &wireMetrics{Duration: 1, Billed: ptr(int64(1)), MemorySize: ptr(128), MaxMemory: ptr(36)}},
			"REPORT RequestId: " + requestID + "\tDuration: 1.00 ms\tBilled Duration: 1 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\t\n", LevelWarn},
		{"report of an exit", &Report{Time: at, RequestID: requestID, Status: alcove.StatusError, ErrorType: "Runtime.ExitError", Duration: time.Millisecond,
			Billed: time.Millisecond, MemorySize: 128, MaxMemoryUsed: 36, Init: time.Millisecond, Spans: spans, Tracing: tracing},
			"platform.report",
			wireInvoke{RequestID: requestID, Status: "error", ErrorType: "Runtime.ExitError", Spans: wireSpans, Tracing: wired,
				Metrics: &wireMetrics{Duration: 1, Billed: ptr(int64(1)), MemorySize: ptr(128), MaxMemory: ptr(36), Init: ptr(1.0)}},
			"REPORT RequestId: " + requestID + "\tDuration: 1.00 ms\tBilled Duration: 1 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\tInit Duration: 1.00 ms\tStatus: error\tError Type: Runtime.ExitError\n", LevelWarn},
		{"report of a recorded trace", &Report{Time: at, RequestID: requestID, Status: alcove.StatusSuccess, Duration: time.Millisecond,
			Billed: time.Millisecond, MemorySize: 128, MaxMemoryUsed: 36, Segment: Segment{Trace: "1-677faf89-09a6b95269c6e56c4d1ab356", ID: "7e44b09386b9ab35"}},
			"platform.report",
			wireInvoke{RequestID: requestID, Status: "success", Metrics: &wireMetrics{Duration: 1, Billed: ptr(int64(1)), MemorySize: ptr(128), MaxMemory: ptr(36)}},
			"REPORT RequestId: " + requestID + "\tDuration: 1.00 ms\tBilled Duration: 1 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\t\n" +
				"XRAY TraceId: 1-677faf89-09a6b95269c6e56c4d1ab356\tSegmentId: 7e44b09386b9ab35\tSampled: true\t\n", LevelInfo},
		{"report of a timeout", &Report{Time: at, RequestID: requestID, Status: alcove.StatusTimeout, ErrorType: "Sandbox.Timedout", Duration: time.Second,
			Billed: time.Second, MemorySize: 128, MaxMemoryUsed: 36},
			"platform.report",
			wireInvoke{RequestID: requestID, Status: "timeout", ErrorType: "Sandbox.Timedout", Metrics: &wireMetrics{Duration: 1000, Billed: ptr(int64(1000)), MemorySize: ptr(128), MaxMemory: ptr(36)}},
			"REPORT RequestId: " + requestID + "\tDuration: 1000.00 ms\tBilled Duration: 1000 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\tStatus: timeout\n", LevelWarn},
		{"fault", &Fault{Time: at, RequestID: requestID, Message: "Runtime exited with error: exit status 1", ErrorType: "Runtime.ExitError"},
			"platform.fault", "RequestId: " + requestID + " Error: Runtime exited with error: exit status 1\nRuntime.ExitError\n",
			"RequestId: " + requestID + " Error: Runtime exited with error: exit status 1\nRuntime.ExitError\n", LevelError},
		{"timeout", &Fault{Time: at, RequestID: requestID, Timeout: time.Second},
			"platform.fault", stamp + " " + requestID + " Task timed out after 1.00 seconds\n\n",
			stamp + " " + requestID + " Task timed out after 1.00 seconds\n\n", LevelError},
		{"extension", &Extension{at, "tracer", "Ready", []string{"INVOKE", "SHUTDOWN"}, ""},
			"platform.extension", map[string]any{"name": "tracer", "state": "Ready", "events": []string{"INVOKE", "SHUTDOWN"}},
			"EXTENSION\tName: tracer\tState: Ready\tEvents: [INVOKE, SHUTDOWN]\n", LevelInfo},
		{"extension failed", &Extension{at, "tracer", "LaunchError", nil, "Extension.LaunchError"},
			"platform.extension", map[string]any{"name": "tracer", "state": "LaunchError", "events": []string{}, "errorType": "Extension.LaunchError"},
			"EXTENSION\tName: tracer\tState: LaunchError\tEvents: []\tError Type: Extension.LaunchError\n", LevelWarn},
		{"subscription", &Subscription{Time: at, Name: "tracer", State: "Subscribed", Types: []string{"platform", "function"}},
			"platform.telemetrySubscription", map[string]any{"name": "tracer", "state": "Subscribed", "types": []string{"platform", "function"}},
			"TELEMETRY\tName: tracer\tState: Subscribed\tTypes: [platform, function]\n", LevelInfo},
		{"logsDropped", &LogsDropped{at, 12345, 123, "too many"},
			"platform.logsDropped", map[string]any{"droppedBytes": 12345, "droppedRecords": 123, "reason": "too many"},
			"LOGS_DROPPED Records: 123\tBytes: 12345\tReason: too many\n", LevelWarn},
		{"function line", &Output{Time: at, Source: SourceFunction, Message: []byte("h\"i <&>\t\x01\u2028é\xff\n"), Severity: LevelInfo, Object: true},
			"function", "h\"i <&>\t\x01\u2028é\xff\n", "h\"i <&>\t\x01\u2028é\xff\n", LevelInfo},
		{"function object", &Output{Time: at, Source: SourceFunction, Message: []byte(`{"a":1}` + "\n"), Object: true},
			"function", json.RawMessage(`{"a":1}`), `{"a":1}` + "\n", LevelNone},
		{"function object as text", &Output{Time: at, Source: SourceExtension, Message: []byte(`{"a":1}`)},
			"extension", `{"a":1}`, `{"a":1}`, LevelNone},
		{"almost an object", &Output{Time: at, Source: SourceFunction, Message: []byte(`{"a":1`), Object: true},
			"function", `{"a":1`, `{"a":1`, LevelNone},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, want := string(tt.record.AppendJSON(nil)), wire(t, tt.kind, tt.wire)
			if _, ok := tt.wire.(map[string]any); ok { // a map's members are sorted
				got, want = canonical(t, got), canonical(t, want)
			}
			if got != want {
				t.Errorf("JSON\n got %s\nwant %s", got, want)
			}
			if got := string(tt.record.AppendText(nil)); got != tt.text {
				t.Errorf("text\n got %q\nwant %q", got, tt.text)
			}
			if got := tt.record.Level(); got != tt.level {
				t.Errorf("level %v, want %v", got, tt.level)
			}
			if got := tt.record.AppendJSON([]byte("x")); got[0] != 'x' {
				t.Error("AppendJSON does not append")
			}
		})
	}
}

func canonical(t *testing.T, s string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		t.Fatalf("%v: %s", err, s)
	}
	b, _ := json.Marshal(v)
	return string(b)
}

func TestReportOf(t *testing.T) {
	r := &alcove.Report{RequestID: "r", Tenant: "blue", Status: alcove.StatusTimeout, ErrorType: "e", Duration: 1, Billed: 2, Init: 3, MemorySize: 4, MaxMemoryUsed: 5}
	want := Report{Time: at, RequestID: "r", Tenant: "blue", Status: alcove.StatusTimeout, ErrorType: "e", Duration: 1, Billed: 2, Init: 3, MemorySize: 4, MaxMemoryUsed: 5}
	if got := ReportOf(r, at); got.RequestID != want.RequestID || got.Tenant != want.Tenant || string(got.AppendJSON(nil)) != string(want.AppendJSON(nil)) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// The records of every invocation are appended without an allocation.
func TestHotRecordsDoNotAllocate(t *testing.T) {
	dst := make([]byte, 0, 4096)
	start := &Start{at, requestID, arn, "$LATEST", Tracing{Value: "Root=1"}, "blue"}
	done := &RuntimeDone{Time: at, RequestID: requestID, Status: alcove.StatusSuccess, Duration: 3010 * time.Microsecond, Tenant: "blue",
		Spans: []Span{{SpanResponseLatency, at, time.Millisecond}}}
	report := &Report{Time: at, RequestID: requestID, Status: alcove.StatusError, ErrorType: "Runtime.ExitError", Duration: time.Millisecond, Tenant: "blü"}
	n := testing.AllocsPerRun(100, func() {
		for _, r := range []Record{start, done, report} {
			r.AppendJSON(dst)
			r.AppendText(dst)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkReportJSON(b *testing.B) {
	dst := make([]byte, 0, 4096)
	r := &Report{Time: at, RequestID: requestID, Status: alcove.StatusSuccess, Duration: 3008 * time.Microsecond, Billed: 4 * time.Millisecond,
		MemorySize: 128, MaxMemoryUsed: 36, Tenant: "blue"}
	b.ReportAllocs()
	for b.Loop() {
		r.AppendJSON(dst)
	}
}

func FuzzAppendString(f *testing.F) {
	f.Add("plain")
	f.Add("\x00\b\f\n\r\t\"\\/<>&\u2028\u2029\xff\xf0\x9f\x98")
	f.Fuzz(func(t *testing.T, s string) {
		var buf bytes.Buffer
		enc := json.NewEncoder(&buf)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(s); err != nil {
			t.Fatal(err)
		}
		want := string(bytes.TrimSuffix(buf.Bytes(), []byte("\n")))
		if got := string(AppendString(nil, s)); got != want {
			t.Errorf("string: got %s, want %s", got, want)
		}
		if got := string(AppendString(nil, []byte(s))); got != want {
			t.Errorf("bytes: got %s, want %s", got, want)
		}
	})
}
