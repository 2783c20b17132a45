package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/environment"
	"github.com/alcove-run/alcove/invoke"
	"github.com/alcove-run/alcove/otlp"
	"github.com/alcove-run/alcove/promapi"
)

// otlpFlags are those of serve about an OpenTelemetry collector.
type otlpFlags struct {
	OTLPEndpoint string  `name:"otlp-endpoint" help:"OpenTelemetry collector that spans, log records and metrics go to by OTLP over HTTP, as http://127.0.0.1:4318; OTEL_EXPORTER_OTLP_ENDPOINT if not given." placeholder:"URL"`
	OTLPSample   float64 `name:"otlp-sample" help:"How many of the traces are recorded that neither the caller nor active tracing has decided on, from 0 to 1." default:"1"`
}

// check reads everything that could be wrong.
func (f *otlpFlags) check() error {
	if !(f.OTLPSample >= 0 && f.OTLPSample <= 1) {
		return fmt.Errorf("--otlp-sample %v: from 0 to 1", f.OTLPSample)
	}
	_, err := otlp.Read(f.OTLPEndpoint, os.Getenv)
	return err
}

// openTelemetry begins to send telemetry, if somebody wants it.
func (n *node) openTelemetry(context.Context) error {
	settings, err := otlp.Read(n.cfg.OTLPEndpoint, os.Getenv)
	if err != nil || len(settings.Targets) == 0 {
		return err
	}
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	abs, err := filepath.Abs(n.cfg.Data)
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(abs))
	settings.Describe = describe()
	n.telemetry = otlp.New(otlp.Config{Settings: settings, Version: version, Node: host + "/" + hex.EncodeToString(sum[:6]), Log: n.log})
	n.opened(closes(n.telemetry))
	return nil
}

// describe tells of metrics what promapi's table has.
func describe() func(string) otlp.Description {
	table := make(map[string]otlp.Description)
	for _, m := range promapi.Names() {
		table[m.Name] = otlp.Description{Counter: m.Kind == promapi.Counter, Help: m.Help}
	}
	return func(name string) otlp.Description { return table[name] }
}

// openTelemetryMetrics begins to send metrics, when there is everything that they are
// read from.
func (n *node) openTelemetryMetrics() {
	if !n.telemetry.Wants(otlp.Metrics) {
		return
	}
	end := n.telemetry.Collect(func(p *otlp.Page) { n.collect(p) })
	n.opened(func(context.Context) error { end(); return nil })
}

// tracing is where the spans of invocations go.
func (n *node) tracing() invoke.Tracing {
	if !n.telemetry.Wants(otlp.Traces) {
		return invoke.Tracing{}
	}
	share := n.cfg.OTLPSample
	return invoke.Tracing{Spans: n.telemetry.Spans, Sample: func(id alcove.TraceID) bool { return invoke.InShare(id, share) }}
}

// telemetryStream is a log stream whose records go to a collector, too.
type telemetryStream struct {
	environment.LogStream
	group, stream string
	to            *otlp.Exporter
}

// Append implements environment.LogStream.
func (s telemetryStream) Append(tenant alcove.Tenant, at time.Time, record []byte) {
	s.AppendTraced(tenant, at, record, nil)
}

// AppendTraced implements environment.TracedStream.
func (s telemetryStream) AppendTraced(tenant alcove.Tenant, at time.Time, record []byte, t *alcove.Trace) {
	s.to.Log(s.group, s.stream, tenant, at, record, t)
	s.LogStream.Append(tenant, at, record)
}

// logged has a stream's records sent, if somebody wants them.
func (n *node) logged(s environment.LogStream, group, stream string) environment.LogStream {
	if !n.telemetry.Wants(otlp.Logs) {
		return s
	}
	return telemetryStream{s, group, stream, n.telemetry}
}

// collectTelemetry tells what became of telemetry.
func (n *node) collectTelemetry(p samples) {
	for signal, s := range n.telemetry.Stats() {
		p.Add("alcove_otlp_sent_total", float64(s.Sent), "signal", string(signal))
		p.Add("alcove_otlp_dropped_total", float64(s.Dropped), "signal", string(signal))
		p.Add("alcove_otlp_queued_bytes", float64(s.Queued), "signal", string(signal))
	}
}
