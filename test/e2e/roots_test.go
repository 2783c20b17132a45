package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOldRootTreesGo: what an upgrade of the machine has left of a runtime's root
// tree is removed when the node starts, and what functions run on is not.
func TestOldRootTreesGo(t *testing.T) {
	n := start(t, "--isolation", "namespace")
	f := n.deploy(t, python, files{"main.py": whoAmI}, isolated)
	n.run(t, f, call{tenant: "a"}, nil)
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	trees := func() []string {
		t.Helper()
		found, err := filepath.Glob(filepath.Join(n.data, "roots", "*"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	used := trees()
	old := filepath.Join(n.data, "roots", strings.Repeat("0a", 32))
	if err := os.MkdirAll(filepath.Join(old, "usr", "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	again := startIn(t, n.data, n.flags...)
	eventually(t, "the old tree goes", func() bool { return len(trees()) == len(used) })
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("%s: %v", old, err)
	}
	again.run(t, f, call{tenant: "a"}, nil)
	if built := strings.Count(again.Log.String(), "built a root tree"); built > 0 {
		t.Errorf("%d trees were built again", built)
	}
}
