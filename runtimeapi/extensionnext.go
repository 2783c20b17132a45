package runtimeapi

import (
	"encoding/json"
	"net/http"

	"github.com/google/uuid"
)

// extensionNext answers GET /extension/event/next: it blocks until there is an
// event for the extension.
func extensionNext(s *Server, x Extensions, w http.ResponseWriter, r *http.Request) {
	id, err := identified(r)
	if err != nil {
		s.refuseExtension(w, r, err)
		return
	}
	ev, err := x.NextEvent(r.Context(), id)
	if err != nil {
		if r.Context().Err() != nil {
			panic(http.ErrAbortHandler) // nobody is there; to return would be an empty answer
		}
		s.refuseExtension(w, r, err)
		return
	}
	w.Header()[headerExtensionEvent] = []string{uuid.NewString()}
	render(w, http.StatusOK, typeJSON, ev.json())
}

func (ev ExtensionEvent) json() []byte {
	type tracing struct {
		Type  string `json:"type"`
		Value string `json:"value"`
	}
	out := struct {
		Type        string   `json:"eventType"`
		Deadline    int64    `json:"deadlineMs"`
		RequestID   string   `json:"requestId,omitempty"`
		FunctionARN string   `json:"invokedFunctionArn,omitempty"`
		Tracing     *tracing `json:"tracing,omitempty"`
		Reason      string   `json:"shutdownReason,omitempty"`
	}{Type: ev.Type, Deadline: ev.Deadline.UnixMilli(), RequestID: ev.RequestID, FunctionARN: ev.FunctionARN, Reason: ev.Reason}
	if ev.TraceID != "" {
		out.Tracing = &tracing{"X-Amzn-Trace-Id", ev.TraceID}
	}
	raw, err := json.Marshal(out)
	if err != nil { // strings always marshal
		panic(err)
	}
	return raw
}
