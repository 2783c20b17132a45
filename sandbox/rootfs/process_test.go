package rootfs

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// childDir, in the environment, makes the test binary build trees in that
// directory, for tests that kill it or run it as somebody else.
const childDir = "ALCOVE_ROOTFS_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		s, err := Open(dir, quiet())
		if err == nil {
			_, err = s.Tree(context.Background(), python())
		}
		if err != nil {
			io.WriteString(os.Stderr, err.Error()+"\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestKilledBuildIsRemovedAtOpen(t *testing.T) {
	dir := t.TempDir()
	// A build may be finished before the signal arrives; then once more.
	for attempt := 1; killMidway(t, dir); attempt++ {
		if attempt == 5 {
			t.Fatal("no build could be interrupted")
		}
		if err := remove(dir); err != nil {
			t.Fatal(err)
		}
	}
	open(t, dir)
	if got := list(t, dir); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
}

// killMidway starts a build in another process, kills it in the middle of the
// copy, and tells whether it was too late.
func killMidway(t *testing.T, dir string) (finished bool) {
	cmd := child(dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool {
		got, _ := filepath.Glob(filepath.Join(dir, tmpPrefix+"*", "usr", "bin", "*"))
		return len(got) > 5
	})
	open(t, dir) // must leave alone what another process is building
	if len(list(t, dir)) == 0 {
		t.Error("Open removed a tree that was being built")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	got := list(t, dir)
	return len(got) == 1 && digestName.MatchString(got[0])
}

func TestWithoutRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("not root: every other test shows the same")
		return
	}
	dir, err := os.MkdirTemp("", "alcove-rootfs-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chown(dir, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	// The test binary lies where only root can reach it.
	exe := filepath.Join(dir, "test")
	raw, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(exe, raw, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	store := filepath.Join(dir, "store")
	cmd := child(store)
	cmd.Path, cmd.Dir = exe, dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got := list(t, store)
	if len(got) != 1 || !digestName.MatchString(got[0]) {
		t.Fatalf("got %q", got)
	}
	st, err := os.Stat(filepath.Join(store, got[0], "usr/bin/env"))
	if err != nil || st.Sys().(*syscall.Stat_t).Uid != 65534 {
		t.Errorf("%+v, %v", st, err)
	}
	// An unprivileged owner must be able to remove it, too.
	cmd = exec.Command(exe, "-test.run=^TestPruneHere$")
	cmd.Dir = dir
	cmd.Env = []string{pruneDir + "=" + store}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil || len(list(t, store)) != 0 {
		t.Errorf("%v: %q\n%s", err, list(t, store), out)
	}
}

const pruneDir = "ALCOVE_ROOTFS_TEST_PRUNE"

// TestPruneHere is the second half of TestWithoutRoot.
func TestPruneHere(t *testing.T) {
	dir := os.Getenv(pruneDir)
	if dir == "" {
		dir = t.TempDir()
	}
	if err := remove(dir); err != nil {
		t.Fatal(err)
	}
}

func child(dir string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{childDir + "=" + dir}
	return cmd
}
