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
	must(t, move(dir), move(dir)) // the second finds none
	if _, err := os.Lstat(dir); !os.IsNotExist(err) {
		t.Errorf("moved aside, and still there: %v", err)
	}
	must(t, os.Mkdir(dir, 0o755)) // another process is at work there
	// Others' files may begin with the same letters.
	for _, name := range []string{"gone-fishing", "gone-", "gone-ABCDEFGHIJKLMNOPQRSTUVWXY1", "gone-ABCDEFGHIJKLMNOPQRSTUVWXYZ2"} {
		must(t, os.Mkdir(filepath.Join(parent, name), 0o755))
	}

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
	if err != nil || len(left) != 2+4 {
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
		must(t, move(filepath.Join(parent, "work")))
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

// TestRenewOnAFullDisk: what is in the way is not kept where the new directory has no
// room beside it.
func TestRenewOnAFullDisk(t *testing.T) {
	const in = "ALCOVE_TEST_ASIDE_FULL"
	if parent := os.Getenv(in); parent != "" {
		must(t, syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""), syscall.Mount("tmpfs", parent, "tmpfs", 0, "nr_inodes=6"))
		dir := filepath.Join(parent, "work")
		must(t, os.Mkdir(dir, 0o700))
		for i := 0; ; i++ {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600); errors.Is(err, syscall.ENOSPC) && i > 0 {
				break
			} else {
				must(t, err)
			}
		}
		must(t, Renew(dir))
		if left, err := filepath.Glob(filepath.Join(parent, "*")); err != nil || len(left) != 1 || left[0] != dir {
			t.Errorf("left %v, %v", left, err)
		}
		if in, err := os.ReadDir(dir); err != nil || len(in) != 0 {
			t.Errorf("in the new directory are %v, %v", in, err)
		}
		return
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestRenewOnAFullDisk$", "-test.v")
	cmd.Env = append(os.Environ(), in+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
	}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS: TestRenewOnAFullDisk") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestRenew: the directory is there and empty, and has what was in it aside; one that
// is empty stays as it is.
func TestRenew(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "new/work")
	must(t, Renew(dir), Renew(dir), os.WriteFile(filepath.Join(dir, "file"), nil, 0o600), Renew(dir))
	if in, err := os.ReadDir(dir); err != nil || len(in) != 0 {
		t.Errorf("in it are %v, %v", in, err)
	}
	if n, err := Remove(t.Context(), filepath.Dir(dir)); n != 2 || err != nil {
		t.Errorf("aside were %d, %v", n, err)
	}
}
