package gvisor

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/sandbox"
)

// TestDoorEndsAsTheProgram: with TCP, somebody else is the first process, and
// it shows in nothing.
func TestDoorEndsAsTheProgram(t *testing.T) {
	d, root := newDriver(t), pythonRoot(t)
	for script, want := range map[string]sandbox.Exit{
		"exit 0":                  {},
		"exit 255":                {Code: 255},
		"exit 137":                {Code: 137},
		"kill -9 $$":              {Signal: unix.SIGKILL},
		"kill -15 $$":             {Signal: unix.SIGTERM},
		"kill -11 $$":             {Signal: unix.SIGSEGV},
		"kill -6 $$":              {Signal: unix.SIGABRT},
		"kill -13 $$":             {Signal: unix.SIGPIPE},
		"kill -2 $$":              {Signal: unix.SIGINT},
		"sleep 1000 & exit 4":     {Code: 4},
		"kill -15 1; sleep 1000":  {Signal: unix.SIGTERM}, // handed on
		"kill -9 1; sleep 1000":   {Signal: unix.SIGKILL},
		"(exit 3) & wait; exit 5": {Code: 5},
		"(sleep 0 &); exec true":  {},
		"trap 'exit 9' TERM; kill -15 1; while :; do sleep 0.01; done": {Code: 9},
	} {
		spec := newSpec(t, root)
		spec.TCP = true
		spec.Args = []string{"/bin/sh", "-c", script}
		out, s := run(t, d, spec)
		if e := s.Exit(); e != want || out != "" {
			t.Errorf("%s: ended with %+v, want %+v; it wrote %q", script, e, want, out)
		}
		if err := s.Destroy(); err != nil {
			t.Error(err)
		}
	}
}

// TestDoorPassesOn: arguments, environment, descriptors and directory arrive
// as they would without it, HOME not even added.
func TestDoorPassesOn(t *testing.T) {
	d, root := newDriver(t), pythonRoot(t)
	program := []string{"/usr/bin/python3", "-E", "-S", "-c", `
import os, sys
fds = [n for n in range(64) if os.path.exists('/proc/self/fd/%d' % n) and n != 4]
print(sys.argv[1:], sorted(e + '=' + v for e, v in os.environ.items() if e != 'LC_CTYPE'), os.getcwd(), [n for n in fds if not os.get_inheritable(n) or n < 4])
os.write(3, b'log')`, "a b", ""}
	for home, want := range map[string]string{"": "", "HOME=/tmp": "'HOME=/tmp', "} {
		spec := newSpec(t, root)
		spec.TCP, spec.Dir, spec.Args, spec.Env = true, "/tmp", program, []string{"X=1", "A="}
		if home != "" {
			spec.Env = append(spec.Env, home)
		}
		slices.Sort(spec.Env)
		spec.Log = spec.Stdout
		want := fmt.Sprintf("['a b', ''] ['A=', %s'X=1'] /tmp [0, 1, 2, 3]\n", want)
		if got := output(t, d, spec); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestDoorCollectsTheDead: what a function leaves behind does not fill its
// table of processes.
func TestDoorCollectsTheDead(t *testing.T) {
	d, root := newDriver(t), pythonRoot(t)
	spec := newSpec(t, root)
	spec.TCP = true
	spec.Limits.Processes = 64
	spec.Args = []string{"/usr/bin/python3", "-c", `
import os, time
for i in range(100):
    if os.fork() == 0:
        if os.fork() == 0: os._exit(0)
        os._exit(0)
    os.wait()
def state(p):
    try: return open('/proc/%s/stat' % p).read().split(') ')[1][0]
    except OSError: return ''
while 'Z' in [state(p) for p in os.listdir('/proc') if p.isdigit()]: time.sleep(0.001)
print('none left')`}
	if got := output(t, d, spec); got != "none left\n" {
		t.Errorf("got %q", got)
	}
}

// TestDoorWithoutListener: where nobody listens, a connection ends at once.
func TestDoorWithoutListener(t *testing.T) {
	d, root := newDriver(t), pythonRoot(t)
	spec := newSpec(t, root)
	spec.TCP = true
	spec.Args = []string{"/usr/bin/python3", "-c", `
import socket
c = socket.create_connection(("127.0.0.1", 9001))
try: print(c.recv(1))
except ConnectionError as e: print(b'')`}
	if got := strings.TrimSpace(output(t, d, spec)); got != "b''" {
		t.Errorf("got %q", got)
	}
}
