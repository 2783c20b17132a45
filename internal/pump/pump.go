// Package pump writes an HTTP answer piece by piece, each on its way before the
// next is made, to a peer that may be slow, or gone. It knows nothing of what the
// pieces are.
package pump

import (
	"net/http"
	"time"
)

// patience is how long a peer may take for what is left of an answer when it is
// known how that ends. Until then whoever makes the answer bounds it.
const patience = 30 * time.Second

// Writer writes the body of an answer.
type Writer struct {
	w       http.ResponseWriter
	control *http.ResponseController
	stop    chan struct{}
	hurried chan struct{} // closed when the goroutine has ended
	err     error
}

// New makes a Writer of an answer whose header has been written. Once ended is
// closed, the peer has to hurry. Close it.
func New(w http.ResponseWriter, ended <-chan struct{}) *Writer {
	p := &Writer{w: w, control: http.NewResponseController(w), stop: make(chan struct{}), hurried: make(chan struct{})}
	go func() {
		defer close(p.hurried)
		select {
		case <-ended:
			// Writers of tests cannot do it; the server's can.
			_ = p.control.SetWriteDeadline(time.Now().Add(patience))
		case <-p.stop:
		}
	}()
	return p
}

// Write sends b, and returns when the peer's system has it. After the first error
// it does nothing.
func (p *Writer) Write(b []byte) error {
	if p.err == nil && len(b) > 0 {
		if _, p.err = p.w.Write(b); p.err == nil {
			p.err = p.control.Flush()
		}
	}
	return p.err
}

// Flush sends the header, if nothing has been written yet.
func (p *Writer) Flush() error {
	if p.err == nil {
		p.err = p.control.Flush()
	}
	return p.err
}

// Close gives the connection back for its next request; the answer's error is
// that the peer has gone.
func (p *Writer) Close() error {
	close(p.stop)
	<-p.hurried
	if p.err == nil {
		_ = p.control.SetWriteDeadline(time.Time{})
	}
	return p.err
}
