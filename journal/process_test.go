package journal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/alcove-run/alcove"
)

// Tests that need a process of their own run this binary again with one of
// these roles in the environment.
const roleVariable = "ALCOVE_JOURNAL_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "appender":
		appendForEver(os.Args[1])
	case "full-disk":
		if err := fillDisk(os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	default:
		os.Exit(m.Run())
	}
}

func role(t *testing.T, name, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", dir)
	cmd.Env = append(os.Environ(), roleVariable+"="+name)
	cmd.Stderr = os.Stderr
	return cmd
}

// appendForEver appends from several goroutines and prints each id once it is
// acknowledged.
func appendForEver(dir string) {
	j, err := Open(Config{Dir: dir, SegmentBytes: 20_000})
	if err != nil {
		panic(err)
	}
	var mu sync.Mutex
	for w := range 8 {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d", w, i)
				if err := j.Append(report(id)); err != nil {
					panic(err)
				}
				mu.Lock()
				os.Stdout.WriteString(id + "\n")
				mu.Unlock()
			}
		}()
	}
	select {}
}

// Every report that was acknowledged before a kill -9 is read back, once.
func TestAcknowledgedReportsSurviveKill(t *testing.T) {
	dir := t.TempDir()
	acknowledged := make(map[string]bool)
	for round := range 5 {
		cmd := role(t, "appender", filepath.Join(dir, fmt.Sprint(round)))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		clear(acknowledged)
		for len(acknowledged) < 300*(round+1) && lines.Scan() {
			acknowledged[lines.Text()] = true
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // what it acknowledged before the signal came
			acknowledged[lines.Text()] = true
		}
		cmd.Wait()
		if len(acknowledged) < 300 {
			t.Fatalf("only %d reports before the kill", len(acknowledged))
		}
		j := open(t, Config{Dir: filepath.Join(dir, fmt.Sprint(round))})
		seen := make(map[string]int)
		if err := j.Read(Position{}, func(_ Position, r *alcove.Report) error { seen[r.RequestID]++; return nil }); err != nil {
			t.Fatal(err)
		}
		for id := range acknowledged {
			if seen[id] != 1 {
				t.Errorf("round %d: %s is there %d times", round, id, seen[id])
			}
		}
		if n := j.Stats().Corrupt; n != 0 {
			t.Errorf("round %d: %d segments damaged", round, n)
		}
	}
}

// A full disk fails what is appended meanwhile, is logged once, and ends when
// there is room.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount a small file system")
	}
	cmd := role(t, "full-disk", t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
}

// fillDisk runs in a mount namespace of its own.
func fillDisk(dir string) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		return err
	}
	var logged bytes.Buffer
	j, err := Open(Config{Dir: filepath.Join(dir, "journal"), SegmentBytes: 32 << 10, Log: slog.New(slog.NewTextHandler(&logged, nil))})
	if err != nil {
		return err
	}
	defer j.Close()
	ballast := filepath.Join(dir, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		return err
	}
	f.Write(make([]byte, 100<<10))
	f.Close()
	good, bad := 0, 0
	for bad < 10 {
		switch err := j.Append(report(fmt.Sprint("before-", good))); {
		case err == nil && bad > 0:
			return errors.New("room on a full disk")
		case err == nil:
			good++
		case errors.Is(err, syscall.ENOSPC):
			bad++
		default:
			return err
		}
	}
	if s := j.Stats(); s.Failed != 10 || s.Err == nil || s.Appended != int64(good) {
		return fmt.Errorf("while full: %+v", s)
	}
	if err := os.Remove(ballast); err != nil {
		return err
	}
	for i := range 100 {
		if err := j.Append(report(fmt.Sprint("after-", i))); err != nil {
			return fmt.Errorf("with room again: %w", err)
		}
	}
	if s := j.Stats(); s.Err != nil {
		return fmt.Errorf("with room again: %+v", s)
	}
	before, after := 0, 0
	if err := j.Read(Position{}, func(_ Position, r *alcove.Report) error {
		if strings.HasPrefix(r.RequestID, "before-") {
			before++
		} else {
			after++
		}
		return nil
	}); err != nil {
		return err
	}
	if before != good || after != 100 || j.Stats().Corrupt != 0 {
		return fmt.Errorf("read %d of %d and %d of 100, %+v", before, good, after, j.Stats())
	}
	if n := strings.Count(logged.String(), "reports may be lost"); n != 1 {
		return fmt.Errorf("logged %d times: %s", n, &logged)
	}
	return nil
}
