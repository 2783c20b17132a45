package runtimeapi

import (
	"errors"
	"net/http"
)

// initError answers POST /runtime/init/error.
func (s *Server) initError(w http.ResponseWriter, r *http.Request, _ string) {
	body, err := s.read(r)
	switch {
	case errors.Is(err, errTooLarge):
		discard(r)
		renderTooLarge(w)
		return
	case err != nil:
		w.Header()["Connection"] = []string{"close"}
		renderError(w, http.StatusBadRequest, "TruncatedHTTPRequest", "HTTP request detected as truncated")
		return
	}
	f := Fault{Type: faultType(r.Header.Get(headerErrorType)), Body: body,
		XRayCause: xrayCause([]byte(r.Header.Get(headerXRayCause)))}
	if err := s.env.InitFailure(f); err != nil {
		s.refuse(w, err, "InitError")
		return
	}
	renderAccepted(w)
}
