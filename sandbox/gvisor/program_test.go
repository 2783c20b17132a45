package gvisor

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
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
	if !embedded.Present() {
		t.Log("no program is embedded; the node starts itself")
		return
	}
	want, err := os.ReadFile(buildProgram(t))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(content(t, embedded.Program), want) {
		t.Error("bin/" + embedded.Name + " is out of date: go generate ./sandbox/gvisor/embedded")
	}
	path := filepath.Join(t.TempDir(), "alcove-door")
	buildAs(t, path, "./embedded/alcove-door")
	if want, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(content(t, embedded.Door), want) {
		t.Error("bin/" + embedded.DoorName + " is out of date: go generate ./sandbox/gvisor/embedded")
	}
}

// content is that of an embedded program.
func content(t *testing.T, open func() (io.ReadSeekCloser, error)) []byte {
	t.Helper()
	f, err := open()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestInstall: the program is written once, again if it was damaged, and takes
// the place of an older one.
func TestInstall(t *testing.T) {
	dir := t.TempDir()
	old, err := install(dir, programPrefix, strings.NewReader("old"))
	if err != nil {
		t.Fatal(err)
	}
	program := "#!/bin/sh\nexit 0\n"
	path, err := install(dir, programPrefix, strings.NewReader(program))
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
	if again, err := install(dir, programPrefix, strings.NewReader(program)); again != path || err != nil {
		t.Errorf("again: %q, %v", again, err)
	}
	if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
		t.Errorf("it was written again, or %v", err)
	}
	if err := os.Truncate(path, 5); err != nil {
		t.Fatal(err)
	}
	if _, err := install(dir, programPrefix, strings.NewReader(program)); err != nil || !same(path, sha256.Sum256([]byte(program))) {
		t.Errorf("damaged, it stayed so: %v", err)
	}
	if err := exec.Command(path).Run(); err != nil {
		t.Error(err)
	}
}

// TestInstalledIsTrusted: what a program has installed it does not look at again, until
// the machine was started anew, another program was there, or a size is not as it was.
func TestInstalledIsTrusted(t *testing.T) {
	if !embedded.Present() {
		t.Log("no program is embedded; the node starts itself")
		return
	}
	dir := t.TempDir()
	install := func() programs {
		t.Helper()
		p, err := installApart(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	whole := func(p programs) bool {
		return same(p.parts, sha256.Sum256(content(t, embedded.Program))) && same(p.door, sha256.Sum256(content(t, embedded.Door)))
	}
	p := install()
	if !whole(p) {
		t.Fatal("the programs were not installed")
	}
	damage := func() {
		t.Helper()
		f, err := os.OpenFile(p.door, os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteAt([]byte("damaged"), 0)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	damage()
	if again := install(); again != p || whole(p) {
		t.Errorf("%+v were looked at again", again)
	}
	marker := filepath.Join(dir, installedName)
	for what, change := range map[string]func(){
		"the machine was started again": func() {
			text, err := os.ReadFile(marker)
			e, err2 := thisExecutable()
			other := bytes.ReplaceAll(text, []byte(e.Boot), []byte("another"))
			if err = errors.Join(err, err2, os.WriteFile(marker, other, 0o600)); err != nil || bytes.Equal(text, other) {
				t.Fatal(err)
			}
		},
		"another program was there": func() {
			e, err := thisExecutable()
			e.Modified++
			if err = errors.Join(err, e.note(dir, p)); err != nil {
				t.Fatal(err)
			}
		},
		"a file is shorter": func() {
			if err := os.Truncate(p.door, 5); err != nil {
				t.Fatal(err)
			}
		},
		"a file is gone": func() {
			if err := os.Remove(p.parts); err != nil {
				t.Fatal(err)
			}
		},
		"the note is no JSON": func() {
			if err := os.Truncate(marker, 5); err != nil {
				t.Fatal(err)
			}
		},
	} {
		damage()
		change()
		if again := install(); again != p || !whole(p) {
			t.Errorf("%s, and %+v were taken as they were", what, again)
		}
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
