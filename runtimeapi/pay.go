package runtimeapi

import "golang.org/x/time/rate"

// What an environment may ask of the node beside its invocations. A request costs
// the node more than it costs whoever sends it, and nobody is charged for it; a
// request that moves an invocation is paid for by the invocation and waits for
// nothing.
const (
	// dialRate is how many connections a second an environment may open, and how
	// many at once. A runtime made of curl opens two an invocation.
	dialRate = 500
	// idleRate is how many requests a second it may make that move no invocation:
	// pings, what there is no route for, what the environment refuses. Twice as
	// many may come at once.
	idleRate = 100
	// idleBody is how much of a body that came to nothing counts as a request.
	idleBody = 64 << 10
)

// pay waits until an environment may have n more of what l bounds, or the server
// is closed. Whoever floods waits; nobody else does.
func (s *Server) pay(l *rate.Limiter, n int64) {
	// What is larger than the bucket waits for a full one. The only other error
	// is that the server is closed, and then nothing is answered any more.
	_ = l.WaitN(s.ctx, int(min(n, int64(l.Burst()))))
}
