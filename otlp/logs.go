package otlp

import (
	"time"

	colllogs "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	common "go.opentelemetry.io/proto/slim/otlp/common/v1"
	logs "go.opentelemetry.io/proto/slim/otlp/logs/v1"
	"google.golang.org/protobuf/proto"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/telemetry"
)

// logRecord is one record of a log stream.
type logRecord struct {
	group, stream string
	tenant        alcove.Tenant
	at            time.Time
	message       string
	trace         alcove.TraceID // zero is none
	span          alcove.SpanID
}

// logCost is about what a record takes of memory beside its message.
const logCost = 192

// logsOf puts records of one stream together, for each has a resource of its own: the
// environment that wrote it.
func (e *Exporter) logsOf(list []logRecord) proto.Message {
	type key struct {
		group, stream string
		tenant        alcove.Tenant
	}
	now := nanos(time.Now())
	at := make(map[key]*logs.ScopeLogs)
	out := new(colllogs.ExportLogsServiceRequest)
	for _, r := range list {
		k := key{r.group, r.stream, r.tenant}
		s := at[k]
		if s == nil {
			s = &logs.ScopeLogs{Scope: e.scope()}
			at[k] = s
			more := []*common.KeyValue{texts("aws.log.group.names", r.group), texts("aws.log.stream.names", r.stream)}
			if r.tenant != "" {
				more = append(more, text(tenantKey, string(r.tenant)))
			}
			out.ResourceLogs = append(out.ResourceLogs, &logs.ResourceLogs{Resource: e.of(more...), ScopeLogs: []*logs.ScopeLogs{s}})
		}
		record := &logs.LogRecord{TimeUnixNano: nanos(r.at), ObservedTimeUnixNano: now,
			Body: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: r.message}}}
		if r.trace != (alcove.TraceID{}) {
			record.TraceId, record.SpanId, record.Flags = r.trace[:], r.span[:], sampledFlag
		}
		if level := telemetry.LevelOf([]byte(r.message)); level != telemetry.LevelNone {
			// TRACE is 1, DEBUG 5, and so on.
			record.SeverityNumber, record.SeverityText = logs.SeverityNumber(4*int(level)-3), level.String()
		}
		s.LogRecords = append(s.LogRecords, record)
	}
	return out
}

func texts(key, value string) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_ArrayValue{ArrayValue: &common.ArrayValue{
		Values: []*common.AnyValue{{Value: &common.AnyValue_StringValue{StringValue: valid(value)}}}}}}}
}
