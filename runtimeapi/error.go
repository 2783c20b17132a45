package runtimeapi

import (
	"encoding/json"
	"errors"
	"net/http"
)

// typeErrorCause is the content type of an error whose X-Ray cause is in the
// body rather than in a header.
const typeErrorCause = "application/vnd.aws.lambda.error.cause+json"

// invocationError answers POST /runtime/invocation/{id}/error.
func (s *Server) invocationError(w http.ResponseWriter, r *http.Request, id string) {
	const state = stateError
	invocation := r.Header.Get(headerInvocationID)
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
	f := faultOf(r.Header.Get(headerErrorType), r.Header.Get("Content-Type"), r.Header.Get(headerXRayCause), body)
	if err := s.env.Failure(id, invocation, f); err != nil {
		s.refuse(w, r, err, state)
		return
	}
	renderAccepted(w)
}

// faultOf is the fault that headers and a body make up.
func faultOf(errorType, contentType, cause string, body []byte) Fault {
	f := Fault{Type: faultType(errorType), Body: body}
	if contentType == typeErrorCause {
		f.Body, f.XRayCause = splitCause(body)
	} else {
		f.XRayCause = xrayCause([]byte(cause))
	}
	return f
}

// splitCause takes a body of typeErrorCause apart: what the caller of the
// function may see, and what is for X-Ray.
func splitCause(body []byte) (visible, cause []byte) {
	var parts struct {
		errorBody
		ErrorCause json.RawMessage `json:"errorCause"`
	}
	if err := json.Unmarshal(body, &parts); err != nil {
		return []byte(`"Invalid error body"`), nil
	}
	return parts.errorBody.json(), xrayCause(parts.ErrorCause)
}
