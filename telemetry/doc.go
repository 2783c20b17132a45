// Package telemetry holds the shapes of what an execution environment says
// about itself and of what functions write: the platform records of AWS's
// Telemetry API as JSON objects and as the lines of the text log format, log
// levels, and the decoders of a function's output ([Lines] for a pipe of text,
// [Frames] for the framed descriptor).
//
// It is pure: no file, no goroutine, no clock. Whoever reads a pipe, filters,
// stores or delivers owns that; this package says what the bytes look like.
// It imports the root package and the standard library.
//
// # Records and formats
//
// Every record has a JSON form (with the envelope time, type, record) and,
// where AWS prints one, a text form. In the JSON log format, platform records
// are stored in their JSON form; what functions write stays as it was written:
// the runtimes format a function's log calls as JSON objects themselves, with
// tenantId among the members, and a plain line (print, a child process, a
// custom runtime) stays plain, as on AWS. The tenant of a log event never comes
// from its text: whoever stores it knows the binding.
package telemetry
