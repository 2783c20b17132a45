package runtimeapi

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/alcove-run/alcove"
)

// streamPiece is how much of a streamed answer is in memory at a time.
const streamPiece = 32 << 10

// stream hands a streamed answer on as it arrives. The caller's pace is the
// runtime's: no more is read before what was read has been taken.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, id, invocation string, to io.Writer) {
	// Never used for anything else: a caller may still look at it when the
	// invocation is over.
	piece := make([]byte, streamPiece)
	for total := 0; ; {
		n, err := r.Body.Read(piece)
		if total += n; total > alcove.MaxStreamed {
			s.streamTooLarge(w, r, id, invocation)
			return
		}
		if n > 0 {
			if _, err := to.Write(piece[:n]); err != nil {
				s.refuseStream(w, r, ErrInvalidState)
				return
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			s.responded(w, r, id, invocation, nil)
			return
		case err != nil:
			s.truncated(w, r, id, invocation, stateResponse)
			return
		}
	}
}

// refuseStream refuses an answer whose end may be far: nobody waits for it.
func (s *Server) refuseStream(w http.ResponseWriter, r *http.Request, err error) {
	w.Header()["Connection"] = []string{"close"}
	s.refuse(w, r, err, stateResponse)
}

func (s *Server) streamTooLarge(w http.ResponseWriter, r *http.Request, id, invocation string) {
	const kind = "Function.ResponseSizeTooLarge"
	text := fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", alcove.MaxStreamed)
	if err := s.env.Failure(id, invocation, Fault{Type: kind, Body: errorJSON(kind, text)}); err != nil {
		s.refuseStream(w, r, err)
		return
	}
	w.Header()["Connection"] = []string{"close"}
	renderError(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge",
		fmt.Sprintf("Exceeded maximum allowed payload size (%d bytes).", alcove.MaxStreamed))
}
