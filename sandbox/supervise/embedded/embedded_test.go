package embedded

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/alcove-run/alcove/sandbox/supervise"
)

// TestSupervisorIsCurrent installs the supervisor that is embedded, which is the one
// that its source makes: an older one would not understand what the node tells it.
func TestSupervisorIsCurrent(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "supervisor")
	p, err := Install(dir)
	if err != nil {
		t.Logf("nothing is embedded: %v", err)
		return
	}
	installed, err := os.ReadFile(filepath.Join(p.Dir, supervise.Name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Install(dir); err != nil { // again, over itself
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(entries) != 1 {
		t.Errorf("%v is left: %v", entries, err)
	}
	out := filepath.Join(t.TempDir(), Name)
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=", "-o", out, "./alcove-supervisor")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOFLAGS=")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	built, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(installed, built) {
		t.Error("bin/" + Name + " is out of date: go generate ./sandbox/supervise/embedded")
	}
}
