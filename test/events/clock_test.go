package events

import (
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/test/testnode"
)

// TestTheMachinesClockIsSet sets the clock of the machine forth and back by an hour and by
// a year while events wait, and starts the node anew in the time that it is then: none is
// too old, none waits for what the clock says, and the age that `alcove queue` tells stays
// what it is. No other process must be on the machine: scripts/guest-v2 makes one.
func TestTheMachinesClockIsSet(t *testing.T) {
	if os.Getenv("ALCOVE_TEST_MACHINE") != "own" {
		t.Skip("sets the machine's clock: scripts/guest-v2 ./test/events RUN=TestTheMachinesClockIsSet")
	}
	step := func(by time.Duration) {
		t.Helper()
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_REALTIME, &now); err != nil {
			t.Fatal(err)
		}
		set := unix.NsecToTimespec(now.Nano() + int64(by))
		if err := unix.ClockSettime(unix.CLOCK_REALTIME, &set); err != nil {
			t.Fatal(err)
		}
	}
	const year = 365 * 24 * time.Hour
	for _, by := range []time.Duration{time.Hour, -time.Hour, year, -year} {
		t.Run(by.String(), func(t *testing.T) {
			defer step(-by)
			to := startServices(t)
			n := start(t, "namespace", "--destinations", to.flag(), "--concurrency", "2", "--tenant-idle-min", "0s")
			f := n.Deploy(t, testnode.Python, testnode.Files{"main.py": telling}, testnode.Isolated)
			n.config(t, f, "", 0, fmt.Sprintf(arns, "sqs", "good"), fmt.Sprintf(arns, "sqs", "bad"))
			want := map[string]bool{}
			for i := range 20 {
				want[n.event(t, f, fmt.Sprint("t", i%2), `{"n": 1, "sleep": 0.5}`)] = true
			}
			step(by)
			time.Sleep(12 * time.Second) // until it has looked
			if q := n.queue(t, f); q.OldestAgeSeconds > 600 || q.OldestAgeSeconds < 0 {
				t.Errorf("set by %v: the oldest is %.0f s old: %+v", by, q.OldestAgeSeconds, q)
			}
			n.Kill(t)
			n = n.again(t)
			if q := n.queue(t, f); q.OldestAgeSeconds > 600 || q.OldestAgeSeconds < 0 {
				t.Errorf("set by %v, and started again: the oldest is %.0f s old: %+v", by, q.OldestAgeSeconds, q)
			}
			testnode.Eventually(t, "all have run", func() bool { return n.queue(t, f).Events == 0 })
			for _, m := range to.messages() {
				if m.target != "good" {
					t.Errorf("set by %v: %s", by, m.body)
				}
				delete(want, m.record.RequestContext.RequestID)
			}
			if len(want) > 0 {
				t.Errorf("set by %v: %d events are lost", by, len(want))
			}
		})
	}
}
