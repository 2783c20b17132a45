package gvisor

import (
	"errors"
	"os"

	"gvisor.dev/gvisor/runsc/config"

	"github.com/alcove-run/alcove/sandbox"
)

// usable says why no gVisor sandbox can be made here, or nil.
func usable() error {
	if config.CgoEnabled {
		return errors.New("gvisor: this program was built with cgo, with which no sandbox starts: build with CGO_ENABLED=0")
	}
	if os.Geteuid() != 0 {
		return errors.New("gvisor: needs root")
	}
	return nil
}

// Findings implements sandbox.Driver.
func (d *Driver) Findings() []sandbox.Finding { return nil }
