package gvisor

import (
	"bytes"
	"crypto/sha256"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alcove-run/alcove/sandbox/gvisor/embedded"
)

// buildProgram builds the program as go generate does.
func buildProgram(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "alcove-sandbox")
	buildAs(t, path, "-tags", "alcove_sandbox", "./embedded/alcove-sandbox")
	return path
}

func buildAs(t *testing.T, path string, args ...string) {
	t.Helper()
	cmd := exec.Command("go", append([]string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=", "-o", path}, args...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestProgram runs a sandbox with the small program in the place of this one,
// and has a driver refuse it when it comes from other sources.
func TestProgram(t *testing.T) {
	path := buildProgram(t)
	if err := usable(Probe(t.Context(), path)); err != nil {
		t.Fatal(err)
	}
	d, root := newDriver(t), pythonRoot(t)
	d.conf.Exe = path
	spec := newSpec(t, root)
	spec.Args = []string{"/bin/echo", "small"}
	if got := output(t, d, spec); got != "small\n" {
		t.Errorf("got %q", got)
	}
	// One byte of the stamp's material, wherever it is kept in the program.
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const line = "// stamp tells builds of this package apart."
	if !bytes.Contains(content, []byte(line)) {
		t.Fatal("the source is not in the program")
	}
	other := filepath.Join(t.TempDir(), "other")
	content = bytes.ReplaceAll(content, []byte(line), []byte(strings.ToUpper(line)))
	if err := os.WriteFile(other, content, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := usable(Probe(t.Context(), other)); err == nil || !strings.Contains(err.Error(), "other sources") {
		t.Errorf("a program from other sources: %v", err)
	}
}

// TestEmbeddedProgramIsCurrent holds what go generate has left behind to what
// it would make now.
func TestEmbeddedProgramIsCurrent(t *testing.T) {
	have := embedded.Program()
	if have == nil {
		t.Log("no program is embedded; the node starts itself")
		return
	}
	want, err := os.ReadFile(buildProgram(t))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Error("bin/" + embedded.Name + " is out of date: go generate ./sandbox/gvisor/embedded")
	}
	path := filepath.Join(t.TempDir(), "alcove-door")
	buildAs(t, path, "./embedded/alcove-door")
	if want, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(embedded.Door(), want) {
		t.Error("bin/" + embedded.DoorName + " is out of date: go generate ./sandbox/gvisor/embedded")
	}
}

// TestInstall: the program is written once, again if it was damaged, and takes
// the place of an older one.
func TestInstall(t *testing.T) {
	dir := t.TempDir()
	old, err := install(dir, programPrefix, []byte("old"))
	if err != nil {
		t.Fatal(err)
	}
	program := []byte("#!/bin/sh\nexit 0\n")
	path, err := install(dir, programPrefix, program)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("the old one: %v", err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := install(dir, programPrefix, program); again != path || err != nil {
		t.Errorf("again: %q, %v", again, err)
	}
	if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
		t.Errorf("it was written again, or %v", err)
	}
	if err := os.Truncate(path, 5); err != nil {
		t.Fatal(err)
	}
	if _, err := install(dir, programPrefix, program); err != nil || !same(path, sha256.Sum256(program)) {
		t.Errorf("damaged, it stayed so: %v", err)
	}
	if err := exec.Command(path).Run(); err != nil {
		t.Error(err)
	}
}

// TestChooseProgram: a program that does not work is not chosen.
func TestChooseProgram(t *testing.T) {
	conf := Config{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)}
	chosen, findings := choosePrograms(t.Context(), conf)
	if err := usable(findings); err != nil {
		t.Errorf("%s: %v", chosen, err)
	}
	if err := probeDoor(t.Context(), "/bin/false"); err == nil {
		t.Error("any program is a door")
	}
	conf.Exe = "/bin/false"
	if chosen, findings := choosePrograms(t.Context(), conf); chosen != (programs{conf.Exe, conf.Exe}) || usable(findings) == nil {
		t.Errorf("what the caller names is not used: %s, %+v", chosen, findings)
	}
}
