// Package supervise is the first process of a sandbox whose function has
// extensions: the supervisor. It starts the extensions and, when the node says
// so, the runtime, tells how each of them ends, and takes telemetry to the
// listeners that extensions have inside the sandbox, which the node never dials.
// The package is both the program ([Main]) and what the node says to it and hears
// from it (wire.go).
//
// The supervisor runs inside the sandbox with the function's rights, and counts
// to its memory. Whatever it says may have been said by the function: it can lie
// about its own processes, and about nothing else.
package supervise
