package gvisor

import (
	"log/slog"
	"maps"
	"strings"
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
	posture := maps.Clone(allowed)
	maps.DeleteFunc(posture, func(name, _ string) bool { return !sandboxtest.Whole() && !strings.HasPrefix(name, "posture/") })
	return sandboxtest.Options{
		New: func(t *testing.T, dir string) sandbox.Driver {
			d, err := open(dir, slog.New(slog.NewTextHandler(t.Output(), nil)))
			if err != nil {
				t.Fatal(err)
			}
			return d
		},
		Root:    root,
		Allowed: posture,
		Keeps:   map[string]string{programPrefix + "*": "the embedded program, for the next start", doorPrefix + "*": "the embedded door, likewise", installedName: "what tells of both"},
	}
}
