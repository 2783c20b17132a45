package runtimeapi

import (
	"errors"
	"net/http"
)

// initError answers POST /runtime/init/error.
func (s *Server) initError(w http.ResponseWriter, r *http.Request, _ string) {
	body, err := s.read(r)
	large := errors.Is(err, errTooLarge)
	switch {
	case large: // Init has failed all the same
		body = errorJSON(TypeRuntimeUnknown, "The error that the runtime reported is too large.")
	case err != nil:
		w.Header()["Connection"] = []string{"close"}
		renderError(w, http.StatusBadRequest, "TruncatedHTTPRequest", "HTTP request detected as truncated")
		return
	}
	f := Fault{Type: faultType(r.Header.Get(headerErrorType)), Body: body,
		XRayCause: xrayCause([]byte(r.Header.Get(headerXRayCause)))}
	if err := s.env.InitFailure(f); err != nil {
		s.refuse(w, r, err, "InitError")
		return
	}
	if large {
		discard(r)
		renderTooLarge(w)
		return
	}
	renderAccepted(w)
}
