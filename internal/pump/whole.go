package pump

import (
	"net/http"
	"time"
)

// An answer that is whole is in memory until its peer has taken it: one that is
// longer than what connections buffer has its time.
const (
	wholeFrom = 64 << 10
	wholeTime = 2 * time.Minute
)

// Whole writes all of an answer's body, for a peer that may be slow. That the peer
// has gone, or takes too long, is nobody's error.
func Whole(w http.ResponseWriter, body []byte) {
	if len(body) <= wholeFrom {
		_, _ = w.Write(body)
		return
	}
	control := http.NewResponseController(w)
	// Writers of tests cannot do it; the server's can.
	_ = control.SetWriteDeadline(time.Now().Add(wholeTime))
	if _, err := w.Write(body); err == nil {
		_ = control.SetWriteDeadline(time.Time{}) // for the connection's next answer
	}
}
