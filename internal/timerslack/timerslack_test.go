package timerslack_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove/internal/timerslack"
)

const lent = 437 * time.Microsecond

// TestLendIsInherited has a process started that tells its own slack: cat, which
// reads the file that is its own.
func TestLendIsInherited(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("reading another thread's slack is for root")
	}
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
}

// TestMonitor sees which thread has the slack: one that makes nothing but
// nanosleep and what follows from it.
func TestMonitor(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("setting another thread's slack is for root")
	}
	if err := timerslack.Monitor(lent); err != nil {
		t.Fatal(err)
	}
	threads, err := filepath.Glob("/proc/self/task/*")
	if err != nil {
		t.Fatal(err)
	}
	var changed []string
	for _, dir := range threads {
		tid := filepath.Base(dir)
		text, err := os.ReadFile("/proc/" + tid + "/timerslack_ns")
		if err != nil {
			continue // it has ended
		}
		if nanoseconds(t, text) == lent {
			changed = append(changed, tid)
		}
	}
	if len(changed) != 1 {
		t.Fatalf("threads %v have the slack, want one", changed)
	}
	// Every other thread of the runtime sleeps in futex or epoll_pwait.
	for {
		call, err := os.ReadFile("/proc/self/task/" + changed[0] + "/syscall")
		if err != nil {
			t.Fatal(err)
		}
		if number, _, _ := strings.Cut(string(call), " "); number == nanosleep {
			return
		}
		runtime.Gosched() // it sleeps for as long as anything runs
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
