// Package lambdaapi is the Lambda REST API: it turns requests of AWS's SDKs into
// calls of the catalog and the invoker, and what they say into AWS's shapes.
//
// routes.go is the one table of operations. An operation that is there has a file
// of its own, or shares one with the others of its noun; call.go is what happens
// around every one of them, authorize.go whether its caller may, errors.go what a
// caller is told when it fails. The package keeps no state but the key that code
// URLs are signed with, and reads no disk but by [Artifacts].
package lambdaapi
