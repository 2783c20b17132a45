package telemetry

import (
	"strconv"
	"time"
)

// Fault is what AWS prints when an invocation's runtime ended or ran out of
// time; platform.fault in the Logs API of 2020, a line in both log formats.
type Fault struct {
	Time      time.Time
	RequestID string
	// Timeout is how long the invocation ran before it was ended; zero if it
	// ended in another way, which Message and ErrorType then tell.
	Timeout time.Duration
	// Message is "Runtime exited with error: exit status 1" and the like.
	Message   string
	ErrorType string // Runtime.ExitError and the like
}

// AppendJSON implements Record. The record is a string.
func (r *Fault) AppendJSON(dst []byte) []byte {
	dst = appendEnvelope(dst, r.Time, "platform.fault")
	dst = AppendString(dst, r.AppendText(nil))
	return append(dst, '}')
}

// AppendText implements Record. The blank line after a timeout is AWS's.
func (r *Fault) AppendText(dst []byte) []byte {
	if r.Timeout > 0 {
		dst = AppendTime(dst, r.Time)
		dst = append(dst, ' ')
		dst = append(dst, r.RequestID...)
		dst = append(dst, " Task timed out after "...)
		dst = strconv.AppendFloat(dst, r.Timeout.Seconds(), 'f', 2, 64)
		return append(dst, " seconds\n\n"...)
	}
	dst = append(dst, "RequestId: "...)
	dst = append(dst, r.RequestID...)
	dst = append(dst, " Error: "...)
	dst = append(dst, r.Message...)
	dst = append(dst, '\n')
	dst = append(dst, r.ErrorType...)
	return append(dst, '\n')
}

// Level implements Record.
func (r *Fault) Level() Level { return LevelError }
