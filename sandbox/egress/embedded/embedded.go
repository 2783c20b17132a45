// Package embedded carries the relay inside the node's program. It is built before
// the node:
//
//	go generate ./sandbox/egress/embedded
//
// A node that was built without it (by a plain go build or go install) has none
// here, and starts its own program in its place, which works and takes more memory.
package embedded

import (
	"embed"
	"runtime"
)

//go:generate sh -c "CGO_ENABLED=0 GOOS=linux GOFLAGS= go build -trimpath -buildvcs=false -ldflags '-s -w -buildid=' -o bin/alcove-egress-$GOARCH ./alcove-egress"

//go:embed bin
var files embed.FS

// Name is the file in bin that holds the relay.
const Name = "alcove-egress-" + runtime.GOARCH

// Program is the relay's executable file, or nil if the node was built without it.
func Program() []byte {
	b, err := files.ReadFile("bin/" + Name)
	if err != nil {
		return nil
	}
	return b
}
