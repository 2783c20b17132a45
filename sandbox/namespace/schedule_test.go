package namespace

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/internal/slow"
)

// A program that is woken waits for its turn, and its timers are as exact as they
// are elsewhere, although its launcher's were not.
func TestSchedule(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("reading another process's slack is for root")
	}
	s := newSite(t)
	for _, c := range clients {
		if c.name != "python" && c.name != "forked" {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			if c.template {
				s.awaitTemplate(c.args)
			}
			spec, l := s.spec(c.args...)
			defer l.Close()
			spec.Template = c.template
			b := s.create(spec).(*box)
			defer b.Destroy()
			conn, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			pid := 0
			if forked, why := b.Forked(); forked != c.template {
				t.Fatalf("forked: %v, %s", forked, why)
			} else if forked {
				pid = b.main.Pid
			} else {
				pid = onlyChild(t, b.proc.Pid)
			}
			attr, err := unix.SchedGetAttr(pid, 0)
			if err != nil || attr.Policy != unix.SCHED_BATCH {
				t.Errorf("its policy is %+v, %v, want SCHED_BATCH", attr, err)
			}
			slack, err := os.ReadFile(fmt.Sprintf("/proc/%d/timerslack_ns", pid))
			if got := strings.TrimSpace(string(slack)); err != nil || got != "50000" {
				t.Errorf("its timers may be late by %s ns, %v, want 50000", got, err)
			}
		})
	}
}

// A program stays as it was made: it comes before no other by asking.
func TestScheduleIsKept(t *testing.T) {
	k := newSite(t).talker()
	const batch, policy = "3", "__import__('os').sched_getscheduler(0)"
	k.want(policy, batch)
	set := func(policy string) string {
		return "__import__('os').sched_setscheduler(0, " + policy + ", __import__('os').sched_param(0))"
	}
	k.want(set("0"), "None")
	k.want(policy, batch)
	k.want(set("1"), "PermissionError(1, 'Operation not permitted')")
	const setattr = `(lambda c: (c.CDLL(None, use_errno=True).syscall(%d, 0, c.create_string_buffer(56), 0), c.get_errno()))(__import__('ctypes'))`
	k.want(fmt.Sprintf(setattr, unix.SYS_SCHED_SETATTR), fmt.Sprintf("(-1, %d)", int(unix.ENOSYS)))
	k.want(policy, batch)
}

// The launcher's own runtime has the slack that its program has not.
func TestLauncherSlack(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("reading another process's slack is for root")
	}
	s := newSite(t)
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	conn, launcher, err := s.driver.spawn(nil, unix.CLONE_NEWPID, null, null, s.driver.launcher.reaper)
	if err != nil {
		t.Fatal(err)
	}
	defer launcher.Wait()
	defer launcher.Kill()
	defer conn.Close()
	var have []string
	err = eventually(t.Context(), slow.Patience(time.Minute), func() (bool, error) {
		have = nil
		tasks, err := os.Open(fmt.Sprintf("/proc/%d/task", launcher.Pid))
		if err != nil {
			return false, err
		}
		defer tasks.Close()
		threads, err := tasks.Readdirnames(-1) // in the order in which they were made
		if err != nil {
			return false, err
		}
		for _, thread := range threads {
			text, err := os.ReadFile("/proc/" + thread + "/timerslack_ns")
			if err != nil {
				return false, err
			}
			have = append(have, strings.TrimSpace(string(text)))
		}
		return len(have) > 1 && have[0] == "50000" && have[1] == fmt.Sprint(slack.Nanoseconds()), nil
	})
	if err != nil {
		t.Errorf("its threads may be late by %s ns, want 50000 for the first and %d for the second: %v", have, slack.Nanoseconds(), err)
	}
}

// onlyChild is the one process that another has started.
func onlyChild(t *testing.T, parent int) (pid int) {
	t.Helper()
	path := fmt.Sprintf("/proc/%d/task/%d/children", parent, parent)
	err := eventually(t.Context(), slow.Patience(time.Minute), func() (bool, error) {
		text, err := os.ReadFile(path)
		if err != nil {
			return false, err
		}
		pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
		return err == nil, nil
	})
	if err != nil {
		t.Fatalf("children of process %d: %v", parent, err)
	}
	return pid
}
