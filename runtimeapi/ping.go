package runtimeapi

import "net/http"

const pingPath = "/2018-06-01/ping"

// ping answers GET /ping.
func (s *Server) ping(w http.ResponseWriter, _ *http.Request, _ string) {
	s.pay(s.idle, 1)
	render(w, http.StatusOK, "text/plain; charset=utf-8", []byte("pong"))
}
