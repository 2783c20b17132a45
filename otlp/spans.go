package otlp

import (
	"time"

	colltrace "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/slim/otlp/common/v1"
	trace "go.opentelemetry.io/proto/slim/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/alcove-run/alcove"
)

// tenantKey is the attribute that has the tenant's id, in spans and log records.
const tenantKey = "alcove.tenant.id"

// sampledFlag is the bit of a span's flags that W3C has for a trace that is recorded.
const sampledFlag = 1

func (e *Exporter) tracesOf(list [][]alcove.Span) proto.Message {
	var spans []*trace.Span
	for _, one := range list {
		for i := range one {
			spans = append(spans, spanOf(&one[i]))
		}
	}
	return &colltrace.ExportTraceServiceRequest{ResourceSpans: []*trace.ResourceSpans{{
		Resource: e.of(), ScopeSpans: []*trace.ScopeSpans{{Scope: e.scope(), Spans: spans}},
	}}}
}

func spanOf(s *alcove.Span) *trace.Span {
	out := &trace.Span{TraceId: s.Trace[:], SpanId: s.ID[:], TraceState: valid(s.State), Name: s.Name, Kind: trace.Span_SpanKind(s.Kind), Flags: sampledFlag,
		StartTimeUnixNano: nanos(s.Start), EndTimeUnixNano: nanos(s.End), Attributes: make([]*common.KeyValue, 0, len(s.Attributes)+2)}
	if s.Parent != (alcove.SpanID{}) {
		out.ParentSpanId = s.Parent[:]
	}
	for _, a := range s.Attributes {
		if a.Text != "" {
			out.Attributes = append(out.Attributes, text(a.Key, a.Text))
		} else {
			out.Attributes = append(out.Attributes, number(a.Key, a.Number))
		}
	}
	if s.Tenant != "" {
		out.Attributes = append(out.Attributes, text(tenantKey, string(s.Tenant)))
	}
	if s.Failed != "" {
		out.Attributes = append(out.Attributes, text("error.type", s.Failed))
		out.Status = &trace.Status{Code: trace.Status_STATUS_CODE_ERROR}
	}
	return out
}

func nanos(t time.Time) uint64 { return uint64(t.UnixNano()) }
