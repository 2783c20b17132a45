package pump

import (
	"net/http"
	"time"
)

// paceTime is how long a peer may take for a write of an answer that is made while
// it is sent, of a few KiB each. A peer that reads has its system take them at once.
const paceTime = 30 * time.Second

// Pace is a writer of an answer that goes on as long as its peer reads. What makes
// the answer (a cursor, an open file, a follower of logs) is not held by a peer that
// does not.
type Pace struct {
	http.ResponseWriter
	control *http.ResponseController
	failed  bool
}

// NewPace makes a Pace.
func NewPace(w http.ResponseWriter) *Pace {
	return &Pace{ResponseWriter: w, control: http.NewResponseController(w)}
}

// Write implements io.Writer.
func (p *Pace) Write(b []byte) (int, error) {
	// Writers of tests cannot do it; the server's can.
	_ = p.control.SetWriteDeadline(time.Now().Add(paceTime))
	n, err := p.ResponseWriter.Write(b)
	p.failed = p.failed || err != nil
	return n, err
}

// Unwrap has a ResponseController reach the writer.
func (p *Pace) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// Done gives the connection back for its next answer. What is buffered of this one
// has its time.
func (p *Pace) Done() {
	if p.failed {
		return
	}
	_ = p.control.SetWriteDeadline(time.Now().Add(paceTime))
	if p.control.Flush() == nil {
		_ = p.control.SetWriteDeadline(time.Time{})
	}
}
