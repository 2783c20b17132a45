package runtimeapi

import (
	"net/http"
	"strconv"
)

// invocationNext answers GET /runtime/invocation/next: it blocks until the
// environment has an event.
func (s *Server) invocationNext(w http.ResponseWriter, r *http.Request, _ string) {
	ev, err := s.env.Next(r.Context())
	if err != nil {
		if r.Context().Err() != nil {
			panic(http.ErrAbortHandler) // nobody is there; to return would be an empty answer
		}
		s.refuse(w, r, err, stateReady)
		return
	}
	if c, ok := r.Context().Value(connKey{}).(*conn); ok {
		c.event.Store(ev)
	}
	h := w.Header()
	set := func(key, value string) {
		if value != "" {
			h[key] = []string{value}
		}
	}
	set("Lambda-Runtime-Aws-Request-Id", ev.RequestID)
	set("Lambda-Runtime-Invocation-Id", ev.InvocationID)
	set("Lambda-Runtime-Trace-Id", ev.TraceID)
	set("Traceparent", ev.Traceparent)
	set("Tracestate", ev.Tracestate)
	set("Lambda-Runtime-Client-Context", ev.ClientContext)
	set("Lambda-Runtime-Cognito-Identity", ev.CognitoIdentity)
	set("Lambda-Runtime-Invoked-Function-Arn", ev.FunctionARN)
	set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(ev.Deadline.UnixMilli(), 10))
	set("Lambda-Runtime-Aws-Tenant-Id", string(ev.Tenant))
	contentType := ev.ContentType
	if contentType == "" {
		contentType = typeJSON
	}
	// A write that fails is a client that went away: the environment's deadline,
	// or the end of the process, takes care of the invocation.
	render(w, http.StatusOK, contentType, ev.Payload)
}
