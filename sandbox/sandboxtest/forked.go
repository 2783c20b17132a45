package sandboxtest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alcove-run/alcove/sandbox"
)

// fromTemplate is what a program does that can be forked: it gets ready, has the
// driver fork, if that wants to, and goes on. As in the Python runtime, what the module
// threading does in a forked child is not done in this one.
const fromTemplate = `
import os, sys, json, socket
register, hooks = os.register_at_fork, []
os.register_at_fork = lambda **hook: hooks.append(hook)
import threading
os.register_at_fork = register
marks = [object() for _ in range(1000)]
try: os.fstat(4)
except OSError: pass
else: exec(compile(open(4).read(), 'template', 'exec'), {})
assert len(hooks) == 1
os.register_at_fork(**hooks[0])
`

// runAgent goes on as agentArgs would have begun.
const runAgent = `
import runpy
sys.argv = ['/var/task/agent.py']
sys.path.insert(0, '/var/task')
runpy.run_path('/var/task/agent.py', run_name='__main__')
`

// forkable gives a spec that runs the agent a template that does the same.
func (s *suite) forkable(t *T, spec sandbox.Spec) sandbox.Spec {
	t.Helper()
	then := ""
	switch {
	case slices.Equal(spec.Args, agentArgs):
		then = runAgent
	case len(spec.Args) == 4 && spec.Args[3] == probeSource(t, "agent"):
		then = spec.Args[3]
	default:
		return spec
	}
	spec.Template, spec.Args = true, []string{"/usr/bin/python3", "-B", "-c", fromTemplate + then}
	spec.Env = []string{"PATH=/usr/bin:/bin", "LANG=C.UTF-8"} // the same for all
	return spec
}

// seeFork notes how a sandbox was started that could have been forked.
func (s *suite) seeFork(t *T, b *box) {
	t.Helper()
	if !b.spec.Template {
		return
	}
	f, ok := b.Sandbox.(interface{ Forked() (bool, string) })
	if !ok {
		t.Fatalf("%T does not tell whether it was forked", b.Sandbox)
	}
	forked, why := f.Forked()
	if forked != (why == "") {
		t.Errorf("forked: %v, and not: %q", forked, why)
	}
	if strings.Contains(why, "failed") {
		t.Errorf("not forked: %s", why)
	}
	s.mu.Lock()
	s.forks[why]++
	s.mu.Unlock()
}

// forked is the suite once more, with sandboxes that are forked.
func (s *suite) forked(t *testing.T) {
	s.fork = true
	defer func() { s.fork = false }()
	s.run(t, "prime", s.prime)
	t.Run("freeze", s.freeze)
	t.Run("door", s.doors)
	t.Run("limits", s.limits)
	s.run(t, "posture", s.posture)
	t.Run("pair", s.pair)
	s.run(t, "late", s.late)
	s.run(t, "usage", s.usage)
	s.run(t, "destroy", s.destroy)
	s.run(t, "daemon", s.daemon)
	s.run(t, "ends", s.forkedEnds)
	s.run(t, "unique", s.forkedUnique)
	s.run(t, "clean", s.forkedClean)
	s.run(t, "most", func(t *T) {
		s.mu.Lock()
		defer s.mu.Unlock()
		t.Logf("started: %v", s.forks)
		if s.forks[""] < 3 {
			t.Errorf("few were forked: %v", s.forks)
		}
	})
}

// prime waits until the template is there.
func (s *suite) prime(t *T) {
	for _, start := range []func() *box{
		func() *box { b, _ := s.agent(t); return b },
		func() *box { b, _, _ := s.blank(t); return b },
	} {
		await(t, "a sandbox that was forked", func() bool {
			forked, why := start().Sandbox.(interface{ Forked() (bool, string) }).Forked()
			if !forked {
				t.Logf("not yet: %s", why)
			}
			return forked
		})
	}
}

// forkedEnds: how a forked program ended is told exactly.
func (s *suite) forkedEnds(t *T) {
	for code, want := range map[string]sandbox.Exit{
		"os._exit(7)":                        {Code: 7},
		"os._exit(0)":                        {},
		"os.kill(os.getpid(), 15)":           {Signal: 15},
		"os.kill(os.getpid(), 9)":            {Signal: 9},
		"import ctypes; ctypes.string_at(0)": {Signal: 11},
		"os.abort()":                         {Signal: 6},
		"os.fork() or __import__('time').sleep(99)\nos._exit(5)": {Code: 5},
	} {
		b, p := s.agent(t)
		if _, err := fmt.Fprintf(p, "{\"code\": %q}\n", code); err != nil {
			t.Fatal(err)
		}
		if e := b.exit(t); e != want {
			t.Errorf("%s: ended with %+v", code, e)
		}
		if err := b.Destroy(); err != nil {
			t.Error(err)
		}
	}
}

// uniqueFacts is what must not be the same in two sandboxes.
const uniqueFacts = `
import random, ssl, uuid, tempfile, secrets, threading
r = {'random': random.random(), 'random2': random.SystemRandom().random(), 'ssl': ssl.RAND_bytes(16).hex(), 'uuid4': str(uuid.uuid4()), 'urandom': os.urandom(16).hex(),
     'temp': next(tempfile._get_candidate_names()), 'token': secrets.token_hex(16)}
socket_ids = [os.readlink('/proc/self/fd/' + n) for n in os.listdir('/proc/self/fd') if os.path.lexists('/proc/self/fd/' + n)]
r['sockets'] = ' '.join(sorted(s for s in socket_ids if s.startswith('socket:')))
r['pipes'] = ' '.join(sorted(s for s in socket_ids if s.startswith('pipe:')))
r['namespaces'] = ' '.join(os.readlink('/proc/self/ns/' + n) for n in ('mnt', 'pid', 'net', 'ipc', 'uts', 'cgroup', 'user'))
`

// forkedUnique: what two from one template share, and what not.
func (s *suite) forkedUnique(t *T) {
	const n = 6
	var peers []*peer
	for range n {
		_, p := s.agent(t)
		peers = append(peers, p)
	}
	seen := map[string]map[string]bool{}
	for _, p := range peers {
		var facts map[string]any
		p.eval(t, uniqueFacts, &facts)
		for what, value := range facts {
			text := fmt.Sprint(value)
			if seen[what] == nil {
				seen[what] = map[string]bool{}
			}
			if seen[what][text] || text == "" {
				t.Errorf("%s is %q in two sandboxes", what, text)
			}
			seen[what][text] = true
		}
		// Nothing is open but what every sandbox has.
		var open []string
		p.eval(t, `
r = []
for n in os.listdir('/proc/self/fd'):
    try: r.append(n + ' ' + os.readlink('/proc/self/fd/' + n).partition(':')[0])
    except OSError: pass`, &open)
		slices.Sort(open)
		if got := strings.Join(open, ", "); got != "0 /dev/null, 1 pipe, 2 pipe, 3 pipe, 4 socket" {
			t.Errorf("open: %s", got)
		}
		// Its own number, and that of its only thread, as the kernel and as the C
		// library know them.
		if got := p.str(t, `
import ctypes, threading
c = ctypes.CDLL(None)
r = str(os.getpid() == int(os.readlink('/proc/self')) == threading.get_native_id() == threading.main_thread().native_id == c.gettid() and os.getppid() in (0, 1) and len(os.listdir('/proc/self/task')) == 1)`); got != "True" {
			t.Errorf("the number of the process: %s", got)
		}
		if got := p.str(t, `
import threading, subprocess
out = []
th = [threading.Thread(target=lambda: out.append(subprocess.check_output(['/bin/echo', 'x']))) for _ in range(4)]
[x.start() for x in th]; [x.join() for x in th]
r = str(len(out))`); got != "4" {
			t.Errorf("threads and processes: %s", got)
		}
	}
}

// forkedClean: after all that, templates hold nothing of any sandbox.
func (s *suite) forkedClean(t *T) {
	b, _ := s.agent(t)
	mark := token()
	_, p := s.agent(t)
	p.eval(t, fmt.Sprintf("keep = %q * 1000", mark), nil)
	var templates []int
	await(t, "templates that hold nothing but their own", func() bool {
		templates = s.templates()
		for _, pid := range templates {
			got := openIn(pid)
			if got != "/dev/null anon_inode pipe pipe socket" && got != "/dev/null pidfd pipe pipe socket" {
				return false
			}
		}
		return len(templates) > 0
	})
	for _, pid := range templates {
		if memoryHas(t, pid, b.spec.ID) || memoryHas(t, pid, mark) || memoryHas(t, pid, s.secret) {
			t.Errorf("template %d has something of a sandbox or of the node in its memory", pid)
		}
		if !memoryHas(t, pid, "marks = [object()") {
			t.Errorf("the search finds nothing in template %d: it proves nothing", pid)
		}
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil || string(raw) != "PATH=/usr/bin:/bin\x00LANG=C.UTF-8\x00" {
			t.Errorf("the environment of template %d is %q, %v", pid, raw, err)
		}
	}
}

// openIn are the kinds of what a process has open, sorted.
func openIn(pid int) string {
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	var open []string
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil {
			kind, _, _ := strings.Cut(target, ":[")
			open = append(open, kind)
		}
	}
	slices.Sort(open)
	return strings.Join(open, " ")
}

// templates are the processes of templates, those of other drivers left out.
func (s *suite) templates() []int {
	var own []int
	for _, pid := range hostProcesses("/template-") {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && strings.Contains(string(raw), "marks = [object()") {
			own = append(own, pid)
		}
	}
	return own
}

// memoryHas looks for a text in a process's memory.
func memoryHas(t *T, pid int, text string) bool {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var mode string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); err != nil || mode[0] != 'r' || to-from > 64<<20 || strings.Contains(line, "[v") {
			continue
		}
		b := make([]byte, to-from)
		if n, err := mem.ReadAt(b, from); err == nil && strings.Contains(string(b[:n]), text) {
			return true
		}
	}
	return false
}
