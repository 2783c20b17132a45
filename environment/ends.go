package environment

import "runtime"

// Ends are the places for sandboxes that are being destroyed at a time. Without a
// bound, thousands that end together, as when their node stops, take the processors
// from one another until none seems to die in time.
type Ends chan struct{}

// endsEach is how many sandboxes a processor destroys: each waits for the kernel in
// between.
const endsEach = 8

// NewEnds has places for this machine.
func NewEnds() Ends { return make(Ends, endsEach*runtime.GOMAXPROCS(0)) }
