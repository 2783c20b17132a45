package aside

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// fill makes a directory of many files, of directories deeper than a removal descends,
// of some that are closed to everybody, and of a link to what must stay.
func fill(t *testing.T, dir, outside string) {
	t.Helper()
	deep := filepath.Join(dir, strings.Repeat("d/", 3*deepest))
	must(t, os.MkdirAll(deep, 0o755), os.WriteFile(filepath.Join(deep, "file"), nil, 0o600),
		os.Symlink(outside, filepath.Join(dir, "link")), os.MkdirAll(filepath.Join(dir, "closed/within"), 0o755))
	for i := range 3 * batch {
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprint("file", i)), nil, 0o400))
	}
	must(t, os.Chmod(filepath.Join(dir, "closed/within"), 0), os.Chmod(filepath.Join(dir, "closed"), 0o500))
}

func TestRemove(t *testing.T) {
	parent := t.TempDir()
	dir, stays := filepath.Join(parent, "work"), filepath.Join(parent, "stays")
	must(t, os.MkdirAll(stays, 0o755), os.WriteFile(filepath.Join(stays, "file"), nil, 0o600), os.Mkdir(dir, 0o755))
	fill(t, dir, stays)
	must(t, Move(dir), Move(dir)) // the second finds none
	if _, err := os.Lstat(dir); !os.IsNotExist(err) {
		t.Errorf("moved aside, and still there: %v", err)
	}
	must(t, os.Mkdir(dir, 0o755)) // another process is at work there

	// A process that ends in the middle leaves the rest to the next.
	ended, end := context.WithCancel(t.Context())
	end()
	if n, err := Remove(ended, parent); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("removed %d, %v", n, err)
	}
	want := 3*deepest + 3*batch + 5 // and the file, the link, those that are closed, and itself
	if n, err := Remove(t.Context(), parent); n != want || err != nil {
		t.Errorf("removed %d of %d, %v", n, want, err)
	}
	left, err := filepath.Glob(filepath.Join(parent, "*"))
	if err != nil || len(left) != 2 {
		t.Errorf("left %v, %v", left, err)
	}
	if _, err := os.Stat(filepath.Join(stays, "file")); err != nil {
		t.Errorf("what a link led to: %v", err)
	}
	if n, err := Remove(t.Context(), filepath.Join(parent, "missing")); n != 0 || err != nil {
		t.Errorf("of a directory that is not there: %d, %v", n, err)
	}
}

// TestOrdinaryUser: directories that are closed to their owner are opened first.
func TestOrdinaryUser(t *testing.T) {
	const nobody, in = 65534, "ALCOVE_TEST_ASIDE"
	if parent := os.Getenv(in); parent != "" {
		fill(t, filepath.Join(parent, "work"), parent)
		must(t, Move(filepath.Join(parent, "work")))
		if n, err := Remove(t.Context(), parent); n < batch || err != nil {
			t.Errorf("removed %d, %v", n, err)
		}
		return
	}
	parent, err := os.MkdirTemp("", "aside-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(parent) })
	exe, err := os.ReadFile("/proc/self/exe")
	must(t, err, os.Mkdir(filepath.Join(parent, "work"), 0o755), os.WriteFile(filepath.Join(parent, "exe"), exe, 0o755), os.Chmod(parent, 0o755))
	cmd := exec.Command(filepath.Join(parent, "exe"), "-test.run=^TestOrdinaryUser$", "-test.v")
	cmd.Env, cmd.Dir = []string{in + "=" + parent}, parent
	if os.Geteuid() == 0 {
		must(t, os.Chown(parent, nobody, nobody), os.Chown(filepath.Join(parent, "work"), nobody, nobody))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "PASS: TestOrdinaryUser") {
		t.Errorf("%v\n%s", err, out)
	}
	if left, err := os.ReadDir(parent); err != nil || len(left) != 1 {
		t.Errorf("left %v, %v", left, err)
	}
}
