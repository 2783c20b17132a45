package environment

import (
	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/runtimeapi"
	"github.com/alcove-run/alcove/sandbox"
)

// heavyPlaces are those of an environment whose runtime is none of alcove's
// bootstraps, or may have extensions beside it: a listener for TCP, connections of
// clients that like to have two, and what a supervisor needs.
const heavyPlaces = 2

// Places is how many places of a node's an environment of v takes, by the
// descriptors that it may hold while it is idle. It is the same for v's life.
func (f *Factory) Places(v *alcove.Version) int {
	if v.FromImage() || len(v.Config.Layers) > 0 { // extensions are in layers
		return heavyPlaces
	}
	r, err := f.Runtimes.Resolve(v.Config.Runtime)
	if err != nil || r.Image || r.For(v).TCP {
		return heavyPlaces
	}
	return 1
}

// ownConns is how many connections an environment always may have: alcove's own
// bootstraps have one.
func ownConns(spec *sandbox.Spec, x Extensions) int {
	if spec.TCP || len(x.Paths) > 0 || len(spec.Args) == 0 {
		return runtimeapi.OwnConns
	}
	return 1
}
