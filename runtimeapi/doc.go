// Package runtimeapi serves the Lambda Runtime API (version 2018-06-01) of one
// execution environment to whatever runs inside its sandbox. What it serves is
// listed in routes.go, one file a handler; the shapes are those of AWS's
// developer guide ("Using the Lambda runtime API") and of AWS's runtime
// interface emulator.
//
// It owns the HTTP side only: connections, limits, decoding and rendering. The
// state of the environment is behind [Environment].
//
// The requests that make up invocations, in the plain form in which runtimes
// send them, have a reader of their own (quick.go), which costs a third of what
// net/http does and writes an event without waking anybody first. It takes
// exactly what it knows; a connection on which anything else comes is net/http's
// from there on. FuzzSameAsHTTP holds the two to the same answers.
//
// All that comes in is hostile. An environment is known by its listener and by
// nothing that a request says; no part of a request is ever used as a path,
// dialled, or logged above debug level. What one environment can make the node
// hold is bounded: maxConns connections, smallHeader bytes of header on each and
// maxHeader on one of them, bodies of alcove.MaxPayload bytes on maxBodies of
// them. A client that is slow, or frozen, holds no more than that, and nothing
// but its own; so there are no timeouts here. An invocation's deadline belongs
// to the environment, which ends every connection with [Server.Close].
package runtimeapi
