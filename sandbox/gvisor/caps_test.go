package gvisor

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestCapabilities holds what the parts of a sandbox may do to the host, on every
// thread: access files like root, and whatever the sentry's platform and the
// gofer's sockets need; and that no execve would give them more.
func TestCapabilities(t *testing.T) {
	const files = 1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH | 1<<unix.CAP_FOWNER | 1<<unix.CAP_FSETID
	d, root := newDriver(t), pythonRoot(t)
	spec := newSpec(t, root)
	spec.Args = []string{"/bin/sh", "-c", "sleep 1000"}
	s, err := d.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []struct {
		arg0                string
		usable, inheritable uint64
	}{
		{argSentry, files | 1<<unix.CAP_SYS_PTRACE, 0},
		{argGofer, files | 1<<unix.CAP_SYS_CHROOT | 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID, files | 1<<unix.CAP_SYS_CHROOT},
	} {
		pids := parts(part.arg0, spec.ID)
		if len(pids) != 1 {
			t.Fatalf("%s runs as %v", part.arg0, pids)
		}
		threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pids[0]))
		if err != nil || len(threads) == 0 {
			t.Fatal(err)
		}
		for _, e := range threads {
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/status", pids[0], e.Name()))
			if err != nil {
				continue // it has ended
			}
			got := strings.Join(regexp.MustCompile(`(?m)^(CapInh|CapPrm|CapEff|NoNewPrivs|Seccomp):.*$`).FindAllString(string(status), -1), " ")
			want := fmt.Sprintf("CapInh:\t%016x CapPrm:\t%016x CapEff:\t%016x NoNewPrivs:\t1 Seccomp:\t2", part.inheritable, part.usable, part.usable)
			if got != want {
				t.Errorf("%s has %s, want %s", part.arg0, got, want)
			}
		}
	}
	if err := s.Destroy(); err != nil {
		t.Error(err)
	}
}
