// Package embedded carries two programs inside the node's: the one that is the
// parts of a sandbox (./alcove-sandbox), and the one that is the first process in
// some (./alcove-door). They are built before the node:
//
//	go generate ./sandbox/gvisor/embedded
//
// A node that was built without them (by a plain go build or go install) has none
// here, and starts its own program in their place, which works and takes longer
// and more memory.
package embedded

import (
	"io"
	"runtime"
)

//go:generate sh -c "CGO_ENABLED=0 GOOS=linux GOFLAGS= go build -trimpath -tags alcove_sandbox -buildvcs=false -ldflags '-s -w -buildid=' -o bin/alcove-sandbox-$GOARCH ./alcove-sandbox"
//go:generate sh -c "CGO_ENABLED=0 GOOS=linux GOFLAGS= go build -trimpath -buildvcs=false -ldflags '-s -w -buildid=' -o bin/alcove-door-$GOARCH ./alcove-door"

// The files in bin that hold the programs.
const (
	Name     = "alcove-sandbox-" + runtime.GOARCH
	DoorName = "alcove-door-" + runtime.GOARCH
)

// Present tells whether there are programs, without reading them.
func Present() bool {
	for _, name := range []string{Name, DoorName} {
		f, err := files.Open("bin/" + name)
		if err != nil {
			return false
		}
		if f.Close() != nil {
			return false
		}
	}
	return true
}

// Program is the executable file of the parts of a sandbox. The error is
// fs.ErrNotExist if there is none. The caller closes it.
func Program() (io.ReadSeekCloser, error) { return open(Name) }

// Door is the executable file of the first process, likewise.
func Door() (io.ReadSeekCloser, error) { return open(DoorName) }

func open(name string) (io.ReadSeekCloser, error) {
	f, err := files.Open("bin/" + name)
	if err != nil {
		return nil, err
	}
	return f.(io.ReadSeekCloser), nil // as embed.FS documents of files
}
