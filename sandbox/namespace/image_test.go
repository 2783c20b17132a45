package namespace

import (
	"testing"

	"github.com/alcove-run/alcove/artifact/flatten/flattentest"
	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/sandboxtest"
)

// TestImage looks at a sandbox whose root was made of a hostile container image.
func TestImage(t *testing.T) {
	sandboxtest.RunPosture(t, sandboxtest.Options{
		New: func(t *testing.T, dir string) sandbox.Driver {
			d, err := open(dir)
			if err != nil {
				t.Fatal(err)
			}
			return d
		},
		Root:         flattentest.HostileRoot(t),
		SharesKernel: true,
		Allowed:      map[string]string{"posture/host_paths": bound},
	})
}
