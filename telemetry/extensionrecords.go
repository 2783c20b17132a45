package telemetry

import (
	"strconv"
	"time"
)

// Extension is platform.extension: an extension registered, or failed.
type Extension struct {
	Time      time.Time
	Name      string
	State     string // Registered, Ready, …
	Events    []string
	ErrorType string
}

// AppendJSON implements Record.
func (r *Extension) AppendJSON(dst []byte) []byte {
	dst = append(appendEnvelope(dst, r.Time, "platform.extension"), '{')
	dst = appendMember(dst, "name", r.Name)
	dst = appendMember(dst, "state", r.State)
	dst = appendStrings(appendName(dst, "events"), r.Events)
	dst = appendMember(dst, "errorType", r.ErrorType)
	return append(dst, "}}"...)
}

// AppendText implements Record.
func (r *Extension) AppendText(dst []byte) []byte {
	dst = append(dst, "EXTENSION\tName: "...)
	dst = append(dst, r.Name...)
	dst = append(dst, "\tState: "...)
	dst = append(dst, r.State...)
	dst = append(dst, "\tEvents: "...)
	dst = appendList(dst, r.Events)
	if r.ErrorType != "" {
		dst = append(dst, "\tError Type: "...)
		dst = append(dst, r.ErrorType...)
	}
	return append(dst, '\n')
}

// Level implements Record.
func (r *Extension) Level() Level {
	if r.ErrorType != "" {
		return LevelWarn
	}
	return LevelInfo
}

// Subscription is platform.telemetrySubscription: an extension subscribed to
// telemetry.
type Subscription struct {
	Time  time.Time
	Name  string
	State string // Subscribed, Already subscribed
	Types []string
	Logs  bool // by the Logs API: then it is platform.logsSubscription
}

// AppendJSON implements Record.
func (r *Subscription) AppendJSON(dst []byte) []byte {
	kind := "platform.telemetrySubscription"
	if r.Logs {
		kind = "platform.logsSubscription"
	}
	dst = append(appendEnvelope(dst, r.Time, kind), '{')
	dst = appendMember(dst, "name", r.Name)
	dst = appendMember(dst, "state", r.State)
	dst = appendStrings(appendName(dst, "types"), r.Types)
	return append(dst, "}}"...)
}

// AppendText implements Record.
func (r *Subscription) AppendText(dst []byte) []byte {
	if r.Logs {
		dst = append(dst, "LOGS\tName: "...)
	} else {
		dst = append(dst, "TELEMETRY\tName: "...)
	}
	dst = append(dst, r.Name...)
	dst = append(dst, "\tState: "...)
	dst = append(dst, r.State...)
	dst = append(dst, "\tTypes: "...)
	return append(appendList(dst, r.Types), '\n')
}

// Level implements Record.
func (r *Subscription) Level() Level { return LevelInfo }

// LogsDropped is platform.logsDropped: records were lost.
type LogsDropped struct {
	Time    time.Time
	Bytes   int64
	Records int64
	Reason  string
}

// AppendJSON implements Record.
func (r *LogsDropped) AppendJSON(dst []byte) []byte {
	dst = append(appendEnvelope(dst, r.Time, "platform.logsDropped"), '{')
	dst = strconv.AppendInt(appendName(dst, "droppedBytes"), r.Bytes, 10)
	dst = strconv.AppendInt(appendName(dst, "droppedRecords"), r.Records, 10)
	dst = appendMember(dst, "reason", r.Reason)
	return append(dst, "}}"...)
}

// AppendText implements Record. AWS prints no such line; a log that silently
// lacks lines misleads, so alcove does.
func (r *LogsDropped) AppendText(dst []byte) []byte {
	dst = append(dst, "LOGS_DROPPED Records: "...)
	dst = strconv.AppendInt(dst, r.Records, 10)
	dst = append(dst, "\tBytes: "...)
	dst = strconv.AppendInt(dst, r.Bytes, 10)
	dst = append(dst, "\tReason: "...)
	dst = append(dst, r.Reason...)
	return append(dst, '\n')
}

// Level implements Record.
func (r *LogsDropped) Level() Level { return LevelWarn }

// appendStrings appends a JSON array of strings; empty, not null, for none.
func appendStrings(dst []byte, list []string) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, s)
	}
	return append(dst, ']')
}

// appendList appends a list as the text format has it: [INVOKE, SHUTDOWN].
func appendList(dst []byte, list []string) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = append(dst, s...)
	}
	return append(dst, ']')
}
