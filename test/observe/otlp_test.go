package observe

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	colllogs "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	collmetrics "go.opentelemetry.io/proto/slim/otlp/collector/metrics/v1"
	colltrace "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/slim/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/slim/otlp/metrics/v1"
	trace "go.opentelemetry.io/proto/slim/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/alcove-run/alcove/test/testnode"
)

// collector is one that keeps everything.
type collector struct {
	*httptest.Server
	gone atomic.Bool // nobody is there

	mu      sync.Mutex
	spans   []*trace.Span
	logs    []string        // TENANT GROUP MESSAGE
	traces  map[string]bool // of log records: TRACE SPAN MESSAGE
	metrics map[string]*metrics.Metric
	errors  []error
}

// door hangs up on who comes while nobody is there. The port stays the collector's.
type door struct {
	net.Listener
	gone *atomic.Bool
}

func (d *door) Accept() (net.Conn, error) {
	for {
		c, err := d.Listener.Accept()
		if err != nil || !d.gone.Load() {
			return c, err
		}
		_ = c.Close()
	}
}

func newCollector(t *testing.T) *collector {
	c := &collector{metrics: make(map[string]*metrics.Metric), traces: make(map[string]bool)}
	c.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.gone.Load() {
			panic(http.ErrAbortHandler)
		}
		if err == nil {
			err = c.take(r.URL.Path, body)
		}
		if err != nil {
			c.errors = append(c.errors, err)
		}
	}))
	c.Listener = &door{c.Listener, &c.gone}
	c.Start()
	t.Cleanup(c.Close)
	return c
}

// take keeps what is in a request. Preconditions: c.mu is held.
func (c *collector) take(path string, body []byte) error {
	switch path {
	case "/v1/traces":
		var m colltrace.ExportTraceServiceRequest
		if err := proto.Unmarshal(body, &m); err != nil {
			return err
		}
		for _, r := range m.ResourceSpans {
			for _, s := range r.ScopeSpans {
				c.spans = append(c.spans, s.Spans...)
			}
		}
	case "/v1/logs":
		var m colllogs.ExportLogsServiceRequest
		if err := proto.Unmarshal(body, &m); err != nil {
			return err
		}
		for _, r := range m.ResourceLogs {
			group := ""
			for _, a := range r.Resource.Attributes {
				if a.Key == "aws.log.group.names" {
					group = a.Value.GetArrayValue().Values[0].GetStringValue()
				}
			}
			for _, l := range r.ScopeLogs[0].LogRecords {
				c.traces[hex.EncodeToString(l.TraceId)+" "+hex.EncodeToString(l.SpanId)+" "+l.Body.GetStringValue()] = true
				c.logs = append(c.logs, attribute(r.Resource.Attributes, "alcove.tenant.id")+" "+group+" "+l.Body.GetStringValue())
			}
		}
	case "/v1/metrics":
		var m collmetrics.ExportMetricsServiceRequest
		if err := proto.Unmarshal(body, &m); err != nil {
			return err
		}
		for _, one := range m.ResourceMetrics[0].ScopeMetrics[0].Metrics {
			c.metrics[one.Name] = one
		}
	default:
		return fmt.Errorf("asked for %s", path)
	}
	return nil
}

func attribute(list []*common.KeyValue, key string) string {
	for _, a := range list {
		if a.Key == key {
			return a.Value.GetStringValue()
		}
	}
	return ""
}

// of gives the spans of a trace.
func (c *collector) of(traceID string) (list []*trace.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if hex.EncodeToString(s.TraceId) == traceID {
			list = append(list, s)
		}
	}
	return list
}

// answer is what the function says of its trace.
type answer struct {
	XRay        string `json:"xray"`
	Traceparent string `json:"traceparent"`
	Tracestate  string `json:"tracestate"`
	header      string // X-Amzn-Trace-Id of the answer
	tail        string
}

const tells = `
import os
def handler(event, context):
    print("said by", context.tenant_id, flush=True)
    if event.get("fail"): raise ValueError("payload-canary")
    return {"xray": os.environ.get("_X_AMZN_TRACE_ID"), "traceparent": os.environ.get("TRACEPARENT"), "tracestate": os.environ.get("TRACESTATE"), "echo": event}
`

// invoke calls with headers of a caller's.
func invoke(t *testing.T, n *testnode.Node, function, tenant string, kind types.InvocationType, headers ...string) (a answer) {
	t.Helper()
	in := &lambda.InvokeInput{FunctionName: &function, InvocationType: kind, Payload: []byte(`{"text":"payload-canary"}`)}
	if kind != types.InvocationTypeEvent {
		in.LogType = types.LogTypeTail
	}
	if tenant != "" {
		in.TenantId = &tenant
	}
	var opts []func(*lambda.Options)
	for i := 0; i < len(headers); i += 2 {
		opts = append(opts, lambda.WithAPIOptions(smithyhttp.SetHeaderValue(headers[i], headers[i+1])))
	}
	out, err := n.Lambda.Invoke(t.Context(), in, opts...)
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Payload) > 0 {
		if err := json.Unmarshal(out.Payload, &a); err != nil || out.FunctionError != nil {
			t.Fatalf("%v: %s", err, out.Payload)
		}
	}
	a.header = awsmiddleware.GetRawResponse(out.ResultMetadata).(*smithyhttp.Response).Header.Get("X-Amzn-Trace-Id")
	a.tail = aws.ToString(out.LogResult)
	return a
}

// checkTree sees that spans are one tree below the caller's, and gives names with those
// of their parents.
func checkTree(t *testing.T, spans []*trace.Span, caller string) []string {
	t.Helper()
	names := map[string]string{caller: "caller"}
	for _, s := range spans {
		id := hex.EncodeToString(s.SpanId)
		if names[id] != "" {
			t.Errorf("%s and %s have one id", s.Name, names[id])
		}
		names[id] = s.Name
		if s.EndTimeUnixNano < s.StartTimeUnixNano || s.StartTimeUnixNano == 0 {
			t.Errorf("%s ends before it starts", s.Name)
		}
		if strings.Contains(s.String(), "canary") {
			t.Errorf("a payload is in a span: %s", s)
		}
	}
	var list []string
	for _, s := range spans {
		parent, ok := names[hex.EncodeToString(s.ParentSpanId)]
		if !ok {
			t.Errorf("%s hangs below nothing", s.Name)
		}
		list = append(list, s.Name+"<"+parent)
	}
	slices.Sort(list)
	return list
}

func named(spans []*trace.Span, name string) *trace.Span {
	for _, s := range spans {
		if s.Name == name {
			return s
		}
	}
	return new(trace.Span)
}

// TestTelemetry: a collector gets each invocation as one tree under its caller's span,
// functions see the same ids, and their records and the node's metrics come, too.
func TestTelemetry(t *testing.T) {
	for _, driver := range drivers {
		t.Run(driver, func(t *testing.T) {
			c := newCollector(t)
			n := testnode.Start(t, program, t.TempDir(), "--isolation", driver, "--otlp-endpoint", c.URL, "--otlp-sample", "0")
			f := n.Deploy(t, types.RuntimePython311, testnode.Files{"main.py": tells}, testnode.Isolated)
			other := n.Deploy(t, types.RuntimePython311, testnode.Files{"main.py": tells}, func(in *lambda.CreateFunctionInput) {
				in.TracingConfig = &types.TracingConfig{Mode: types.TracingModeActive}
			})
			const parent = "53995c3f42cd8ad8"
			id := func(n int) string { return fmt.Sprintf("%08x%024x", 0x65000000+n, n) }
			traceparent := func(n int, flags string) string { return "00-" + id(n) + "-" + parent + "-" + flags }

			// A first call, and a second one that finds the environment.
			for k, tree := range []string{"", "admit<front front<caller invoke<front lease<front"} {
				a := invoke(t, n, f, "blue", "", "traceparent", traceparent(k, "01"), "tracestate", "vendor=1")
				var spans []*trace.Span
				testnode.Eventually(t, "the spans are there", func() bool { spans = c.of(id(k)); return named(spans, "invoke").Name != "" })
				got := strings.Join(checkTree(t, spans, parent), " ")
				if tree != "" && got != tree || !strings.Contains(got, "invoke<front") || !strings.Contains(got, "lease<front") {
					t.Errorf("tree %q", got)
				}
				run := named(spans, "invoke")
				span := hex.EncodeToString(run.SpanId)
				if a.Traceparent != "00-"+id(k)+"-"+span+"-01" || a.Tracestate != "vendor=1" ||
					!strings.HasPrefix(a.XRay, "Root=1-"+id(k)[:8]+"-"+id(k)[8:]+";Parent="+span+";Sampled=1;Lineage=") || a.header != a.XRay {
					t.Errorf("the function saw %+v, its span is %s", a, span)
				}
				start, why := attribute(run.Attributes, "alcove.start"), attribute(run.Attributes, "alcove.start.reason")
				if (start == "warm") != (k == 1) || (why == "") != (start == "warm") {
					t.Errorf("start %q because %q", start, why)
				}
				for _, s := range spans {
					if attribute(s.Attributes, "alcove.tenant.id") != "blue" || s.TraceState != "vendor=1" {
						t.Errorf("span %s", s)
					}
				}
				// What it wrote is known to be of that trace.
				testnode.Eventually(t, "the log record is there", func() bool {
					c.mu.Lock()
					defer c.mu.Unlock()
					return c.traces[id(k)+" "+span+" said by blue"]
				})
				// Who waited for Init sees what it was made of.
				if init := named(spans, "init"); start == "cold" && init.Name == "" {
					t.Errorf("cold without Init: %q", got)
				}
			}
			// What its caller does not want recorded is not, and neither is what nobody
			// has decided on; the one is handed on and the other begun.
			a := invoke(t, n, f, "blue", "", "traceparent", traceparent(2, "00"))
			if a.Traceparent != traceparent(2, "00") || !strings.Contains(a.XRay, ";Parent="+parent+";Sampled=0;") {
				t.Errorf("the function saw %+v", a)
			}
			if a := invoke(t, n, f, "blue", ""); a.Traceparent != "" || a.Tracestate != "" || !strings.HasPrefix(a.XRay, "Root=1-") || !strings.Contains(a.XRay, ";Sampled=0;") {
				t.Errorf("the function saw %+v", a)
			}
			// Active tracing: the first of a second is.
			a = invoke(t, n, other, "", "")
			root, _, _ := strings.Cut(strings.TrimPrefix(a.XRay, "Root=1-"), ";")
			testnode.Eventually(t, "the spans are there", func() bool { return named(c.of(strings.ReplaceAll(root, "-", "")), "invoke").Name != "" })
			// An event's runs, and who gets its result, are in its trace.
			if _, err := n.Lambda.PutFunctionEventInvokeConfig(t.Context(), &lambda.PutFunctionEventInvokeConfigInput{FunctionName: &f,
				DestinationConfig: &types.DestinationConfig{OnSuccess: &types.OnSuccess{Destination: aws.String("arn:aws:lambda:us-east-1:000000000000:function:" + other)}}}); err != nil {
				t.Fatal(err)
			}
			a = invoke(t, n, f, "blue", types.InvocationTypeEvent, "traceparent", traceparent(3, "01"))
			if !strings.HasPrefix(a.header, "Root=1-"+id(3)[:8]) {
				t.Errorf("the event's answer has %q", a.header)
			}
			var spans []*trace.Span
			testnode.Eventually(t, "the event's spans are there", func() bool {
				spans = c.of(id(3))
				return len(slices.DeleteFunc(slices.Clone(spans), func(s *trace.Span) bool { return s.Name != "invoke" })) == 2
			})
			checkTree(t, spans, parent)
			if hex.EncodeToString(named(spans, "accept").ParentSpanId) != parent {
				t.Errorf("the event is not below its caller: %v", spans)
			}
			// A collector that is gone is nobody's trouble.
			c.mu.Lock() // what is being taken is whole
			c.gone.Store(true)
			c.mu.Unlock()
			c.CloseClientConnections()
			for range 20 {
				invoke(t, n, f, "blue", "", "traceparent", traceparent(4, "01"))
			}
			c.gone.Store(false)
			if err := n.Stop(); err != nil {
				t.Fatal(err)
			}
			if spans := c.of(id(4)); len(spans) != 20*4 {
				t.Errorf("%d spans of 20 invocations", len(spans))
			}
			if spans := c.of(id(2)); len(spans) != 0 {
				t.Errorf("spans of what was not to be recorded: %v", spans)
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			if want := "blue /aws/lambda/" + f + " said by blue"; !slices.Contains(c.logs, want) {
				t.Errorf("logs %q", c.logs)
			}
			if !slices.ContainsFunc(c.logs, func(s string) bool {
				return strings.HasPrefix(s, " /aws/lambda/"+other+" REPORT RequestId: ") && strings.Contains(s, "\nXRAY TraceId: 1-"+root+"\tSegmentId: ") && strings.HasSuffix(s, "\tSampled: true\t")
			}) {
				t.Errorf("no XRAY line: %q", c.logs)
			}
			found := false
			for _, p := range c.metrics["alcove_tenant_invocations_total"].GetSum().GetDataPoints() {
				found = found || attribute(p.Attributes, "tenant") == "blue" && p.GetAsDouble() == 25
			}
			if !found {
				t.Errorf("metrics %v", c.metrics["alcove_tenant_invocations_total"])
			}
			if len(c.errors) > 0 {
				t.Error(c.errors)
			}
		})
	}
}

// TestNoCollector: a node whose collector was never there serves, and ends in time.
func TestNoCollector(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	n := testnode.Start(t, program, t.TempDir(), "--isolation", "namespace", "--otlp-endpoint", "http://"+l.Addr().String())
	f := n.Deploy(t, types.RuntimePython311, testnode.Files{"main.py": tells}, testnode.Isolated)
	for range 10 {
		invoke(t, n, f, "blue", "")
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
}
