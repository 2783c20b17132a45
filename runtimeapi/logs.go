package runtimeapi

import "net/http"

// logsSubscribe answers PUT /2020-08-15/logs, telemetry's predecessor.
func logsSubscribe(s *Server, x Extensions, w http.ResponseWriter, r *http.Request) {
	s.subscribe(x, w, r, LogsAPI)
}
