// Package otlp sends what a node knows of itself to an OpenTelemetry collector: spans
// of invocations, log records and metrics, by OTLP over HTTP in its binary form.
//
// It owns queues in memory, of a bounded size and with a share for each tenant, and a
// goroutine for each signal that empties them. It never makes anybody wait: what a
// queue has no room for, and what a collector does not take within a minute, is
// dropped and counted. It opens nothing and takes no memory on a node without an
// endpoint.
package otlp

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	colllogs "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	collmetrics "go.opentelemetry.io/proto/slim/otlp/collector/metrics/v1"
	colltrace "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/slim/otlp/common/v1"
	resource "go.opentelemetry.io/proto/slim/otlp/resource/v1"
	"google.golang.org/protobuf/proto"

	"github.com/alcove-run/alcove"
)

// Signal is what is sent.
type Signal string

// The signals.
const (
	Traces  Signal = "traces"
	Logs    Signal = "logs"
	Metrics Signal = "metrics"
)

// Signals are all of them.
func Signals() []Signal { return []Signal{Traces, Logs, Metrics} }

const (
	// queueBytes bounds what waits of a signal; one tenant may have a quarter.
	queueBytes = 8 << 20
	tenantPart = 4
	// batchBytes is about how much goes out at once.
	batchBytes = 1 << 20
	// batchDelay is how long a first record waits for others.
	batchDelay = time.Second
	// maxResource bounds the attributes of what sends.
	maxResource = 64
)

// Config is what an Exporter is made from.
type Config struct {
	Settings
	Version string // of the program
	Node    string // what tells this node from others
	Log     *slog.Logger
}

// Exporter sends. Its methods are for any number of goroutines; those of a nil
// Exporter do nothing.
type Exporter struct {
	cfg      Config
	started  time.Time
	resource []*common.KeyValue

	spans *queue[[]alcove.Span]
	logs  *queue[logRecord]

	senders map[Signal]*sender
	closing chan struct{}      // closed by Close
	ctx     context.Context    // of requests
	cancel  context.CancelFunc // when Close has waited long enough
	done    sync.WaitGroup
	stop    sync.Once
}

// New starts to send.
func New(cfg Config) *Exporter {
	e := &Exporter{cfg: cfg, started: time.Now(), closing: make(chan struct{}), senders: make(map[Signal]*sender)}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.resource = resourceOf(cfg)
	client := &http.Client{Transport: cfg.transport(), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for signal, to := range cfg.Targets {
		e.senders[signal] = &sender{signal: signal, to: to, client: client, closing: e.closing, agent: "alcove/" + cfg.Version, log: cfg.Log}
	}
	if s := e.senders[Traces]; s != nil {
		e.spans = newQueue[[]alcove.Span](queueBytes)
		e.done.Go(func() {
			follow(e, s, e.spans, e.tracesOf, func() proto.Message { return new(colltrace.ExportTraceServiceResponse) })
		})
	}
	if s := e.senders[Logs]; s != nil {
		e.logs = newQueue[logRecord](queueBytes)
		e.done.Go(func() {
			follow(e, s, e.logs, e.logsOf, func() proto.Message { return new(colllogs.ExportLogsServiceResponse) })
		})
	}
	return e
}

// follow empties a queue into a sender until Close.
func follow[T any](e *Exporter, s *sender, q *queue[T], message func([]T) proto.Message, reply func() proto.Message) {
	for closed := false; ; {
		if !closed {
			select {
			case <-q.filled:
				// Others may come; a queue that fills does not wait for them.
				delay := time.NewTimer(batchDelay)
				select {
				case <-delay.C:
				case <-q.crowded:
				case <-e.closing:
					closed = true
				}
				delay.Stop()
			case <-e.closing:
				closed = true
			}
		}
		for {
			list := q.take(batchBytes)
			if len(list) == 0 {
				break
			}
			s.send(e.ctx, message(list), reply(), int64(len(list)))
		}
		if closed {
			return
		}
	}
}

// Wants says whether there is somebody for a signal.
func (e *Exporter) Wants(s Signal) bool { return e != nil && e.senders[s] != nil }

// Spans takes those of one invocation, which are one tenant's.
func (e *Exporter) Spans(list []alcove.Span) {
	if !e.Wants(Traces) || len(list) == 0 {
		return
	}
	party := string(list[0].Tenant)
	if party == "" { // of a function without tenants
		party = "\x00" + functionOf(list)
	}
	e.spans.put(party, len(list)*spanCost, list)
}

// spanCost is about what a span takes of memory.
const spanCost = 512

func functionOf(list []alcove.Span) string {
	for _, a := range list[0].Attributes {
		if a.Key == "faas.name" {
			return a.Text
		}
	}
	return ""
}

// Log takes a record of a log stream, and of which trace it is, nil if of none. The
// message is copied.
func (e *Exporter) Log(group, stream string, tenant alcove.Tenant, at time.Time, message []byte, t *alcove.Trace) {
	if !e.Wants(Logs) {
		return
	}
	party := string(tenant)
	if party == "" {
		party = "\x00" + group
	}
	size := len(message) + logCost
	if !e.logs.room(party, size) {
		return
	}
	r := logRecord{group: group, stream: stream, tenant: tenant, at: at, message: valid(strings.TrimRight(string(message), "\n"))}
	if t != nil {
		r.trace, r.span = t.ID, t.Parent
	}
	e.logs.put(party, size, r)
}

// Forget drops what waits of a tenant.
func (e *Exporter) Forget(tenant alcove.Tenant) {
	if e.Wants(Traces) {
		e.spans.forget(string(tenant))
	}
	if e.Wants(Logs) {
		e.logs.forget(string(tenant))
	}
}

// Collect has metrics sent now and then, as collect gives them. What it gives back
// ends that, with a last time.
func (e *Exporter) Collect(collect func(*Page)) (end func()) {
	s := e.senders[Metrics]
	stop, done := make(chan struct{}), make(chan struct{})
	s.closing = stop
	ctx, cancel := context.WithCancel(e.ctx)
	go func() {
		defer close(done)
		tick := time.NewTicker(e.cfg.Every)
		defer tick.Stop()
		for last := false; !last; {
			select {
			case <-tick.C:
			case <-stop:
				last = true
			}
			if ctx.Err() != nil {
				return // what is collected from is no more
			}
			p := newPage(e, time.Now())
			collect(p)
			s.send(ctx, p.message(), new(collmetrics.ExportMetricsServiceResponse), 1)
		}
	}()
	var once sync.Once
	return func() {
		once.Do(func() {
			s.hurry.Store(true)
			close(stop)
			select {
			case <-done:
			case <-time.After(closeTimeout):
			}
			cancel()
			<-done
		})
	}
}

// closeTimeout bounds how long the end of a node waits for a collector.
const closeTimeout = 3 * time.Second

// Close sends what waits, if the collector takes it, and ends.
func (e *Exporter) Close() error {
	e.stop.Do(func() {
		close(e.closing)
		time.AfterFunc(closeTimeout, e.cancel)
		e.done.Wait()
		e.cancel()
	})
	return nil
}

// Stats is what became of a signal since the node was started: batches of spans of one
// invocation each, log records, and looks at all metrics.
type Stats struct {
	Sent, Dropped int64
	Queued        int64 // bytes
}

// Stats tells them of the signals that are sent.
func (e *Exporter) Stats() map[Signal]Stats {
	if e == nil {
		return nil
	}
	out := make(map[Signal]Stats, len(e.senders))
	for signal, s := range e.senders {
		st := Stats{Sent: s.sent.Load(), Dropped: s.dropped.Load()}
		switch signal {
		case Traces:
			bytes, dropped := e.spans.stats()
			st.Queued, st.Dropped = bytes, st.Dropped+dropped
		case Logs:
			bytes, dropped := e.logs.stats()
			st.Queued, st.Dropped = bytes, st.Dropped+dropped
		}
		out[signal] = st
	}
	return out
}

// resourceOf says what sends.
func resourceOf(cfg Config) []*common.KeyValue {
	list := []*common.KeyValue{text("service.name", cfg.Service), text("service.version", cfg.Version), text("service.instance.id", cfg.Node)}
	for _, a := range cfg.Attributes {
		if len(list) < maxResource {
			list = append(list, text(a.Key, a.Text))
		}
	}
	return list
}

func (e *Exporter) of(more ...*common.KeyValue) *resource.Resource {
	return &resource.Resource{Attributes: append(e.resource[:len(e.resource):len(e.resource)], more...)}
}

func (e *Exporter) scope() *common.InstrumentationScope {
	return &common.InstrumentationScope{Name: "github.com/alcove-run/alcove", Version: e.cfg.Version}
}

// text makes an attribute. One string that is no UTF-8 would spoil a whole batch, of
// other tenants too.
func text(key, value string) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: valid(value)}}}
}

func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func number(key string, value int64) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: value}}}
}
