package telemetry

import "strconv"

// LogsRecord is a record that the Logs API of 2020 has, too, in a form of its own.
type LogsRecord interface {
	// AppendLogs appends the record as the Logs API has it. since2021 is schema
	// 2021-03-18. It appends nothing for a record that the schema does not have.
	AppendLogs(dst []byte, since2021 bool) []byte
}

// AppendLogs implements LogsRecord.
func (r *Start) AppendLogs(dst []byte, _ bool) []byte {
	dst = append(appendEnvelope(dst, r.Time, "platform.start"), '{')
	dst = appendMember(dst, "requestId", r.RequestID)
	dst = appendMember(dst, "version", r.Version)
	return append(dst, "}}"...)
}

// AppendLogs implements LogsRecord.
func (r *RuntimeDone) AppendLogs(dst []byte, since2021 bool) []byte {
	if !since2021 {
		return dst
	}
	dst = append(appendEnvelope(dst, r.Time, "platform.runtimeDone"), '{')
	dst = appendMember(dst, "requestId", r.RequestID)
	dst = appendMember(dst, "status", string(r.Status))
	return append(dst, "}}"...)
}

// End is platform.end, which only the Logs API has.
type End struct{ Done *RuntimeDone }

// AppendLogs implements LogsRecord.
func (r End) AppendLogs(dst []byte, _ bool) []byte {
	dst = append(appendEnvelope(dst, r.Done.Time, "platform.end"), '{')
	dst = appendMember(dst, "requestId", r.Done.RequestID)
	return append(dst, "}}"...)
}

// AppendLogs implements LogsRecord.
func (r *Report) AppendLogs(dst []byte, _ bool) []byte {
	dst = append(appendEnvelope(dst, r.Time, "platform.report"), '{')
	dst = appendMember(dst, "requestId", r.RequestID)
	dst = r.appendMetrics(dst)
	return append(dst, "}}"...)
}

func (r *Report) appendMetrics(dst []byte) []byte {
	dst = append(appendName(dst, "metrics"), `{"durationMs":`...)
	dst = appendMillis(dst, r.Duration)
	dst = append(dst, `,"billedDurationMs":`...)
	dst = strconv.AppendInt(dst, r.Billed.Milliseconds(), 10)
	dst = append(dst, `,"memorySizeMB":`...)
	dst = strconv.AppendInt(dst, int64(r.MemorySize), 10)
	dst = append(dst, `,"maxMemoryUsedMB":`...)
	dst = strconv.AppendInt(dst, int64(r.MaxMemoryUsed), 10)
	if r.Init > 0 {
		dst = append(dst, `,"initDurationMs":`...)
		dst = appendMillis(dst, r.Init)
	}
	return append(dst, '}')
}

// AppendLogs implements LogsRecord.
func (r *Fault) AppendLogs(dst []byte, _ bool) []byte { return r.AppendJSON(dst) }

// AppendLogs implements LogsRecord.
func (r *Extension) AppendLogs(dst []byte, _ bool) []byte { return r.AppendJSON(dst) }

// AppendLogs implements LogsRecord.
func (r *Subscription) AppendLogs(dst []byte, _ bool) []byte { return r.AppendJSON(dst) }

// AppendLogs implements LogsRecord.
func (r *LogsDropped) AppendLogs(dst []byte, _ bool) []byte { return r.AppendJSON(dst) }
