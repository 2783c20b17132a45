// Package initbin carries the launcher of the namespace driver, cmd/alcove-init,
// inside the node's program. The launcher is built before the node:
//
//	go generate ./sandbox/initbin
//
// A node that was built without it (by a plain go build or go install) has none
// here, and the driver starts the node's own program in its place.
package initbin

import (
	"embed"
	"runtime"
)

//go:generate sh -c "CGO_ENABLED=0 GOOS=linux go build -trimpath -buildvcs=false -ldflags '-s -w -buildid=' -o bin/alcove-init-$GOARCH ../../cmd/alcove-init"

//go:embed bin
var files embed.FS

// Name is the file in bin that holds the launcher.
const Name = "alcove-init-" + runtime.GOARCH

// Launcher is the launcher's executable file, or nil if the program was built
// without it.
func Launcher() []byte {
	b, err := files.ReadFile("bin/" + Name)
	if err != nil {
		return nil
	}
	return b
}
