package telemetry

import (
	"bytes"
	"encoding/json"
	"time"
)

// Who wrote a line of output.
const (
	SourceFunction  = "function"
	SourceExtension = "extension"
)

// Output is one piece of what a function or an extension wrote.
type Output struct {
	Time    time.Time
	Source  string // SourceFunction or SourceExtension
	Message []byte
	// Severity is what a frame carried beside the message, or [LevelOf] of a
	// line where the log format is JSON.
	Severity Level
	// Object says that the subscriber takes JSON objects as they are: log
	// format JSON and telemetry schema 2022-12-13 or later.
	Object bool
}

// AppendJSON implements Record. The record is the message as a string, or the
// object that the message is if Object is set and it is one.
func (r *Output) AppendJSON(dst []byte) []byte {
	dst = appendEnvelope(dst, r.Time, r.Source)
	if r.Object {
		m := bytes.TrimSpace(r.Message)
		if len(m) > 0 && m[0] == '{' && json.Valid(m) {
			// Compact takes line breaks out: one record stays one line.
			buf := bytes.NewBuffer(dst)
			if json.Compact(buf, m) == nil {
				return append(buf.Bytes(), '}')
			}
		}
	}
	dst = AppendString(dst, r.Message)
	return append(dst, '}')
}

// AppendText implements Record: the message as it was written.
func (r *Output) AppendText(dst []byte) []byte { return append(dst, r.Message...) }

// Level implements Record.
func (r *Output) Level() Level { return r.Severity }
