// Package console is the pages under /console/: what runs, for whom, and what it
// says, for people who would rather look than read. It is rendered by the node,
// kept live by server-sent events, and needs nothing from outside.
//
// It owns sessions of people who signed in, and nothing else: everything that it
// shows or does is a request of the public APIs, signed with the access key of
// who looks and handed to the node's own handler (transport.go). So it can show no
// more than that key may see, and every change is in the audit log as theirs.
package console
