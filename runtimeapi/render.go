package runtimeapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/alcove-run/alcove"
)

const typeJSON = "application/json"

// errorBody is the one shape of errors in this API.
type errorBody struct {
	ErrorMessage string   `json:"errorMessage"`
	ErrorType    string   `json:"errorType"`
	StackTrace   []string `json:"stackTrace,omitempty"`
}

func (e errorBody) json() []byte {
	raw, err := json.Marshal(e)
	if err != nil { // strings always marshal
		panic(err)
	}
	return raw
}

func errorJSON(errorType, message string) []byte {
	return errorBody{ErrorMessage: message, ErrorType: errorType}.json()
}

// render writes a whole answer. The length is always said, so that clients need
// not know chunks; the date is not, because nobody reads it.
func render(w http.ResponseWriter, status int, contentType string, body []byte) {
	h := w.Header()
	if contentType != "" {
		h["Content-Type"] = []string{contentType}
	}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	h["Date"] = nil
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone, or will be
}

func renderError(w http.ResponseWriter, status int, errorType, message string) {
	render(w, status, typeJSON, errorJSON(errorType, message))
}

func renderAccepted(w http.ResponseWriter) {
	render(w, http.StatusAccepted, typeJSON, []byte("{\"status\":\"OK\"}\n"))
}

func renderTooLarge(w http.ResponseWriter) {
	renderError(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge",
		fmt.Sprintf("Exceeded maximum allowed payload size (%d bytes).", alcove.MaxPayload))
}

// States, as refusals name them, that requests lead to.
const (
	stateReady    = "Ready"
	stateResponse = "InvocationResponse"
	stateError    = "InvocationErrorResponse"
)

// refuse answers what the environment refused. state is the one that the
// request would have led to.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error, state string) {
	s.pay(s.idle, 1+max(0, r.ContentLength)/idleBody)
	switch {
	case errors.Is(err, ErrInvalidRequestID):
		renderError(w, http.StatusBadRequest, "InvalidRequestID", "Invalid request ID")
	case errors.Is(err, ErrInvalidState):
		renderError(w, http.StatusForbidden, "InvalidStateTransition",
			"State transition to "+state+" failed for runtime. Error: State transition is not allowed")
	default:
		s.log.Error("runtime API call failed", "state", state, "error", err)
		renderError(w, http.StatusInternalServerError, "InternalServerError", "Internal Server Error")
	}
}
