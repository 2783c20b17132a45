package gvisor

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const ordinaryEnv = "ALCOVE_TEST_ORDINARY"

// TestOrdinaryOnce does, in a process that TestAsAnOrdinaryUser starts, what is
// looked at there.
func TestOrdinaryOnce(t *testing.T) {
	dir := os.Getenv(ordinaryEnv)
	if dir == "" {
		return // nothing is tested here
	}
	t.Setenv("TMPDIR", dir)
	t.Setenv("ALCOVE_TEST_ROOTS", filepath.Join(dir, "roots")) // of which only root can remove all
	d, root := newCgroupless(t, filepath.Join(dir, "driver")), pythonRoot(t)
	spec := newSpec(t, root)
	spec.Args = []string{"/bin/sh", "-c", "echo ran as $(id -u 2>/dev/null || echo somebody); echo > /bin/mine; echo kept > /tmp/mine && cat /tmp/mine"}
	if out := output(t, d, spec); !strings.Contains(out, "ran as") || !strings.Contains(out, "cannot create /bin/mine") || !strings.Contains(out, "kept") {
		t.Errorf("it said %q", out)
	}
	nothingLeft(t, d, spec.ID)

	spec = newSpec(t, root)
	spec.Args, spec.Link = []string{"/bin/sh", "-c", "sleep 1000"}, true
	s, err := d.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	b := s.(*box)
	own, err := os.Readlink("/proc/self/ns/user")
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]*process{"sentry": b.sentry, "gofer": b.gofer} {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
		if err != nil {
			t.Fatal(err)
		}
		fields := map[string]string{}
		for line := range strings.Lines(string(status)) {
			key, value, _ := strings.Cut(line, ":")
			fields[key] = strings.TrimSpace(value)
		}
		if fields["Seccomp"] != "2" || fields["NoNewPrivs"] != "1" || !strings.HasPrefix(fields["Uid"], strconv.Itoa(os.Getuid())) {
			t.Errorf("%s: %v", name, fields)
		}
		caps, err := strconv.ParseUint(fields["CapEff"], 16, 64)
		for _, c := range []int{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_SETPCAP} {
			if err != nil || caps&(1<<c) != 0 {
				t.Errorf("%s has capability %d: %s (%v)", name, c, fields["CapEff"], err)
			}
		}
		if ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/user", p.pid)); err == nil && ns == own {
			t.Errorf("%s is in the node's user namespace", name)
		}
	}
	if b.Link() == nil {
		t.Error("it has no link")
	}
	if err := s.Destroy(); err != nil {
		t.Error(err)
	}
	nothingLeft(t, d, spec.ID)

	spec = newSpec(t, root)
	spec.Args, spec.Late = []string{"/bin/sh"}, []string{"/var/task"}
	if _, err := d.Create(t.Context(), spec); !errors.Is(err, errNoLate) {
		t.Errorf("with something late: %v", err)
	}
}

// TestAsAnOrdinaryUser: sandboxes are made without root's rights, behind the same
// walls, and leave nothing.
func TestAsAnOrdinaryUser(t *testing.T) {
	const nobody = 65534
	dir, err := os.MkdirTemp("", "sbx-")
	if err == nil {
		err = os.Chown(dir, nobody, nobody)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestOrdinaryOnce$", "-test.v")
	cmd.Env = []string{ordinaryEnv + "=" + dir}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS: TestOrdinaryOnce") {
		t.Errorf("%v: %s", err, out)
	}
}
