package runtimeapi

import "golang.org/x/time/rate"

// AllowIdle lets n requests that move no invocation through, and no more.
func (s *Server) AllowIdle(n int) { s.idle = rate.NewLimiter(0, n) }

// AllowDials lets n connections through, and no more.
func (s *Server) AllowDials(n int) { s.dials = rate.NewLimiter(0, n) }
