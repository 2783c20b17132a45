package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A file system of 16 MiB in a mount namespace of its own: nothing of it is
// left, however the child ends.
func TestFullDisk(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"=full", killDirEnv+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func childFull() int {
	dir := os.Getenv(killDirEnv)
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		fmt.Println("mount /:", err)
		return 1
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
		fmt.Println("mount:", err)
		return 1
	}
	if err := fullDisk(dir); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// fullDisk fills the disk up to the reserve, then behind the store's back to the
// last byte so that the engine meets it, and makes room again.
func fullDisk(dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	const reserve = 4 << 20
	s, err := Open(ctx, Config{Dir: filepath.Join(dir, "state"), Reserve: reserve})
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	b := s.Bucket("b")
	if _, err := b.Put(ctx, "kept", []byte("v")); err != nil {
		return err
	}
	big := make([]byte, 64<<10)
	n := 0
	for ; err == nil; n++ {
		_, err = b.Put(ctx, fmt.Sprint("big ", n), big)
	}
	if !errors.Is(err, ErrNoSpace) || n < 100 {
		return fmt.Errorf("after %d puts: %w", n, err)
	}
	if err := b.Delete(ctx, "big 0", 0); err != nil {
		return fmt.Errorf("delete below the reserve: %w", err)
	}
	if s.current.ctx.Err() != nil {
		return fmt.Errorf("the engine noticed the reserve: %w", context.Cause(s.current.ctx))
	}

	// Now the reserve is taken away too.
	s.cfg.Reserve = -1 << 30
	fill := filepath.Join(dir, "fill")
	if err := os.WriteFile(fill, make([]byte, 20<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("filling the disk: %w", err)
	}
	old := s.current
	if _, err := b.Put(ctx, "refused", big); err == nil {
		return errors.New("a put on a full disk was acknowledged")
	}
	// The sign in the engine's log was understood; waiting would also find out,
	// but only after answerTimeout.
	if cause := context.Cause(old.ctx); cause == nil || cause == errNoAnswer {
		return fmt.Errorf("the engine is known to have failed by: %w", cause)
	}
	// Another one reads, on a disk that is still full.
	if e, err := b.Get(ctx, "kept"); err != nil || string(e.Value) != "v" {
		return fmt.Errorf("get on a full disk: %q, %w", e.Value, err)
	}
	if err := os.Remove(fill); err != nil {
		return err
	}
	for {
		_, err := b.Put(ctx, "again", big)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return fmt.Errorf("the store did not recover: %w", err)
		}
	}
	list, err := b.List(ctx)
	if err != nil {
		return err
	}
	seen := make(map[string]bool)
	for _, e := range list {
		seen[e.Key] = true
	}
	for i := 1; i < n-1; i++ {
		if !seen[fmt.Sprint("big ", i)] {
			return fmt.Errorf("acknowledged key %d is gone", i)
		}
	}
	if !seen["kept"] || !seen["again"] || seen["big 0"] {
		return fmt.Errorf("kept %t, again %t, big 0 %t", seen["kept"], seen["again"], seen["big 0"])
	}
	return nil
}
