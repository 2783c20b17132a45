package sandboxtest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/alcove-run/alcove/sandbox"
)

// denied tries the system calls of probe/denied.py, each a subtest.
func (s *suite) denied(t *T, p *peer) {
	var tried []struct {
		Name, How string
		Refused   bool
	}
	ofMany := *t
	ofMany.patience *= 8 // there are many, and each may take a process of its own
	p.eval(&ofMany, "r = denied.collect()", &tried)
	if len(tried) < 90 {
		t.Errorf("only %d calls were tried", len(tried))
	}
	for _, c := range tried {
		s.run(t.T, c.Name, func(t *T) {
			switch {
			case c.How == "":
				t.Error("succeeded")
			case strings.HasPrefix(c.How, "broken"):
				t.Error(c.How)
			case !c.Refused:
				t.Errorf("was not refused: %s", c.How)
			}
		})
	}
}

// checkHostPids: no number names a process of the host.
func checkHostPids(t *T, p *peer) {
	var reached []int
	p.eval(t, fmt.Sprintf(`
r = []
for pid in %s:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        continue
    except PermissionError:
        pass
    r.append(pid)`, fmt.Sprintf("[%d, %d]", os.Getpid(), os.Getppid())), &reached)
	if len(reached) > 0 {
		t.Errorf("processes of the host answer to a signal: %v", reached)
	}
	// Numbers in a sandbox begin at 1, and few were given out yet: to its own
	// processes and their threads.
	var far []int
	p.eval(t, `
r = []
for pid in list(range(128, 4096)) + [65535, 99999]:
    try:
        os.kill(pid, 0)
        r.append(pid)
    except ProcessLookupError:
        pass
    except PermissionError:
        r.append(pid)`, &far)
	if len(far) > 0 {
		t.Errorf("processes with high numbers exist: %v", far[:min(len(far), 20)])
	}
}

// checkOwnSetuid: a set-uid bit in /tmp changes nothing.
func checkOwnSetuid(t *T, p *peer, who sandbox.User) {
	got := p.str(t, `
import shutil, subprocess
shutil.copy('/usr/bin/python3', '/tmp/suid')
attempt(os.chmod, '/tmp/suid', 0o6755)
r = subprocess.check_output(['/tmp/suid', '-S', '-c', 'import os; print(os.getresuid(), os.getresgid(), [l for l in open("/proc/self/status") if l.startswith("CapEff")][0].split()[1])']).decode()
os.unlink('/tmp/suid')`)
	if got != fmt.Sprintf("(%d, %[1]d, %[1]d) (%d, %[2]d, %[2]d) 0000000000000000\n", who.UID, who.GID) {
		t.Errorf("got %q", got)
	}
}

// checkInit: process 1, if it is not the function itself, shows nothing of the
// host. (The function may end it, and with it only its own sandbox.)
func checkInit(t *T, p *peer, f *facts) {
	if f.Pid == 1 {
		return // there is nobody else
	}
	var open []string
	p.eval(t, `
r = []
if attempt(os.listdir, '/proc/1/fd') is None:
    for n in os.listdir('/proc/1/fd'):
        try: r.append(os.readlink('/proc/1/fd/' + n))
        except OSError: pass`, &open)
	for _, target := range open {
		if strings.HasPrefix(target, "/") && target != "/dev/null" {
			t.Errorf("process 1 has %s open, for everybody to use", target)
		}
	}
}

func checkKeyring(t *T, p *peer) {
	var keys map[string]string
	p.eval(t, "r = {'keys': posture.read('/proc/keys')}", &keys)
	if k := keys["keys"]; k != "" && !strings.HasPrefix(k, "!") {
		t.Errorf("/proc/keys says %q", k)
	}
}

// fromHost looks at the sandbox's processes from the host's side, where
// nothing can be made up.
func (s *suite) fromHost(t *T, b *box) {
	var own []int
	for _, pid := range hostProcesses(b.spec.ID) {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err == nil && strings.Contains(string(raw), "ALCOVE_TEST_ID="+b.spec.ID) {
			own = append(own, pid)
		}
	}
	for _, pid := range hostProcesses(b.spec.ID) {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && s.fork && !strings.HasPrefix(string(raw), "init\x00") {
			own = append(own, pid) // its environment is the template's
		}
	}
	if len(own) == 0 {
		t.Fatal("no process of the sandbox can be found on the host")
	}
	for _, pid := range own {
		s.run(t.T, "namespaces", func(t *T) {
			for _, ns := range []string{"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"} {
				mine, err := os.Readlink("/proc/self/ns/" + ns)
				if err != nil {
					t.Fatal(err)
				}
				its, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, ns))
				if err != nil || its == mine {
					t.Errorf("%s namespace is %s, the host's is %s: %v", ns, its, mine, err)
				}
			}
		})
		status := hostStatus(pid)
		s.run(t.T, "privileges", func(t *T) {
			for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
				expect(t, set, status[set], "0000000000000000")
			}
			expect(t, "NoNewPrivs", status["NoNewPrivs"], "1")
			expect(t, "Seccomp", status["Seccomp"], "2")
		})
		s.run(t.T, "user", func(t *T) {
			if ids := strings.Fields(status["Uid"]); len(ids) != 4 || slices.Contains(ids, "0") {
				t.Errorf("on the host, it is user %q", ids)
			}
			if ids := strings.Fields(status["Gid"]); len(ids) != 4 || slices.Contains(ids, "0") {
				t.Errorf("on the host, it is group %q", ids)
			}
			if g := strings.Fields(status["Groups"]); slices.Contains(g, "0") {
				t.Errorf("on the host, it is in the groups %q", g)
			}
		})
		s.run(t.T, "descriptors", func(t *T) {
			for _, pid := range s.inside(b.spec.ID, pid) {
				fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
				if err != nil {
					t.Fatal(err)
				}
				// A reaper, which runs nobody's code, may hold the sandbox's own link
				// for whoever serves it.
				line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
				holder := b.spec.Link && strings.HasPrefix(string(line), "init\x00")
				for _, fd := range fds {
					target, err := os.Readlink(fd)
					if holder && strings.HasSuffix(target, "/net/tun") {
						continue
					}
					if err == nil && strings.HasPrefix(target, "/") && target != "/dev/null" {
						t.Errorf("%s is %s", fd, target)
					}
				}
			}
		})
		s.run(t.T, "cgroup", func(t *T) {
			raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(raw), b.spec.ID) {
				t.Errorf("it is in no cgroup of its own: %q", raw)
			}
		})
		break // one process stands for all: they come from the first
	}
}

// inside are the processes that share a pid namespace with pid.
func (s *suite) inside(id string, pid int) []int {
	ns := func(pid int) string {
		name, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid))
		if err != nil {
			return "" // it has ended
		}
		return name
	}
	var out []int
	for _, other := range hostProcesses(id) {
		if n := ns(other); n != "" && n == ns(pid) {
			out = append(out, other)
		}
	}
	return out
}

func hostStatus(pid int) map[string]string {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	out := make(map[string]string)
	for line := range strings.Lines(string(raw)) {
		if k, v, ok := strings.Cut(line, ":"); ok {
			out[k] = strings.TrimSpace(v)
		}
	}
	return out
}
