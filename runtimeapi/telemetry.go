package runtimeapi

import "net/http"

// telemetry answers PUT /2022-07-01/telemetry: there is no Telemetry API yet,
// and clients take this answer for that (runtime interface emulator,
// runtimelogs_stub.go).
func (s *Server) telemetry(w http.ResponseWriter, _ *http.Request, _ string) {
	s.pay(s.idle, 1)
	renderError(w, http.StatusAccepted, "Telemetry.NotSupported", "Telemetry API is not supported")
}

// telemetryLogs answers PUT /2020-08-15/logs, telemetry's predecessor.
func (s *Server) telemetryLogs(w http.ResponseWriter, _ *http.Request, _ string) {
	s.pay(s.idle, 1)
	renderError(w, http.StatusAccepted, "Logs.NotSupported", "Logs API is not supported")
}
