package otlp

import (
	"compress/gzip"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	colllogs "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	collmetrics "go.opentelemetry.io/proto/slim/otlp/collector/metrics/v1"
	colltrace "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	trace "go.opentelemetry.io/proto/slim/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/alcove-run/alcove"
)

// collector keeps what it is sent.
type collector struct {
	*httptest.Server
	status func() int // nil is 200

	mu      sync.Mutex
	headers http.Header
	traces  []*colltrace.ExportTraceServiceRequest
	logs    []*colllogs.ExportLogsServiceRequest
	metrics []*collmetrics.ExportMetricsServiceRequest
}

func newCollector(t *testing.T) *collector {
	c := &collector{}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		in, _ = gzip.NewReader(r.Body)
	}
	body, err := io.ReadAll(in)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status != nil {
		if status := c.status(); status != 200 {
			w.WriteHeader(status)
			return
		}
	}
	c.headers = r.Header
	read := func(m proto.Message) {
		if err == nil {
			err = proto.Unmarshal(body, m)
		}
	}
	switch r.URL.Path {
	case "/v1/traces":
		m := new(colltrace.ExportTraceServiceRequest)
		read(m)
		c.traces = append(c.traces, m)
	case "/v1/logs":
		m := new(colllogs.ExportLogsServiceRequest)
		read(m)
		c.logs = append(c.logs, m)
	case "/v1/metrics":
		m := new(collmetrics.ExportMetricsServiceRequest)
		read(m)
		c.metrics = append(c.metrics, m)
	}
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
	}
}

func exporterTo(t *testing.T, url string, env map[string]string) *Exporter {
	t.Helper()
	s, err := Read(url, func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	s.Describe = func(name string) Description {
		return Description{Counter: strings.HasSuffix(name, "_total"), Help: "help"}
	}
	e := New(Config{Settings: s, Version: "v1", Node: "n", Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() { e.Close() })
	return e
}

func span(tenant alcove.Tenant) []alcove.Span {
	return []alcove.Span{{Trace: alcove.TraceID{1}, ID: alcove.SpanID{2}, Parent: alcove.SpanID{3}, Name: "front", Kind: alcove.SpanServer, Tenant: tenant,
		Start: time.Unix(1, 0), End: time.Unix(2, 0), Failed: "bad\xff", Attributes: []alcove.Attribute{{Key: "n", Number: 7}, {Key: "t", Text: "x"}}}}
}

func TestWhatACollectorGets(t *testing.T) {
	c := newCollector(t)
	e := exporterTo(t, c.URL+"/", map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20s%3Decret, x=1", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
		"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=prod,service.name=ignored", "OTEL_SERVICE_NAME": "svc"})
	end := e.Collect(func(p *Page) {
		p.Add("a_total", 3, "tenant", "blue\xff")
		p.Add("g", 1.5)
		p.Histogram("h", []float64{1, 2}, []int64{1, 0, 4}, 9, "function", "f")
	})
	e.Spans(span("blue"))
	e.Log("/aws/lambda/f", "s1", "blue", time.Unix(3, 0), []byte("{\"level\":\"warn\",\"m\":\"\xff\"}\n"), nil)
	e.Log("/aws/lambda/f", "s1", "blue", time.Unix(4, 0), []byte("two"), &alcove.Trace{ID: alcove.TraceID{1}, Parent: alcove.SpanID{2}})
	e.Log("/aws/lambda/g", "s2", "", time.Unix(4, 0), []byte("three"), nil)
	end()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if got := c.headers; got.Get("Authorization") != "Bearer s=ecret" || got.Get("X") != "1" || got.Get("Content-Type") != "application/x-protobuf" {
		t.Errorf("headers %v", got)
	}
	rs := c.traces[0].ResourceSpans[0]
	s := rs.ScopeSpans[0].Spans[0]
	if len(c.traces) != 1 || rs.Resource.Attributes[0].Value.GetStringValue() != "svc" || rs.Resource.Attributes[3].Value.GetStringValue() != "prod" ||
		string(s.TraceId) != string(append([]byte{1}, make([]byte, 15)...)) || s.ParentSpanId[0] != 3 || s.Kind != trace.Span_SPAN_KIND_SERVER || s.EndTimeUnixNano != 2e9 ||
		s.Attributes[0].Value.GetIntValue() != 7 || s.Attributes[2].Value.GetStringValue() != "blue" || s.Attributes[3].Value.GetStringValue() != "bad\uFFFD" ||
		s.Status.Code != trace.Status_STATUS_CODE_ERROR {
		t.Errorf("spans %v", c.traces)
	}
	if l := c.logs[0].ResourceLogs; len(l) != 2 || len(l[0].ScopeLogs[0].LogRecords) != 2 || l[0].ScopeLogs[0].LogRecords[0].SeverityNumber != 13 ||
		l[0].ScopeLogs[0].LogRecords[0].Body.GetStringValue() != "{\"level\":\"warn\",\"m\":\"\uFFFD\"}" || l[0].ScopeLogs[0].LogRecords[1].SeverityNumber != 0 ||
		l[0].ScopeLogs[0].LogRecords[1].TraceId[0] != 1 || l[0].ScopeLogs[0].LogRecords[1].SpanId[0] != 2 || l[0].ScopeLogs[0].LogRecords[0].TraceId != nil ||
		l[0].Resource.Attributes[4].Value.GetArrayValue().Values[0].GetStringValue() != "/aws/lambda/f" {
		t.Errorf("logs %v", l)
	}
	m := c.metrics[0].ResourceMetrics[0].ScopeMetrics[0].Metrics
	if len(m) != 3 || !m[0].GetSum().IsMonotonic || m[0].GetSum().DataPoints[0].GetAsDouble() != 3 || m[1].GetGauge().DataPoints[0].GetAsDouble() != 1.5 ||
		m[2].GetHistogram().DataPoints[0].Count != 5 || m[2].GetHistogram().DataPoints[0].GetSum() != 9 {
		t.Errorf("metrics %v", m)
	}
	if st := e.Stats(); st[Traces] != (Stats{Sent: 1}) || st[Logs] != (Stats{Sent: 3}) || st[Metrics].Sent != 1 {
		t.Errorf("stats %+v", st)
	}
}

// TestQueueHasAPartForEachTenant: who floods it costs nobody else a record.
func TestQueueHasAPartForEachTenant(t *testing.T) {
	q := newQueue[int](1000)
	for n := range 100 {
		q.put("loud", 10, n)
	}
	for n := range 10 {
		q.put("quiet", 10, 1000+n)
	}
	if bytes, dropped := q.stats(); bytes != 350 || dropped != 75 {
		t.Errorf("%d bytes, %d dropped", bytes, dropped)
	}
	if got := q.take(100); len(got) != 10 || got[0] != 0 {
		t.Errorf("took %v", got)
	}
	q.forget("loud")
	if got := q.take(1 << 20); len(got) != 10 || got[0] != 1000 {
		t.Errorf("took %v", got)
	}
	if bytes, _ := q.stats(); bytes != 0 || len(q.parties) != 0 {
		t.Errorf("%d bytes, %v are left", bytes, q.parties)
	}
	for n := range 20 { // all of it, and no more
		q.put(string(rune('a'+n)), 100, n)
	}
	if bytes, _ := q.stats(); bytes != 1000 {
		t.Errorf("%d bytes", bytes)
	}
}

// TestACollectorThatIsAway gets what it missed, if it is back within a minute; what is
// older is dropped and counted, and a refusal is for good.
func TestACollectorThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var tries []time.Duration
		answer := func() int { return http.StatusServiceUnavailable }
		s := &sender{signal: Traces, to: Target{URL: "http://collector/", Timeout: time.Second}, closing: make(chan struct{}), log: slog.New(slog.DiscardHandler),
			client: &http.Client{Transport: trip(func(*http.Request) (*http.Response, error) {
				tries = append(tries, time.Since(began))
				return &http.Response{StatusCode: answer(), Body: http.NoBody, Header: http.Header{}}, nil
			})}}
		send := func() {
			s.send(t.Context(), new(colltrace.ExportTraceServiceRequest), new(colltrace.ExportTraceServiceResponse), 1)
		}
		send()
		if took := time.Since(began); s.dropped.Load() != 1 || took < giveUp || took > giveUp+lastRetry || len(tries) < 6 || len(tries) > 16 {
			t.Errorf("dropped %d after %s and %d tries", s.dropped.Load(), took, len(tries))
		}
		tries, began = nil, time.Now()
		answer = func() int {
			if len(tries) == 3 {
				return http.StatusOK
			}
			return http.StatusServiceUnavailable
		}
		if send(); s.sent.Load() != 1 || len(tries) != 3 {
			t.Errorf("sent %d after %d tries", s.sent.Load(), len(tries))
		}
		tries, answer = nil, func() int { return http.StatusUnauthorized }
		if send(); s.dropped.Load() != 2 || len(tries) != 1 {
			t.Errorf("dropped %d after %d tries", s.dropped.Load(), len(tries))
		}
	})
}

type trip func(*http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestTheEndDoesNotWaitForACollector that takes a request and never answers.
func TestTheEndDoesNotWaitForACollector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := exporterTo(t, "http://collector", nil)
		for _, s := range e.senders {
			s.client = &http.Client{Transport: trip(func(r *http.Request) (*http.Response, error) {
				<-r.Context().Done()
				return nil, r.Context().Err()
			})}
		}
		collects := 0
		end := e.Collect(func(*Page) { collects++ })
		for range 100 {
			e.Spans(span("blue"))
			e.Log("g", "s", "blue", time.Now(), make([]byte, 1<<20), nil)
		}
		time.Sleep(90 * time.Second)
		began, before := time.Now(), collects
		end()
		e.Close()
		if took := time.Since(began); took > 2*closeTimeout || collects > before+1 {
			t.Errorf("it took %s, and %d looks at metrics", took, collects-before)
		}
		if st := e.Stats(); st[Traces].Dropped != 100 || st[Logs].Dropped != 100 || st[Traces].Queued != 0 {
			t.Errorf("stats %+v", st)
		}
	})
}

func TestRead(t *testing.T) {
	for _, c := range []struct {
		endpoint string
		env      map[string]string
		want     string // what the error has, or the URLs of all signals
	}{
		{"", nil, ""},
		{"http://c:4318", nil, "http://c:4318/v1/logs http://c:4318/v1/metrics http://c:4318/v1/traces"},
		{"", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://u:secret@c/base/"}, "https://u:xxxxx@c/base/v1/logs https://u:xxxxx@c/base/v1/metrics https://u:xxxxx@c/base/v1/traces"},
		{"http://c", map[string]string{"OTEL_LOGS_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t/in?key=secret"}, "http://c/v1/metrics http://t/in"},
		{"", map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://m/x"}, "http://m/x"},
		{"http://c", map[string]string{"OTEL_SDK_DISABLED": "true"}, ""},
		{"c:4318", nil, "--otlp-endpoint: give a URL"},
		{"http://c", map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, `OTEL_EXPORTER_OTLP_PROTOCOL "grpc": only http/protobuf`},
		{"http://c", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "x"}, "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"},
		{"http://c", map[string]string{"OTEL_EXPORTER_OTLP_COMPRESSION": "zstd"}, "gzip or none"},
		{"http://c", map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "secret"}, "OTEL_EXPORTER_OTLP_HEADERS: give name=value"},
		{"http://c", map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "a=b%0d%0aX: y"}, "OTEL_EXPORTER_OTLP_HEADERS: not a header"},
		{"http://c", map[string]string{"OTEL_EXPORTER_OTLP_CERTIFICATE": "/nothing"}, "OTEL_EXPORTER_OTLP_CERTIFICATE"},
		{"http://c", map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, "otlp or none"},
		{"http://c", map[string]string{"OTEL_METRIC_EXPORT_INTERVAL": "0"}, "give milliseconds"},
	} {
		s, err := Read(c.endpoint, func(name string) string { return c.env[name] })
		got := ""
		if err != nil {
			got = err.Error()
			if strings.Contains(got, "secret") {
				t.Errorf("an error tells a secret: %s", got)
			}
		} else {
			var list []string
			for _, signal := range []Signal{Logs, Metrics, Traces} {
				if to, ok := s.Targets[signal]; ok {
					list = append(list, to.shown())
				}
			}
			got = strings.Join(list, " ")
		}
		if err == nil && got != c.want || err != nil && (c.want == "" || !strings.Contains(got, c.want)) {
			t.Errorf("%q, %v: %s, want %s", c.endpoint, c.env, got, c.want)
		}
	}
	var none *Exporter
	none.Spans(span("blue"))
	none.Log("g", "s", "", time.Now(), nil, nil)
	none.Forget("blue")
	if none.Wants(Traces) || none.Stats() != nil {
		t.Error("nobody wants something")
	}
}
