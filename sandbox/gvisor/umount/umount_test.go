package umount_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"gvisor.dev/gvisor/runsc/cmd/sandboxsetup"

	_ "github.com/alcove-run/alcove/sandbox/gvisor/umount" // it works in this program started again
)

// TestMain ends the helper that was not one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "umount" {
		os.Exit(3)
	}
	os.Exit(m.Run())
}

// TestArguments holds what the helper knows itself by against what a sentry starts.
// Told nothing, it ends with 1, and with 3 if it has not known itself.
func TestArguments(t *testing.T) {
	cmd, tell := sandboxsetup.ExecProcUmounter()
	tell.Close()
	var ended *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &ended) || ended.ExitCode() != 1 {
		t.Errorf("%q ended with %v, want exit status 1", cmd.Args, err)
	}
}

// TestUmount tells the helper to take a mount away, as a sentry does, and ends
// without having told it.
func TestUmount(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting is for root")
	}
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	inside := filepath.Join(dir, "inside")
	if err := os.WriteFile(inside, nil, 0o600); err != nil {
		t.Fatal(err)
	}

	if err := helper(t, dir, ""); err == nil {
		t.Error("a helper that was told nothing ended well")
	}
	if _, err := os.Stat(inside); err != nil {
		t.Errorf("a helper that was told nothing did something: %v", err)
	}
	if err := helper(t, dir, "x"); err != nil {
		t.Errorf("the helper: %v", err)
	}
	if _, err := os.Stat(inside); !os.IsNotExist(err) {
		t.Errorf("the mount is there still: %v", err)
	}
	if err := helper(t, dir, "x"); err == nil {
		t.Error("a helper that had nothing to unmount ended well")
	}
}

func helper(t *testing.T, dir, say string) error {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "umount", "--sync-fd=3", dir)
	cmd.ExtraFiles = []*os.File{r}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if _, err := w.WriteString(say); err != nil {
		t.Fatal(err)
	}
	w.Close()
	return cmd.Wait()
}
