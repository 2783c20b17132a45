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
	const state = "InvocationErrorResponse"
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
	f := Fault{Type: faultType(r.Header.Get(headerErrorType)), Body: body}
	if r.Header.Get("Content-Type") == typeErrorCause {
		f.Body, f.XRayCause = splitCause(body)
	} else {
		f.XRayCause = xrayCause([]byte(r.Header.Get(headerXRayCause)))
	}
	if err := s.env.Failure(id, invocation, f); err != nil {
		s.refuse(w, r, err, state)
		return
	}
	renderAccepted(w)
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
