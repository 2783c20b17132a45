// Package async keeps and runs events: invocations that nobody waits for.
//
// An event is accepted when it is on the disk, and from then on it runs until it
// has succeeded, failed for good, or grown too old; then its result goes to a
// destination, or it is kept as a dead letter. It runs at least once, always for
// the function and the tenant that it was accepted for, under one request id. A
// run that a crash cut off is repeated, and counted.
//
// The payloads stay on the disk (package spool); in memory there is an index of
// some sixty bytes an event (items.go) and the order in which they run (package
// turn). Everything that changes an event's fate is a record in the spool before
// it counts; recover.go makes the index from the records again.
//
// It runs functions through the invoker like any other call, and imports no API.
package async
