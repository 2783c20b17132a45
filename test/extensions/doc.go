// Package extensions tests extensions of functions on the real program, on both
// drivers: a real program in a real layer (./extension) that is told of invocations,
// takes telemetry, and fails in every way that it can.
//
// It needs root, as isolation does, and a built program: ALCOVE_BIN names one, else it
// is built first. There is nothing here but tests.
package extensions
