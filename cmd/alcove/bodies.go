package main

import "github.com/alcove-run/alcove/internal/intake"

// leastBodies is the memory for bodies of requests on a small machine: a few
// deployment packages at once, or as many invocations as those take.
const leastBodies = 256 << 20

// bodies is the memory that bodies of requests from outside may take together. What
// environments send is bounded by itself (inside.go).
func (n *node) bodies() *intake.Budget {
	return intake.New(max(leastBodies, int64(n.cfg.Memory)/16))
}
