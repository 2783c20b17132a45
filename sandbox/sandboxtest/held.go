package sandboxtest

import (
	"context"
	"errors"
	"os"
	"regexp"
	"strings"

	"github.com/alcove-run/alcove/sandbox"
)

// held is about sandboxes that are made without a program. A driver that makes
// none says so.
func (s *suite) held(t *T) {
	_, err := s.create(t, context.Background(), func(sp *sandbox.Spec) { sp.Args = nil })
	if errors.Is(err, sandbox.ErrNoProgram) {
		return
	}
	if err != nil {
		t.Fatal(err) // and it has been destroyed without a program
	}
	s.run(t.T, "program", s.heldProgram)
	s.run(t.T, "tcp", s.heldTCP)
	s.run(t.T, "frozen", s.heldFrozen)
	s.run(t.T, "refused", s.heldRefused)
	s.run(t.T, "no_such_program", s.heldNoSuchProgram)
	s.run(t.T, "posture", s.heldPosture)
}

// empty starts a sandbox without a program and code.
func (s *suite) empty(t *T, opts ...option) (*box, sandbox.Starter) {
	t.Helper()
	b := s.start(t, append([]option{func(sp *sandbox.Spec) {
		sp.Mounts, sp.Late = nil, []string{"/var/task", "/opt"}
		sp.Args, sp.Env, sp.Dir = nil, nil, ""
	}}, opts...)...)
	late, ok := b.Sandbox.(sandbox.Starter)
	if !ok {
		t.Fatalf("a sandbox without a program (%T) is no Starter", b.Sandbox)
	}
	return b, late
}

// begin gives an empty sandbox the suite's code and the agent in it.
func (s *suite) begin(t *T, b *box, late sandbox.Starter, env ...string) *peer {
	t.Helper()
	specialise(t, late, s.task(), b.spec.Limits)
	if err := late.Start([]string{"/usr/bin/python3", "-B", "/var/task/agent.py"}, env, "/var/task"); err != nil {
		t.Fatalf("Start: %v", err)
	}
	return b.wait(t, "agent")
}

// The program has what it was given and nothing of what was there before.
func (s *suite) heldProgram(t *T) {
	b, late := s.empty(t)
	p := s.begin(t, b, late, "PATH=/usr/bin:/bin", "A=1", "EMPTY=", "LINES=a\nb")
	// A driver may give a program a home, as it does to those that it starts.
	if got := p.str(t, "r = open('/proc/self/environ').read()"); !regexp.MustCompile("^PATH=/usr/bin:/bin\x00A=1\x00EMPTY=\x00LINES=a\nb\x00(HOME=[^\x00]*\x00)?$").MatchString(got) {
		t.Errorf("its environment is %q", got)
	}
	var pid int
	p.eval(t, "r = os.getpid()", &pid)
	if pid != 1 {
		t.Errorf("it is process %d", pid)
	}
	if got := p.str(t, "r = os.getcwd() + ' ' + open('/proc/self/cmdline').read()"); got != "/var/task /usr/bin/python3\x00-B\x00/var/task/agent.py\x00" {
		t.Errorf("it runs as %q", got)
	}
	if got := p.str(t, "r = ' '.join(sorted(os.readlink('/proc/self/fd/' + f).split(':')[0] for f in os.listdir('/proc/self/fd') if os.path.lexists('/proc/self/fd/' + f)))"); strings.Count(got, "pipe") > 3 {
		t.Errorf("it holds %q", got)
	}
	if got := p.str(t, "r = attempt(os.fstat, 4) and 'closed'"); got != "closed" {
		var who string
		p.eval(t, "r = os.readlink('/proc/self/fd/4')", &who)
		if !strings.HasPrefix(who, "socket:") { // the agent's own
			t.Errorf("descriptor 4 is %q", who)
		}
	}
	if err := late.Start([]string{"/bin/true"}, nil, "/"); err == nil {
		t.Error("it can be started twice")
	}
}

func (s *suite) heldTCP(t *T) {
	b, late := s.empty(t, func(sp *sandbox.Spec) { sp.TCP = true })
	p := s.begin(t, b, late, "PATH=/usr/bin:/bin")
	if got := p.str(t, "import socket; c = socket.create_connection(('127.0.0.1', 9001)); c.close(); r = 'through'"); got != "through" {
		t.Errorf("by TCP: %q", got)
	}
	if got := p.str(t, "r = open('/proc/self/environ').read()"); got != "PATH=/usr/bin:/bin\x00" {
		t.Errorf("its environment is %q", got)
	}
}

// The order waits for the thaw.
func (s *suite) heldFrozen(t *T) {
	b, late := s.empty(t)
	if err := b.Freeze(); err != nil {
		t.Fatal(err)
	}
	specialise(t, late, s.task(), b.spec.Limits)
	if err := late.Start([]string{"/usr/bin/python3", "-B", "/var/task/agent.py"}, nil, "/var/task"); err != nil {
		t.Fatalf("Start: %v", err)
	}
	if err := b.Thaw(); err != nil {
		t.Fatal(err)
	}
	b.wait(t, "agent")
}

func (s *suite) heldRefused(t *T) {
	b, late := s.empty(t)
	for name, err := range map[string]error{
		"no program":           late.Start(nil, nil, "/"),
		"a relative program":   late.Start([]string{"true"}, nil, "/"),
		"a relative directory": late.Start([]string{"/bin/true"}, nil, "tmp"),
	} {
		if err == nil {
			t.Errorf("%s: Start succeeded", name)
		}
	}
	if err := late.Start([]string{"/bin/true"}, nil, "/"); err != nil {
		t.Errorf("after what was refused: %v", err)
	}
	if e := b.exit(t); e != (sandbox.Exit{}) {
		t.Errorf("ended with %+v", e)
	}
	b, late = s.empty(t)
	if err := b.Destroy(); err != nil {
		t.Error(err)
	}
	if err := late.Start([]string{"/bin/true"}, nil, "/"); err == nil {
		t.Error("after Destroy: Start succeeded")
	}
}

func (s *suite) heldNoSuchProgram(t *T) {
	for _, tcp := range []bool{false, true} {
		b, late := s.empty(t, func(sp *sandbox.Spec) { sp.TCP = tcp })
		if err := late.Start([]string{"/var/task/nothing"}, nil, "/"); err != nil {
			t.Fatal(err)
		}
		if e := b.exit(t); e.Code != 125 || e.Err != nil {
			t.Errorf("ended with %+v", e)
		}
		if got := b.stderr.wait(t); !strings.Contains(got, os.ErrNotExist.Error()) && !strings.Contains(got, "no such file") {
			t.Errorf("it said %q", got)
		}
	}
}

// Whoever started it, a program is as confined as any.
func (s *suite) heldPosture(t *T) {
	b, late := s.empty(t, func(sp *sandbox.Spec) { sp.TCP, sp.Late = true, []string{"/var/task"} })
	p := s.begin(t, b, late, "PATH=/usr/bin:/bin")
	s.postureOf(t, b, p, nil)
}
