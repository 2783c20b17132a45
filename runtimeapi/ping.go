package runtimeapi

import "net/http"

// ping answers GET /ping.
func (s *Server) ping(w http.ResponseWriter, _ *http.Request, _ string) {
	s.pay(s.idle, 1)
	render(w, http.StatusOK, "", []byte("pong"))
}
