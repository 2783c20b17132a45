// Package embedded carries the program that is the parts of a sandbox
// (./alcove-sandbox) inside the node's program. It is built before the node:
//
//	go generate ./sandbox/gvisor/embedded
//
// A node that was built without it (by a plain go build or go install) has none
// here, and starts its own program as the parts, which works and takes longer
// and more memory.
package embedded

import "runtime"

//go:generate sh -c "CGO_ENABLED=0 GOOS=linux GOFLAGS= go build -trimpath -tags alcove_sandbox -buildvcs=false -ldflags '-s -w -buildid=' -o bin/alcove-sandbox-$GOARCH ./alcove-sandbox"

// Name is the file in bin that holds the program.
const Name = "alcove-sandbox-" + runtime.GOARCH

// Present tells whether there is a program, without reading it.
func Present() bool {
	f, err := files.Open("bin/" + Name)
	if err != nil {
		return false
	}
	return f.Close() == nil
}

// Program is the program's executable file, or nil if there is none.
func Program() []byte {
	b, err := files.ReadFile("bin/" + Name)
	if err != nil {
		return nil
	}
	return b
}
