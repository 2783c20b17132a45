// Package events tests what becomes of events (InvocationType Event) with the real
// program: whom they run for and how often when the node is killed, its disk is full,
// its clock is set or a destination is down, and that nobody waits for another's
// backlog. It needs root; ALCOVE_BIN names a built program, else it is built first.
//
// Flags make the short forms long, as docs/benchmarks.md has them: -events for the
// tests that kill the node, -backlog for the one of fairness.
package events
