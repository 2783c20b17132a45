package timerslack_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove/internal/slow"
	"github.com/alcove-run/alcove/internal/timerslack"
)

// TestLendIsInherited has a process started that tells its own slack: cat, which
// reads the file that is its own.
func TestLendIsInherited(t *testing.T) {
	const lent = 437 * time.Microsecond
	tell := func() time.Duration {
		out, err := exec.Command("cat", "/proc/self/timerslack_ns").Output()
		if err != nil {
			t.Fatal(err)
		}
		return nanoseconds(t, out)
	}
	// The thread must be this one before and after, too.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := tell()
	var within time.Duration
	if err := timerslack.Lend(lent, func() error { within = tell(); return nil }); err != nil {
		t.Fatal(err)
	}
	if within != lent || within == before {
		t.Errorf("a process started within had %v, want %v", within, lent)
	}
	if after := tell(); after != before {
		t.Errorf("a process started afterwards had %v, want %v", after, before)
	}
	failed := errors.New("failed")
	if err := timerslack.Lend(lent, func() error { return failed }); err != failed {
		t.Errorf("Lend answers %v, want what start answered", err)
	}
}

// TestMonitor sees which thread has the slack: one that makes nothing but
// nanosleep and what follows from it.
func TestMonitor(t *testing.T) {
	const slack = 391 * time.Microsecond
	if err := timerslack.Monitor(slack); errors.Is(err, os.ErrPermission) {
		t.Skip("setting another thread's slack takes CAP_SYS_NICE")
	} else if err != nil {
		t.Fatal(err)
	}
	// Every other thread of the runtime sleeps in futex or epoll_pwait. The monitor
	// sleeps, for as long as anything runs, in nanosleep; it may have started others.
	for end := time.Now().Add(slow.Patience(time.Minute)); ; {
		threads, err := filepath.Glob("/proc/self/task/*")
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range threads {
			text, err := os.ReadFile("/proc/" + filepath.Base(dir) + "/timerslack_ns")
			if err != nil || nanoseconds(t, text) != slack {
				continue
			}
			call, err := os.ReadFile(dir + "/syscall")
			if err != nil {
				continue
			}
			if number, _, _ := strings.Cut(string(call), " "); number == nanosleep {
				return
			}
		}
		if time.Now().After(end) {
			t.Fatalf("no thread with the slack sleeps as the monitor does")
		}
		runtime.Gosched()
	}
}

func nanoseconds(t *testing.T, text []byte) time.Duration {
	t.Helper()
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(n)
}
