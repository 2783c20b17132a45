// Package alcove holds the nouns of a self-hosted, AWS-Lambda-compatible
// function service whose unit of isolation is the tenant, and their rules:
// [Function], [Version], [Tenant], [Invocation], [Report], [Error], ids, ARNs
// and limits.
//
// It imports the standard library only, does no I/O, starts no goroutine and
// reads no clock. Every other package may import it; it imports none of them.
//
// Three rules bind whoever uses these types:
//
//   - A [Tenant] is passed as an argument, never in a context: forgetting it
//     must not compile.
//   - A function is its id and generation, never its name: a name that is
//     deleted and made again shares nothing with what had it before.
//   - An [Error] says whose fault it is. Its message goes to the caller as it
//     stands, so it holds nothing about the platform; what the operator needs
//     is in the error that it wraps.
package alcove
