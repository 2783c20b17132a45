// Package urlapi answers at the URLs of functions: it turns HTTP requests into
// events of the payload format 2.0, and what functions answer into HTTP.
//
// A URL is known by the first label of its host name (host.go). What a function
// answers is not trusted: it sets status, headers, cookies and body of its own
// answer, and nothing of the connection. The package keeps no state.
package urlapi
