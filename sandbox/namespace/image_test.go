package namespace

import (
	"testing"

	"github.com/alcove-run/alcove/artifact/flatten/flattentest"
	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/sandboxtest"
)

// TestImage looks at a sandbox whose root was made of a hostile container image.
func TestImage(t *testing.T) {
	sandboxtest.RunOn(t, imageOptions(flattentest.HostileRoot(t)))
}

// TestImageUser does the same where the image names a user.
func TestImageUser(t *testing.T) {
	o := imageOptions(flattentest.UserRoot(t))
	o.User, o.Reads = &flattentest.User, flattentest.Reads
	sandboxtest.RunOn(t, o)
}

func imageOptions(root string) sandboxtest.Options {
	allowed := map[string]string{"posture/host_paths": bound}
	if sandboxtest.Whole() {
		allowed["late/posture/blank/host_paths"], allowed["late/posture/specialised/host_paths"] = bound, bound
	}
	return sandboxtest.Options{
		New: func(t *testing.T, dir string) sandbox.Driver {
			d, err := open(dir)
			if err != nil {
				t.Fatal(err)
			}
			return d
		},
		Root:         root,
		SharesKernel: true,
		Allowed:      allowed,
	}
}
