package namespace

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove/internal/slow"
	"github.com/alcove-run/alcove/sandbox"
)

// A talker is a Python program in a sandbox that evaluates lines.
type talker struct {
	*site
	box  *box
	conn net.Conn
	r    *bufio.Reader
}

const talk = `
import fcntl, os, socket, sys, struct, ctypes
s = socket.socket(socket.AF_UNIX); s.connect("/run/alcove/runtime.sock")
f = s.makefile("rw")
for line in f:
    try: r = eval(line)
    except Exception as e: r = e
    f.write(repr(r) + "\n"); f.flush()`

func (s *site) talker(change ...func(*sandbox.Spec)) *talker {
	s.Helper()
	spec, l := s.spec("/usr/bin/python3", "-c", talk)
	defer l.Close()
	for _, c := range change {
		c(&spec)
	}
	b := s.create(spec).(*box)
	s.Cleanup(func() {
		if err := b.Destroy(); err != nil {
			s.Error(err)
		}
	})
	if err := l.(*net.UnixListener).SetDeadline(time.Now().Add(slow.Patience(time.Minute))); err != nil {
		s.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { c.Close() })
	return &talker{s, b, c, bufio.NewReader(c)}
}

func (k *talker) eval(expr string) string {
	k.Helper()
	fmt.Fprintln(k.conn, expr)
	line, err := k.r.ReadString('\n')
	if err != nil {
		k.Fatalf("%s: %v", expr, err)
	}
	return strings.TrimSuffix(line, "\n")
}

func (k *talker) want(expr, want string) {
	k.Helper()
	if got := k.eval(expr); got != want {
		k.Errorf("%s is %s, want %s", expr, got, want)
	}
}

// Sandboxes share files, but neither locks on them nor news of their use.
func TestSharedFilesShareNothingElse(t *testing.T) {
	s := newSite(t)
	for _, name := range []string{"lock", "watched"} {
		if err := os.WriteFile(filepath.Join(s.code, name), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	a, b := s.talker(), s.talker()
	for _, file := range []string{"/var/task/lock", "/etc/passwd", "/usr/bin/python3", "/", "/var/task", "/dev/null", "/proc/cpuinfo", "/proc/meminfo", "/dev"} {
		lock := fmt.Sprintf("fcntl.flock(globals().setdefault('f%s', os.open(%q, os.O_RDONLY)), fcntl.LOCK_EX | fcntl.LOCK_NB)", strings.ReplaceAll(strings.Map(letters, file), " ", ""), file)
		a.want(lock, "None")
		b.want(lock, "None")
	}
	watch := `globals().__setitem__('libc', ctypes.CDLL(None, use_errno=True)), globals().__setitem__('n', libc.inotify_init1(os.O_NONBLOCK))`
	a.eval(watch)
	for _, file := range []string{"/var/task/watched", "/var/task", "/etc/passwd", "/etc"} {
		if got := a.eval(fmt.Sprintf("libc.inotify_add_watch(n, %q.encode(), 0xfff)", file)); strings.HasPrefix(got, "-") {
			t.Fatalf("watching %s: %s", file, got)
		}
	}
	for _, file := range []string{"/var/task/watched", "/etc/passwd"} {
		b.want(fmt.Sprintf("len(open(%q).read()) > 0", file), "True")
	}
	if got := a.eval("os.read(n, 4096)"); !strings.HasPrefix(got, "BlockingIOError") {
		t.Errorf("one sandbox sees what another opens: %s", got)
	}
	// The watch works.
	a.want("len(open('/var/task/watched').read())", "1")
	if got := a.eval("os.read(n, 4096)"); !strings.HasPrefix(got, "b'") {
		t.Errorf("a watch does not see the own process: %s", got)
	}
}

func letters(r rune) rune {
	if r >= 'a' && r <= 'z' {
		return r
	}
	return '_'
}

// What programs learn of the machine is what they have of it.
func TestMachineIsTheSandbox(t *testing.T) {
	s := newSite(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	k := s.talker(func(sp *sandbox.Spec) { sp.Stdout = w })
	k.want(`[l.split()[1] for l in open('/proc/meminfo') if l.startswith('MemTotal')]`, "['131072']")
	k.want(`len([l for l in open('/proc/stat') if l.startswith('cpu')]) - 1 == os.cpu_count()`, "True")
	k.want("os.uname().nodename", "'sandbox'")
	k.want("open('/proc/loadavg').read().split()[0]", "'0.00'")
	k.want("sorted(os.listdir('/proc/sys'))", "[]")
	k.want("open('/proc/cmdline').read()", "''")
	k.want("os.open('/dev/stdout', os.O_WRONLY) > 0", "True")
	k.want("open('/proc/self/comm', 'w').write('name')", "4")
}

// Two nodes' worth of sandboxes never have one user.
func TestUsersAreUnique(t *testing.T) {
	s := newSite(t)
	seen := map[string]bool{}
	for range 3 {
		k := s.talker()
		k.want("(os.getuid(), os.getgid())", "(993, 990)")
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", onlyChild(t, k.box.proc.Pid)))
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(string(status), "Uid:\t")
		uid, _, _ := strings.Cut(after, "\t")
		if seen[uid] || len(uid) != 10 {
			t.Errorf("user %s, after %v", uid, seen)
		}
		seen[uid] = true
		if err := k.box.Destroy(); err != nil { // and not again after it
			t.Error(err)
		}
	}
}

func TestIDsAreUsedInTurn(t *testing.T) {
	s := newIDs([]byte{1, 2, 3, 4})
	first, err := s.take()
	if err != nil {
		t.Fatal(err)
	}
	s.give(first)
	seen := map[uint32]bool{first: true, first + 1: true}
	for i := range sandbox.MaxGroups {
		seen[s.group(i)] = true
	}
	for range idPairs - 1 {
		id, err := s.take()
		if err != nil || seen[id] || seen[id+1] || id < s.base || id+1 >= s.base+idStretch || id+1 >= 1<<31-1 {
			t.Fatalf("%d, %v", id, err)
		}
		seen[id], seen[id+1] = true, true
	}
	if len(seen) != idStretch {
		t.Errorf("%d ids are used, of %d", len(seen), idStretch)
	}
	if id, err := s.take(); err != nil || id != first {
		t.Errorf("%d, %v, want %d again", id, err, first)
	}
	if _, err := s.take(); err == nil {
		t.Error("more ids than there are")
	}
}

// Without loop devices /tmp is memory, with its size all the same.
func TestTmpInMemory(t *testing.T) {
	s := newSite(t)
	stock := s.driver.scratch
	s.driver.scratch = nil
	defer func() { s.driver.scratch = stock }()
	k := s.talker(func(sp *sandbox.Spec) { sp.Limits.Tmp = 4 << 20 })
	k.want("os.statvfs('/tmp').f_blocks * os.statvfs('/tmp').f_frsize", "4194304")
	k.want("[open('/tmp/x', 'wb').write(b'x' * (3 << 20))]", "[3145728]")
	if got := k.eval("open('/tmp/y', 'wb').write(b'x' * (3 << 20))"); !strings.HasPrefix(got, "OSError(28") {
		t.Errorf("beyond the size: %s", got)
	}
}

// A program without the launcher starts itself in its place.
func TestNodeAsLauncher(t *testing.T) {
	s := newSite(t)
	path := s.driver.launcher.path
	s.driver.launcher.path = "/proc/self/exe"
	defer func() { s.driver.launcher.path = path }()
	s.talker().want("os.getuid()", "993")
}

// Sandboxes come and go and leave nothing in this process or on the machine.
func TestNothingAccumulates(t *testing.T) {
	s := newSite(t)
	count := func() (fds, loops int) {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries), len(s.ownLoops())
	}
	run := func() {
		spec, l := s.spec("/bin/sh", "-c", "echo x > /tmp/x; exit 5")
		defer l.Close()
		b := s.create(spec)
		<-b.Done()
		if e := b.Exit(); e.Code != 5 || e.Err != nil {
			t.Errorf("%+v", e)
		}
		if err := b.Destroy(); err != nil {
			t.Error(err)
		}
	}
	run()
	s.settle(512 << 20)
	fds, loops := count()
	for range 15 {
		run()
	}
	s.settle(512 << 20)
	err := eventually(t.Context(), slow.Patience(time.Minute), func() (bool, error) {
		f, l := count()
		return f <= fds && l <= loops, nil
	})
	if err != nil {
		f, l := count()
		t.Errorf("descriptors %d, then %d; loop devices %d, then %d", fds, f, loops, l)
	}
	if err := s.driver.Close(); err != nil {
		t.Error(err)
	}
	if err := eventually(t.Context(), slow.Patience(time.Minute), func() (bool, error) { return len(s.ownLoops()) == 0, nil }); err != nil {
		t.Errorf("loop devices after Close: %v", s.ownLoops())
	}
}

// ownLoops lists the loop devices whose file is, nameless, in this site's
// directory.
func (s *site) ownLoops() []string {
	s.Helper()
	devices, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		s.Fatal(err)
	}
	var own []string
	for _, d := range devices {
		f, err := os.Open(d)
		if err != nil {
			continue // freed meanwhile
		}
		raw, _ := io.ReadAll(f)
		f.Close()
		if strings.HasPrefix(string(raw), s.dir) {
			own = append(own, d)
		}
	}
	return own
}
