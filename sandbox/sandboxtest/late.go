package sandboxtest

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/alcove-run/alcove/sandbox"
)

// late is about sandboxes that are made before it is known for what: they are
// as tight before as after, and what comes late is all that changes.
func (s *suite) late(t *T) {
	s.run(t.T, "blank", s.lateBlank)
	s.run(t.T, "arrives", s.lateArrives)
	s.run(t.T, "frozen", s.lateFrozen)
	s.run(t.T, "limits", s.lateLimits)
	s.run(t.T, "same_groups", s.lateSameGroups)
	s.run(t.T, "refused", s.lateRefused)
	s.run(t.T, "no_links", s.lateNoLinks)
	s.run(t.T, "after_the_end", s.lateAfterTheEnd)
	s.run(t.T, "two", s.lateTwo)
	s.run(t.T, "posture", s.latePosture)
}

// blank starts a sandbox whose code comes late; its agent came in as an argument.
func (s *suite) blank(t *T, opts ...option) (*box, *peer, sandbox.Specialiser) {
	t.Helper()
	b, p := s.agent(t, append([]option{
		func(sp *sandbox.Spec) { sp.Mounts, sp.Late = nil, []string{"/var/task", "/opt"} },
		args("/usr/bin/python3", "-B", "-c", probeSource(t, "agent")),
	}, opts...)...)
	late, ok := b.Sandbox.(sandbox.Specialiser)
	if !ok {
		t.Fatalf("a sandbox with Spec.Late (%T) is no Specialiser", b.Sandbox)
	}
	return b, p, late
}

// task is what the suite mounts late.
func (s *suite) task() []sandbox.Mount {
	return []sandbox.Mount{{Source: s.code, Target: "/var/task"}}
}

func specialise(t *T, late sandbox.Specialiser, mounts []sandbox.Mount, l sandbox.Limits) {
	t.Helper()
	if err := late.Specialise(mounts, l); err != nil {
		t.Fatalf("Specialise: %v", err)
	}
}

// A blank sandbox has nobody's code, and nothing can be put where it will be.
func (s *suite) lateBlank(t *T) {
	_, p, _ := s.blank(t)
	var r map[string][]string
	p.eval(t, "r = {d: os.listdir(d) for d in ('/var/task', '/opt')}", &r)
	for dir, names := range r {
		none(t, "in a blank sandbox's "+dir, names)
	}
	var how map[string]string
	p.eval(t, `r = {d: attempt(os.mkdir, d + '/x') for d in ('/var/task', '/opt')}`, &how)
	allRefused(t, how)
}

// mountsInside are the mounts that the agent sees, by their points.
func mountsInside(t *T, p *peer) map[string][]mountFact {
	t.Helper()
	var list []mountFact
	p.eval(t, loadProbes(t), nil)
	p.eval(t, "r = posture.mounts()", &list)
	out := map[string][]mountFact{}
	for _, m := range list {
		out[m.Point] = append(out[m.Point], m)
	}
	return out
}

func (s *suite) lateArrives(t *T) {
	b, p, late := s.blank(t)
	layer := filepath.Join(s.work, b.spec.ID[:12]+"-layer")
	if err := os.Mkdir(layer, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(layer)
	if err := os.WriteFile(filepath.Join(layer, "layer.txt"), []byte("layer"), 0o666); err != nil {
		t.Fatal(err)
	}
	before := mountsInside(t, p)
	mounts := append(s.task(), sandbox.Mount{Source: layer, Target: "/opt"})
	specialise(t, late, mounts, b.spec.Limits)
	after := mountsInside(t, p)
	for point, list := range after {
		switch {
		case point == "/var/task" || point == "/opt":
			if len(list) != 1 {
				t.Errorf("%d mounts at %s", len(list), point)
			}
		case len(list) != len(before[point]):
			t.Errorf("mounts at %s: %+v, then %+v", point, before[point], list)
		}
	}
	for point := range before {
		if after[point] == nil {
			t.Errorf("%s is gone", point)
		}
	}
	for _, target := range []string{"/var/task", "/opt"} {
		if after[target] == nil {
			t.Fatalf("%s is no mount", target)
		}
	}
	if got := p.str(t, "r = open('/opt/layer.txt').read()"); got != "layer" {
		t.Errorf("the layer has %q", got)
	}
	var names []string
	p.eval(t, "os.chdir('/var/task'); r = sorted(os.listdir('.'))", &names)
	if got := strings.Join(names, " "); got != "agent.py denied.py posture.py spare.txt" {
		t.Errorf("the code has %q", got)
	}
	// Code runs from there.
	if got := p.str(t, "import sys; sys.path.insert(0, '/var/task'); import posture as late; r = late.__file__"); got != "/var/task/posture.py" {
		t.Errorf("the code was imported from %q", got)
	}
	if err := late.Specialise(nil, b.spec.Limits); err == nil {
		t.Error("it can be specialised twice")
	}
}

// A blank that waits frozen can be specialised and thawed in either order.
func (s *suite) lateFrozen(t *T) {
	b, p, late := s.blank(t)
	if err := b.Freeze(); err != nil {
		t.Fatal(err)
	}
	specialise(t, late, s.task(), b.spec.Limits)
	if err := b.Thaw(); err != nil {
		t.Fatal(err)
	}
	if got := p.str(t, "r = open('/var/task/spare.txt').read() and 'there'"); got != "there" {
		t.Errorf("got %q", got)
	}
}

// What it may take is what it was specialised with, up and down.
func (s *suite) lateLimits(t *T) {
	s.run(t.T, "down", func(t *T) {
		b, p, late := s.blank(t, limit(func(l *sandbox.Limits) { l.Memory, l.CPU = 1<<30, 0.25 }))
		l := b.spec.Limits
		l.Memory, l.CPU = 128<<20, 2
		specialise(t, late, s.task(), l)
		weight, quota, err := cpuOf(b.spec.ID)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(quota-2) > 0.05 {
			t.Errorf("with a share of 2 it may use %v processors", quota)
		}
		one := s.start(t, limit(func(l *sandbox.Limits) { l.CPU = 1 }))
		ordinary, _, err := cpuOf(one.spec.ID)
		if err != nil || math.Abs(weight/ordinary/2-1) > 0.2 {
			t.Errorf("a late share of 2 weighs %v, an early one of 1 %v: %v", weight, ordinary, err)
		}
		s.memoryTold(t, p, 128<<20)
		if _, err := fmt.Fprintf(p, "{\"code\": %q}\n", eat); err != nil {
			t.Fatal(err)
		}
		if e := b.exit(t); !e.OOM || e.Err != nil {
			t.Errorf("beyond its late memory it ended with %+v", e)
		}
	})
	s.run(t.T, "up", func(t *T) {
		b, p, late := s.blank(t, limit(func(l *sandbox.Limits) { l.Memory = 64 << 20 }))
		l := b.spec.Limits
		l.Memory = 256 << 20
		specialise(t, late, s.task(), l)
		s.memoryTold(t, p, 256<<20)
		if got := p.str(t, "x = b'\\xa5' * (180 << 20); r = str(len(x)); del x"); got != "188743680" {
			t.Errorf("180 MB of 256: %q", got)
		}
	})
}

// memoryTold: a driver that tells programs how much memory there is tells what
// there is now.
func (s *suite) memoryTold(t *T, p *peer, bytes int64) {
	t.Helper()
	if !s.o.SharesKernel {
		return
	}
	got := p.str(t, "r = [l.split()[1] for l in open('/proc/meminfo') if l.startswith('MemTotal:')][0]")
	if want := fmt.Sprint(bytes >> 10); got != want {
		t.Errorf("/proc/meminfo tells %s KB, want %s", got, want)
	}
	if got := p.str(t, "r = attempt(lambda: open('/proc/meminfo', 'r+'))"); got == "" {
		t.Error("/proc/meminfo can be opened for writing")
	}
}

// Nothing moves: moving a process takes the kernel many milliseconds.
func (s *suite) lateSameGroups(t *T) {
	if !s.o.SharesKernel {
		t.Log("its processes are not the host's")
		return
	}
	b, _, late := s.blank(t)
	groups := func() map[int]string {
		out := map[int]string{}
		for _, pid := range hostProcesses(b.spec.ID) {
			raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
			if err == nil {
				out[pid] = string(raw)
			}
		}
		return out
	}
	before := groups()
	specialise(t, late, s.task(), b.spec.Limits)
	after := groups()
	if len(before) == 0 || len(before) != len(after) {
		t.Errorf("%d processes, then %d", len(before), len(after))
	}
	for pid, was := range before {
		if after[pid] != was {
			t.Errorf("process %d was in %q and is in %q", pid, was, after[pid])
		}
	}
}

func (s *suite) lateRefused(t *T) {
	b, p, late := s.blank(t)
	for name, c := range map[string]struct {
		mounts []sandbox.Mount
		change func(l *sandbox.Limits)
	}{
		"another target":    {mounts: []sandbox.Mount{{Source: s.code, Target: "/mnt"}}},
		"below a target":    {mounts: []sandbox.Mount{{Source: s.code, Target: "/var/task/x"}}},
		"a target twice":    {mounts: append(s.task(), s.task()...)},
		"a relative source": {mounts: []sandbox.Mount{{Source: "code", Target: "/var/task"}}},
		"no memory":         {mounts: s.task(), change: func(l *sandbox.Limits) { l.Memory = 0 }},
	} {
		l := b.spec.Limits
		if c.change != nil {
			c.change(&l)
		}
		if err := late.Specialise(c.mounts, l); err == nil {
			t.Errorf("%s: Specialise succeeded", name)
		}
	}
	var names []string
	p.eval(t, "r = os.listdir('/var/task') + os.listdir('/mnt')", &names)
	none(t, "after what was refused", names)

	b, _, late = s.blank(t)
	if err := late.Specialise([]sandbox.Mount{{Source: filepath.Join(s.work, "nowhere"), Target: "/var/task"}}, b.spec.Limits); err == nil {
		t.Error("a source that is not there: Specialise succeeded")
	}
	for name, target := range map[string]string{"relative": "var/task", "no directory": "/etc/passwd", "not there": "/nowhere", "the root": "/", "a detour": "/var/../var/task"} {
		if _, err := s.create(t, t.Context(), func(sp *sandbox.Spec) { sp.Mounts, sp.Late = nil, []string{target} }); err == nil {
			t.Errorf("Create accepted a late target that is %s", name)
		}
	}
}

// The program cannot have the code put elsewhere: a target is what it was in the
// root tree.
func (s *suite) lateNoLinks(t *T) {
	b, p, late := s.blank(t)
	var how map[string]string
	p.eval(t, `
r = {'rename': attempt(os.rename, '/var/task', '/var/other'), 'rmdir': attempt(os.rmdir, '/var/task'),
     'symlink': attempt(os.symlink, '/tmp', '/var/task/x'), 'rename over': attempt(os.rename, '/tmp', '/var/task')}`, &how)
	allRefused(t, how)
	specialise(t, late, s.task(), b.spec.Limits)
	var names []string
	p.eval(t, "r = os.listdir('/tmp')", &names)
	none(t, "in /tmp", names)
}

func (s *suite) lateAfterTheEnd(t *T) {
	b, p, late := s.blank(t)
	if _, err := p.Write([]byte(`{"code": "os._exit(3)"}` + "\n")); err != nil {
		t.Fatal(err)
	}
	if e := b.exit(t); e != (sandbox.Exit{Code: 3}) {
		t.Errorf("a blank sandbox ended with %+v", e)
	}
	if err := late.Specialise(s.task(), b.spec.Limits); err == nil {
		t.Error("Specialise succeeded after the end")
	}
	if err := b.Destroy(); err != nil {
		t.Error(err)
	}
	if err := late.Specialise(s.task(), b.spec.Limits); err == nil {
		t.Error("Specialise succeeded after Destroy")
	}
}

// Two that were blank together get each its own, at the same time.
func (s *suite) lateTwo(t *T) {
	const n = 4
	type one struct {
		b    *box
		p    *peer
		late sandbox.Specialiser
		code string
	}
	var all []one
	for i := range n {
		b, p, late := s.blank(t)
		code := filepath.Join(s.work, b.spec.ID[:12]+"-code")
		if err := os.Mkdir(code, 0o755); err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(code)
		if err := os.WriteFile(filepath.Join(code, "whose"), fmt.Append(nil, i), 0o644); err != nil {
			t.Fatal(err)
		}
		all = append(all, one{b, p, late, code})
	}
	errs := make(chan error, n)
	for _, o := range all {
		go func() {
			errs <- o.late.Specialise([]sandbox.Mount{{Source: o.code, Target: "/var/task"}}, o.b.spec.Limits)
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Errorf("Specialise: %v", err)
		}
	}
	for i, o := range all {
		if got := o.p.str(t, "r = ' '.join(os.listdir('/var/task')) + open('/var/task/whose').read()"); got != fmt.Sprint("whose", i) {
			t.Errorf("number %d has %q", i, got)
		}
	}
}

// Before and after, the posture is that of any sandbox.
func (s *suite) latePosture(t *T) {
	s.run(t.T, "blank", func(t *T) {
		b, p, _ := s.blank(t, func(sp *sandbox.Spec) { sp.TCP = true })
		s.postureOf(t, b, p, []string{"/var/task"})
	})
	s.run(t.T, "specialised", func(t *T) {
		b, p, late := s.blank(t, func(sp *sandbox.Spec) { sp.TCP = true }, limit(func(l *sandbox.Limits) { l.Memory = 512 << 20 }))
		l := b.spec.Limits
		l.Memory = 256 << 20
		specialise(t, late, s.task(), l)
		s.postureOf(t, b, p, nil)
		s.lateMounts(t, b, p)
	})
}

// lateMounts: the mount has its flags from the start, and no path shows where
// the code lies on the host.
func (s *suite) lateMounts(t *T, b *box, p *peer) {
	t.Helper()
	for _, m := range mountsInside(t, p)["/var/task"] {
		if !slices.Contains(m.Flags, "ro") {
			t.Errorf("not read-only: %+v", m)
		}
		if strings.Contains(m.Source, s.work) || strings.Contains(m.Root, filepath.Base(s.work)) || strings.Contains(strings.Join(m.Super, " "), s.work) {
			t.Errorf("a path of the host: %+v", m)
		}
	}
	if got := p.str(t, "r = open('/proc/self/mountinfo').read()"); strings.Contains(got, b.spec.ID) && s.o.SharesKernel {
		t.Logf("the socket's directory shows: a bind mount (posture/host_paths)")
	}
}
