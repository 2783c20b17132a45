package gvisor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Every thread of a sentry and a gofer inherits the slack that their starter was
// lent, the runtime's monitor above all.
func TestTimerSlack(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("reading another process's slack is for root")
	}
	d := newDriver(t)
	spec := newSpec(t, pythonRoot(t))
	spec.Args = []string{"/usr/bin/python3", "-c", "import time; time.sleep(1000)"}
	b, err := d.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Destroy()
	want := fmt.Sprint(slack.Nanoseconds())
	for _, part := range []string{argSentry, argGofer} {
		pids := parts(part, spec.ID)
		if len(pids) != 1 {
			t.Fatalf("%s runs as %v", part, pids)
		}
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pids[0]))
		if err != nil || len(threads) < 2 {
			t.Fatalf("threads of %s: %v, %v", part, threads, err)
		}
		read := 0
		for _, dir := range threads {
			text, err := os.ReadFile("/proc/" + filepath.Base(dir) + "/timerslack_ns")
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
				continue // it has ended
			} else if err != nil {
				t.Fatal(err)
			}
			read++
			if got := strings.TrimSpace(string(text)); got != want {
				t.Errorf("a thread of %s may be late by %s ns, want %s", part, got, want)
			}
		}
		if read < 2 {
			t.Errorf("%d threads of %s were looked at", read, part)
		}
	}
}
