package runtimeapi

import "golang.org/x/time/rate"

// AllowIdle lets n requests that move no invocation through, and no more.
func (s *Server) AllowIdle(n int) { allow(s.idle, n) }

// AllowDials lets n connections through, and no more.
func (s *Server) AllowDials(n int) { allow(s.dials, n) }

// OnlyHTTP has net/http serve everything. Call it before Serve.
func (s *Server) OnlyHTTP() { s.onlyHTTP = true }

// allow changes a limiter that others may be using.
func allow(l *rate.Limiter, n int) {
	l.SetBurst(n)
	l.SetLimit(0)
}
