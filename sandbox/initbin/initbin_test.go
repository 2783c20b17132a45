package initbin

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A launcher that is embedded is the one that its source makes: an older one
// would not understand what the node tells it.
func TestLauncherIsCurrent(t *testing.T) {
	embedded := Launcher()
	if embedded == nil {
		t.Log("no launcher is embedded; the node starts itself")
		return
	}
	out := filepath.Join(t.TempDir(), Name)
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=", "-o", out, "../../cmd/alcove-init")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOFLAGS=")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	built, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(embedded, built) {
		t.Error("bin/" + Name + " is out of date: go generate ./sandbox/initbin")
	}
	f, err := elf.NewFile(bytes.NewReader(built))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the launcher is not static: sandboxes have no loader for it")
		}
	}
}
