package artifact

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove"
)

func command(t *testing.T, mode, dir string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+mode, dirEnv+"="+dir)
	return cmd
}

// noise is n bytes that do not compress.
func noise(n int, seed uint64) string {
	r := rand.New(rand.NewPCG(seed, 0))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

// childPut puts packages and says which were acknowledged, until it is killed.
func childPut() int {
	s, err := Open(os.Getenv(dirEnv), nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for i := uint64(0); ; i++ {
		var items []item
		for k := range 20 {
			items = append(items, item{name: fmt.Sprintf("d%d/f%d", k%3, k), body: noise(2000, i)})
		}
		raw, err := buildZip(items...)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		code, err := s.Put(context.Background(), Sent(raw))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Println(code.SHA256, code.Size)
	}
}

func TestAcknowledgedSurvivesKill(t *testing.T) {
	dir := t.TempDir()
	var acked []alcove.Code
	for round := range 6 {
		cmd := command(t, "put", dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		until, lines := 1+rand.IntN(12), 0
		in := bufio.NewScanner(out)
		for in.Scan() {
			var c alcove.Code
			if _, err := fmt.Sscan(in.Text(), &c.SHA256, &c.Size); err != nil {
				t.Fatalf("child says %q", in.Text())
			}
			acked = append(acked, c)
			if lines++; lines == until {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait()
		if lines < until {
			t.Fatalf("child ended by itself after %d lines", lines)
		}
		s, err := Open(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range acked {
			raw, err := os.ReadFile(s.path("zip", c.SHA256))
			if err != nil || digest(raw) != c.SHA256 {
				t.Fatalf("round %d: acknowledged package: %v", round, err)
			}
			tree, err := s.Tree(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if n := countFiles(t, tree); n != 20 {
				t.Errorf("round %d: a tree has %d files", round, n)
			}
		}
		for _, name := range left(t, s) {
			if strings.HasPrefix(name, "tmp/") {
				t.Errorf("round %d: %s is left", round, name)
			}
		}
	}
}

func countFiles(t *testing.T, dir string) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A file system of 8 MiB in a mount namespace of its own.
func TestFullDisk(t *testing.T) {
	cmd := command(t, "full", t.TempDir())
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
	dir := os.Getenv(dirEnv)
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		fmt.Println("mount /:", err)
		return 1
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		fmt.Println("mount:", err)
		return 1
	}
	if err := fullDisk(filepath.Join(dir, "artifact")); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func fullDisk(dir string) error {
	ctx := context.Background()
	s, err := Open(dir, nil)
	if err != nil {
		return err
	}
	s.SetReserve(0)
	kept, err1 := buildZip(item{name: "kept", body: "x"})
	large, err2 := buildZip(item{name: "a", body: noise(5<<20, 1)}) // twice on the disk
	small, err3 := buildZip(item{name: "b", body: "y"})
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	code, err := s.Put(ctx, Sent(kept))
	if err != nil {
		return err
	}
	want := fmt.Sprint(listing(s))
	_, err = s.Put(ctx, Sent(large))
	if !errors.Is(err, ErrNoSpace) || alcove.AsError(err).Fault != alcove.FaultPlatform {
		return fmt.Errorf("with too little room: %w", err)
	}
	if got := fmt.Sprint(listing(s)); got != want {
		return fmt.Errorf("with too little room: left %s, there was %s", got, want)
	}
	// As if somebody else took the room in between.
	s.SetReserve(-1 << 30)
	_, err = s.Put(ctx, Sent(large))
	if !errors.Is(err, unix.ENOSPC) || alcove.AsError(err).Fault != alcove.FaultPlatform {
		return fmt.Errorf("on a full disk: %w", err)
	}
	if got := fmt.Sprint(listing(s)); got != want || s.Size() != code.Size {
		return fmt.Errorf("on a full disk: left %s of size %d, there was %s", got, s.Size(), want)
	}
	if _, err := s.Put(ctx, Sent(small)); err != nil {
		return fmt.Errorf("afterwards: %w", err)
	}
	return nil
}

func listing(s *Store) []string {
	var names []string
	for _, d := range []string{s.path("zip"), s.trees, s.path("tmp")} {
		entries, _ := os.ReadDir(d)
		for _, e := range entries {
			names = append(names, filepath.Join(filepath.Base(d), e.Name()))
		}
	}
	return names
}
