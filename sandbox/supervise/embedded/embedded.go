// Package embedded carries the supervisor inside the node's program. It is built
// before the node:
//
//	go generate ./sandbox/supervise/embedded
//
// A node that was built without it (by a plain go build or go install) has none
// here, and runs no function that has external extensions: its own program, which
// looks at its machine as it starts, cannot take the place of one in a sandbox.
package embedded

import (
	"embed"
	"runtime"
)

//go:generate sh -c "CGO_ENABLED=0 GOOS=linux GOFLAGS= go build -trimpath -buildvcs=false -ldflags '-s -w -buildid=' -o bin/alcove-supervisor-$GOARCH ./alcove-supervisor"

//go:embed bin
var files embed.FS

// Name is the file in bin that holds the supervisor.
const Name = "alcove-supervisor-" + runtime.GOARCH
