package launch

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/internal/slow"
)

// A node that ends while the launcher is about to become the reaper sends its
// signal to a thread that is going to be no more.
func TestReaperOfANodeThatIsGone(t *testing.T) {
	program := filepath.Join(t.TempDir(), "init")
	if err := os.WriteFile(program, Reaper(), 0o755); err != nil {
		t.Fatal(err)
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	control := os.NewFile(uintptr(fds[1]), "control")
	defer control.Close()
	if err := unix.Close(fds[0]); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), slow.Patience(10*time.Second))
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "0")
	cmd.ExtraFiles = []*os.File{control} // descriptor 3
	if err := cmd.Run(); err != nil {
		t.Errorf("it waits for a node that is gone: %v", err)
	}
}
