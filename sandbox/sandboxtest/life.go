package sandboxtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alcove-run/alcove/sandbox"
)

// life is how sandboxes begin and end.
func (s *suite) life(t *testing.T) {
	s.run(t, "exit", s.exitCodes)
	s.run(t, "signal", s.signals)
	s.run(t, "environment", s.environment)
	s.run(t, "arguments", s.arguments)
	s.run(t, "directory", s.directory)
	s.run(t, "user", s.user)
	s.run(t, "pipes", s.pipes)
	s.run(t, "output", s.largeOutput)
	s.run(t, "descriptors", s.descriptors)
	s.run(t, "mounts", s.mounts)
	s.run(t, "usage", s.usage)
	s.run(t, "destroy", s.destroy)
	s.run(t, "parallel", s.parallel)
	s.run(t, "context", s.contexts)
	s.run(t, "failures", s.failures)
	s.run(t, "orphans", s.orphans)
	s.run(t, "daemon", s.daemon)
}

func (s *suite) exitCodes(t *T) {
	for _, code := range []int{0, 1, 7, 255} {
		b := s.start(t, sh(fmt.Sprintf("exit %d", code)))
		if e := b.exit(t); e != (sandbox.Exit{Code: code}) {
			t.Errorf("exit %d arrived as %+v", code, e)
		}
	}
	b := s.start(t)
	if b.ID() != b.spec.ID {
		t.Errorf("ID is %q, want %q", b.ID(), b.spec.ID)
	}
	p := b.wait(t, "agent")
	select {
	case <-b.Done():
		t.Error("Done is closed while the first process runs")
	default:
	}
	if _, err := p.Write([]byte(`{"code": "os._exit(3)"}` + "\n")); err != nil {
		t.Fatal(err)
	}
	if e := b.exit(t); e != (sandbox.Exit{Code: 3}) {
		t.Errorf("ended with %+v", e)
	}
	if e := b.exit(t); e != (sandbox.Exit{Code: 3}) {
		t.Errorf("asked again: %+v", e)
	}
}

// A function can end itself by any signal, as it can on AWS.
func (s *suite) signals(t *T) {
	for script, want := range map[string]syscall.Signal{
		"import ctypes; ctypes.string_at(0)":                syscall.SIGSEGV,
		"import os; os.kill(os.getpid(), 9)":                syscall.SIGKILL,
		"import os; os.kill(os.getpid(), 15)":               syscall.SIGTERM,
		"import os; os.abort()":                             syscall.SIGABRT,
		"import os, signal; os.kill(os.getpid(), 10)":       syscall.SIGUSR1,
		"import os, threading; os.kill(os.getpid(), 31)":    syscall.SIGSYS,
		"import os, resource; os.kill(os.getpid(), 25)":     syscall.SIGXFSZ,
		"import os, signal; signal.raise_signal(11); 1 / 0": syscall.SIGSEGV,
	} {
		if want == syscall.SIGXFSZ {
			continue // Python ignores it
		}
		b := s.start(t, py(script))
		if e := b.exit(t); e.Signal != want || e.OOM || e.Err != nil {
			t.Errorf("%s: ended with %+v, want %v", script, e, want)
		}
	}
}

func (s *suite) environment(t *T) {
	want := []string{"A=1", "EMPTY=", "EQ=a=b=c", "UTF=grün ☃", "PATH=/usr/bin:/bin", "LINES=a\nb", "lower=x"}
	got := strings.Split(strings.TrimSuffix(s.output(t, args("/usr/bin/env", "-0"), env(want...)), "\x00"), "\x00")
	slices.Sort(got) // the order means nothing
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := s.output(t, args("/usr/bin/env", "-0"), env()); got != "" {
		t.Errorf("an empty environment arrived as %q", got)
	}
}

func (s *suite) arguments(t *T) {
	want := []string{"a", "b c", "", "-n", `"quoted' \`, "new\nline", "grün", "$HOME", strings.Repeat("x", 60_000)}
	got := s.output(t, args(append([]string{"/usr/bin/printf", `%s\0`}, want...)...))
	if got != strings.Join(want, "\x00")+"\x00" {
		t.Errorf("got %.300q", got)
	}
	// A program has the name that it was given.
	if got := s.output(t, py("import sys; print(sys.argv, open('/proc/self/cmdline').read().split(chr(0))[0])")); got != "['-c'] /usr/bin/python3\n" {
		t.Errorf("got %q", got)
	}
}

func (s *suite) directory(t *T) {
	for _, dir := range []string{"/var/task", "/tmp", "/"} {
		if got := s.output(t, py("import os; print(os.getcwd())"), func(p *sandbox.Spec) { p.Dir = dir }); got != dir+"\n" {
			t.Errorf("in %q, want %s", got, dir)
		}
	}
}

func (s *suite) user(t *T) {
	who := (&sandbox.Spec{User: s.o.User}).Who()
	got := s.output(t, py(fmt.Sprintf("import os; print(os.getresuid(), os.getresgid(), sorted(set(os.getgroups()) - {%d}), oct(os.umask(0)))", who.GID)))
	groups := strings.ReplaceAll(fmt.Sprint(who.Groups), " ", ", ")
	if want := fmt.Sprintf("(%d, %[1]d, %[1]d) (%d, %[2]d, %[2]d) %s 0o22\n", who.UID, who.GID, groups); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if s.o.Root != "" { // which has its own names
		return
	}
	if got := s.output(t, py("import os, pwd; print(pwd.getpwuid(os.getuid()).pw_name)")); got != sandbox.UserName+"\n" {
		t.Errorf("its name is %s", got)
	}
}

func (s *suite) pipes(t *T) {
	b := s.start(t, sh("echo out; echo err >&2; echo log >&3; cat; echo end"))
	if e := b.exit(t); e != (sandbox.Exit{}) {
		t.Errorf("ended with %+v", e)
	}
	if err := b.Destroy(); err != nil {
		t.Error(err)
	}
	if o, e, l := b.stdout.wait(t), b.stderr.wait(t), b.log.wait(t); o != "out\nend\n" || e != "err\n" || l != "log\n" {
		t.Errorf("stdout %q, stderr %q, log %q", o, e, l)
	}
}

// All that was written before the end arrives.
func (s *suite) largeOutput(t *T) {
	const size = 8 << 20
	got := s.output(t, py(fmt.Sprintf("import sys; sys.stdout.write('x' * (%d - 3)); sys.stdout.write('end')", size)))
	if len(got) != size || !strings.HasSuffix(got, "xend") {
		t.Errorf("%d bytes of %d arrived", len(got), size)
	}
}

func (s *suite) descriptors(t *T) {
	list := py(`
import os
fds = []
for n in range(1024):
    try:
        os.fstat(n)
        fds.append(n)
    except OSError:
        pass
print(fds, repr(os.read(0, 10)))`)
	if got := s.output(t, list); got != "[0, 1, 2, 3] b''\n" {
		t.Errorf("with a log pipe: %s", got)
	}
	// Nothing of this process must slip in, whatever its flags are.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, w.Fd(), syscall.F_SETFD, 0); errno != 0 {
		t.Fatal(errno)
	}
	var logEnd *os.File
	got := s.output(t, list, func(p *sandbox.Spec) { logEnd, p.Log = p.Log, nil; logEnd.Close() })
	if got != "[0, 1, 2] b''\n" {
		t.Errorf("without a log pipe: %s", got)
	}
}

func (s *suite) mounts(t *T) {
	layer := filepath.Join(s.work, "layer")
	if err := errors.Join(os.MkdirAll(filepath.Join(layer, "sub"), 0o755), os.WriteFile(filepath.Join(layer, "sub", "f"), []byte("layer\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	got := s.output(t, sh("cat /opt/sub/f; ls /var/task; ls -a /mnt /var/runtime"), func(p *sandbox.Spec) {
		p.Mounts = append(p.Mounts, sandbox.Mount{Source: layer, Target: "/opt"})
	})
	if want := "layer\nagent.py\ndenied.py\nposture.py\nspare.txt\n/mnt:\n.\n..\n\n/var/runtime:\n.\n..\n"; got != want {
		t.Errorf("got %q", got)
	}
}

func (s *suite) usage(t *T) {
	b, p := s.agent(t)
	p.eval(t, "x = bytearray(32 << 20)", nil)
	one, err := b.Usage()
	if err != nil || one.Memory < 32<<20 || one.Memory > 1<<30 || (one.MemoryPeak != 0 && one.MemoryPeak < one.Memory/2) {
		t.Errorf("with 32 MB in use: %+v, %v", one, err)
	}
	// How long that takes is up to the machine; that it is counted is not.
	await(t, "work to be counted", func() bool {
		p.eval(t, "n = 0\nwhile n < 300000: n += 1", nil)
		two, err := b.Usage()
		if err != nil {
			t.Fatal(err)
		}
		return two.CPU > one.CPU+int64(80*time.Millisecond)
	})
	p.eval(t, "del x", nil)
}

func (s *suite) destroy(t *T) {
	after := s.start(t, sh("exit 0"))
	after.exit(t)
	running, p := s.agent(t)
	frozen, _ := s.agent(t)
	if err := frozen.Freeze(); err != nil {
		t.Error(err)
	}
	early := s.start(t) // the first process may not even have begun
	for name, b := range map[string]*box{"after its exit": after, "while it runs": running, "while it is frozen": frozen, "at once": early} {
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if err := b.Destroy(); err != nil {
					t.Errorf("Destroy %s: %v", name, err)
				}
			})
		}
		wg.Wait()
		select {
		case <-b.Done():
		default:
			t.Errorf("destroyed %s, but Done is open", name)
		}
		if err := b.Destroy(); err != nil {
			t.Errorf("Destroy %s, again: %v", name, err)
		}
		for _, left := range s.leftovers(b.spec.ID) {
			t.Errorf("destroyed %s, left behind: %s", name, left)
		}
		// The others' fates do not matter any more.
		_ = b.Freeze()
		_ = b.Thaw()
		_, _ = b.Usage()
	}
	if e := running.Exit(); e.Signal != syscall.SIGKILL && e.Err == nil && e.Code == 0 {
		t.Errorf("destroyed while it ran, it seems to have ended well: %+v", e)
	}
	if _, err := p.Read(make([]byte, 1)); err == nil {
		t.Error("a destroyed sandbox still talks")
	}
}

func (s *suite) parallel(t *T) {
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			b, p := s.agent(t)
			if got := p.str(t, "r = os.environ['ALCOVE_TEST_ID']"); got != b.spec.ID {
				t.Errorf("%s answers for %s", got, b.spec.ID)
			}
			if err := b.Destroy(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func (s *suite) contexts(t *T) {
	ctx, cancel := context.WithCancel(context.Background())
	b, err := s.create(t, ctx)
	if err != nil {
		t.Fatal(err)
	}
	p := b.wait(t, "agent")
	cancel()
	if got := p.str(t, "r = 'alive'"); got != "alive" {
		t.Errorf("got %q", got)
	}
	if _, err := s.create(t, ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Create with a cancelled context: %v", err)
	}
	// Cancelled at some moment within Create: either answer is right, but
	// nothing may stay behind, which create's clean-up checks.
	for i := range 8 {
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			time.Sleep(time.Duration(i*3) * time.Millisecond)
			cancel()
		}()
		if b, err := s.create(t, ctx); err == nil {
			b.wait(t, "agent")
		} else if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled after %d ms: %v", i*3, err)
		}
		cancel()
	}
}

func (s *suite) failures(t *T) {
	for name, o := range map[string]option{
		"no root":             func(p *sandbox.Spec) { p.Root = filepath.Join(s.work, "nowhere") },
		"no program":          args("/usr/bin/there-is-no-such-program"),
		"no executable":       args("/etc/passwd"),
		"a directory":         args("/usr"),
		"an empty program":    args(""),
		"a relative program":  args("sh"),
		"no mount source":     func(p *sandbox.Spec) { p.Mounts[0].Source = filepath.Join(s.work, "nowhere") },
		"no mount target":     func(p *sandbox.Spec) { p.Mounts[0].Target = "/nowhere" },
		"no socket directory": func(p *sandbox.Spec) { p.SocketDir = filepath.Join(s.work, "nowhere") },
		"no directory":        func(p *sandbox.Spec) { p.Dir = "/nowhere" },
		"no output":           func(p *sandbox.Spec) { p.Stdout.Close(); p.Stdout = nil },
	} {
		if b, err := s.create(t, context.Background(), o); err == nil {
			t.Errorf("%s: Create succeeded (%+v, %s)", name, b.spec.Args, b.stderr)
		}
	}
	for _, id := range []string{"", "short", "../../../../../../../../etc/alcovex", strings.Repeat("G", 32), strings.Repeat("A", 32)} {
		if _, err := s.create(t, context.Background(), func(p *sandbox.Spec) { p.ID = id }); err == nil {
			t.Errorf("Create accepted the id %q", id)
		}
	}
	b, p := s.agent(t)
	if _, err := s.driver.Create(context.Background(), b.again()); err == nil {
		t.Error("Create accepted an id that is in use")
	}
	if got := p.str(t, "r = 'alive'"); got != "alive" {
		t.Errorf("a second Create with its id harmed a sandbox: %q", got)
	}
}

// Processes that outlive the first one do not outlive the sandbox.
func (s *suite) orphans(t *T) {
	b := s.start(t, sh("sleep 1000 & (trap '' TERM HUP INT; sleep 1000 <&- >&- 2>&-) & echo started"))
	if e := b.exit(t); e.Code != 0 || e.Signal != 0 {
		t.Errorf("ended with %+v", e)
	}
	if err := b.Destroy(); err != nil {
		t.Error(err)
	}
	if got := b.stdout.wait(t); got != "started\n" {
		t.Errorf("got %q", got)
	}
}

func (s *suite) daemon(t *T) {
	b, p := s.agent(t)
	p.eval(t, `
import signal
if os.fork() == 0:
    os.setsid()
    if os.fork() != 0:
        os._exit(0)
    for n in range(1, 65):
        try: signal.signal(n, signal.SIG_IGN)
        except (OSError, ValueError): pass
    f = dial('daemon')
    while True: f.read(1)
os.wait()`, nil)
	d := b.wait(t, "daemon")
	if err := b.Destroy(); err != nil {
		t.Error(err)
	}
	// Nobody is left who could hold the other end.
	if err := d.SetReadDeadline(time.Now().Add(t.patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("the daemon still runs: %v", err)
	}
}
