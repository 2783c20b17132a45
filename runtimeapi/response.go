package runtimeapi

import (
	"encoding/base64"
	"errors"
	"net/http"

	"github.com/alcove-run/alcove"
)

// Names of headers that clients send. The trailers of a streamed response that
// failed have the names of the headers of /error.
const (
	headerInvocationID = "Lambda-Runtime-Invocation-Id"
	headerMode         = "Lambda-Runtime-Function-Response-Mode"
	headerErrorType    = "Lambda-Runtime-Function-Error-Type"
	trailerErrorBody   = "Lambda-Runtime-Function-Error-Body"
	headerXRayCause    = "Lambda-Runtime-Function-Xray-Error-Cause"
)

// invocationResponse answers POST /runtime/invocation/{id}/response.
//
// A streamed response goes on to a caller that reads it so (stream.go); for any
// other it is collected. If its trailers then say that the function failed
// half-way, the invocation failed and what was streamed before is dropped.
func (s *Server) invocationResponse(w http.ResponseWriter, r *http.Request, id string) {
	const state = stateResponse
	invocation := r.Header.Get(headerInvocationID)
	if mode := r.Header.Get(headerMode); mode != "" && mode != "streaming" {
		err := s.env.Failure(id, invocation, Fault{Type: "Runtime.InvalidResponseModeHeader",
			Body: errorJSON("Runtime.InvalidResponseModeHeader", "Invalid function response mode")})
		if err != nil {
			s.refuse(w, r, err, state)
			return
		}
		renderError(w, http.StatusBadRequest, "InvalidFunctionResponseMode", "Invalid function response mode")
		return
	}
	// The official client for Go streams without saying so.
	if r.Header.Get(headerMode) != "" || r.ContentLength < 0 {
		to, err := s.env.Stream(id, invocation, r.Header.Get("Content-Type"))
		switch {
		case err != nil:
			s.refuseStream(w, r, err)
			return
		case to != nil:
			s.stream(w, r, id, invocation, to)
			return
		}
	}
	body, err := s.read(r)
	switch {
	case errors.Is(err, errTooLarge):
		if err := s.env.ResponseTooLarge(id); err != nil {
			s.refuse(w, r, err, state)
			return
		}
		discard(r)
		renderTooLarge(w)
		return
	case err != nil:
		s.truncated(w, r, id, invocation, state)
		return
	}
	s.responded(w, r, id, invocation, body)
}

// responded ends an invocation whose answer has been read to its end.
func (s *Server) responded(w http.ResponseWriter, r *http.Request, id, invocation string, body []byte) {
	var err error
	if t := r.Trailer.Get(headerErrorType); t != "" {
		err = s.env.Failure(id, invocation, trailerFault(t, r.Trailer.Get(trailerErrorBody)))
	} else {
		err = s.env.Response(id, invocation, body)
	}
	if err != nil {
		s.refuse(w, r, err, stateResponse)
		return
	}
	renderAccepted(w)
}

// trailerFault is the fault in the trailers of a streamed response.
func trailerFault(errorType, body string) Fault {
	raw, err := base64.StdEncoding.DecodeString(body)
	if err != nil || len(raw) > alcove.MaxPayload {
		raw = errorJSON(faultType(errorType), "Invalid error body")
	}
	return Fault{Type: faultType(errorType), Body: raw}
}

// truncated answers a request whose body ended before it was complete. The
// process that sent it is in a state that nobody knows, so the invocation ends
// here; the type tells the environment why.
func (s *Server) truncated(w http.ResponseWriter, r *http.Request, id, invocation, state string) {
	const message = "HTTP request detected as truncated"
	err := s.env.Failure(id, invocation, Fault{Type: TypeTruncated, Body: errorJSON(TypeTruncated, message)})
	if err != nil {
		s.refuse(w, r, err, state)
		return
	}
	w.Header()["Connection"] = []string{"close"}
	renderError(w, http.StatusBadRequest, "TruncatedHTTPRequest", message)
}
