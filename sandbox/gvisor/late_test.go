package gvisor

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/sandbox"
)

// evaluator evaluates expressions for whoever is at the Runtime API's socket.
const evaluator = `
import socket, json, os, sys
def attempt(f, *a):
    try: f(*a)
    except OSError as e: return e.strerror
    return ''
c = socket.socket(socket.AF_UNIX)
c.connect('/run/alcove/runtime.sock')
for line in c.makefile():
    try: r = eval(json.loads(line))
    except Exception as e: r = repr(e)
    c.sendall((json.dumps(r) + '\n').encode())
`

// inside is a sandbox with an evaluator.
type inside struct {
	sandbox.Sandbox
	conn net.Conn
	r    *bufio.Reader
}

func newInside(t testing.TB, d *Driver, spec sandbox.Spec) *inside {
	t.Helper()
	l := listen(t, spec)
	spec.Args = []string{"/usr/bin/python3", "-c", evaluator}
	spec.Dir = "/"
	s, err := d.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Destroy(); err != nil {
			t.Error(err)
		}
	})
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &inside{s, c, bufio.NewReader(c)}
}

// eval returns an expression's value as JSON.
func (in *inside) eval(t testing.TB, expression string) string {
	t.Helper()
	line, err := json.Marshal(expression)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := in.conn.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
	got, err := in.r.ReadString('\n')
	if err != nil {
		t.Fatalf("%s: %v; %+v", expression, err, in.Exit())
	}
	return strings.TrimSpace(got)
}

func (in *inside) expect(t testing.TB, expression, want string) {
	t.Helper()
	if got := in.eval(t, expression); got != want {
		t.Errorf("%s = %s, want %s", expression, got, want)
	}
}

// code makes a directory with files in it that everybody may write to; their
// content is their name.
func code(t testing.TB, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o666); err != nil {
			t.Fatal(err)
		}
		for p := path; p != filepath.Dir(dir); p = filepath.Dir(p) {
			if err := os.Chmod(p, 0o777); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// TestSpecialiseLookedBefore: what the program has seen, listed and held open of
// an empty directory does not hide what comes to be there.
func TestSpecialiseLookedBefore(t *testing.T) {
	d, root := newDriver(t), pythonRoot(t)
	spec := newSpec(t, root)
	spec.Late = []string{"/var/task", "/opt"}
	in := newInside(t, d, spec)
	in.expect(t, `[os.listdir('/var/task'), os.listdir('/opt')]`, "[[], []]")
	in.expect(t, `[os.path.exists('/var/task/app.py'), os.path.exists('/var/task/lib/x.py')]`, "[false, false]")
	in.expect(t, `[os.chdir('/var/task'), globals().update(fd=os.open('/var/task', os.O_RDONLY))]`, "[null, null]")
	before := len(openFiles(t, os.Getpid()))
	if err := in.Sandbox.(sandbox.Specialiser).Specialise([]sandbox.Mount{
		{Source: code(t, "app.py", "lib/x.py"), Target: "/var/task"},
		{Source: code(t, "layer"), Target: "/opt"},
	}, spec.Limits); err != nil {
		t.Fatal(err)
	}
	if after := len(openFiles(t, os.Getpid())); after != before-exchangers {
		t.Errorf("the node had %d open files and has %d", before, after)
	}
	in.expect(t, `sorted(os.listdir('/var/task'))`, `["app.py", "lib"]`)
	in.expect(t, `[os.listdir('/opt'), os.listdir('/var/task/lib'), sorted(os.listdir('.')), sorted(os.listdir(fd))]`,
		`[["layer"], ["x.py"], ["app.py", "lib"], ["app.py", "lib"]]`)
	in.expect(t, `[open(p).read() for p in ('/var/task/app.py', 'lib/x.py', '/opt/layer', '/var/task/../../opt/layer')]`,
		`["app.py", "lib/x.py", "layer", "layer"]`)
	in.expect(t, `[attempt(open, '/var/task/' + n, 'a') for n in ('new', 'app.py', 'lib/x.py')]`,
		`["Read-only file system", "Read-only file system", "Read-only file system"]`)
	in.expect(t, `[attempt(os.mkdir, '/var/task/x'), attempt(os.mkdir, '/opt/x'), attempt(os.unlink, '/var/task/app.py')]`,
		`["Read-only file system", "Read-only file system", "Read-only file system"]`)
}

// TestSpecialiseOnTheHost: what the sandbox's processes hold of the code is a
// mount that is read-only, nosuid and nodev, and that nobody else has.
func TestSpecialiseOnTheHost(t *testing.T) {
	d, root := newDriver(t), pythonRoot(t)
	spec := newSpec(t, root)
	spec.Late = []string{"/var/task"}
	in := newInside(t, d, spec)
	in.expect(t, `os.listdir('/var/task')`, "[]") // and one more descriptor is open
	dir := code(t, "app.py")
	id, err := identifyPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	was := mountsNaming(t, filepath.Base(filepath.Dir(dir)))
	if err := in.Sandbox.(sandbox.Specialiser).Specialise([]sandbox.Mount{{Source: dir, Target: "/var/task"}}, spec.Limits); err != nil {
		t.Fatal(err)
	}
	if is := mountsNaming(t, filepath.Base(filepath.Dir(dir))); !slices.Equal(is, was) {
		t.Errorf("the node's mounts have changed from %q to %q", was, is)
	}
	const wanted = unix.ST_RDONLY | unix.ST_NOSUID | unix.ST_NODEV
	for _, arg0 := range []string{argSentry, argGofer} {
		found := 0
		for _, pid := range parts(arg0, spec.ID) {
			for _, path := range openFiles(t, pid) {
				if got, err := identifyPath(path + "/."); err != nil || got != id {
					continue
				}
				found++
				var st unix.Statfs_t
				if err := unix.Statfs(path+"/.", &st); err != nil || st.Flags&wanted != wanted {
					t.Errorf("%s holds the code with the flags %#x: %v", arg0, st.Flags, err)
				}
			}
		}
		if found == 0 {
			t.Errorf("%s does not hold the code", arg0)
		}
	}
	if left, err := filepath.Glob(filepath.Join(string(layout(d.conf.Dir)), boxesName, spec.ID, "*")); err != nil || !slices.Equal(left, []string{
		filepath.Join(d.conf.Dir, boxesName, spec.ID, exitName), filepath.Join(d.conf.Dir, boxesName, spec.ID, panicName),
	}) {
		t.Errorf("in the sandbox's directory there is %q: %v", left, err)
	}
}

// mountsNaming lists the mounts that the test sees whose root or place has a name in
// it: others come and go meanwhile, of other processes.
func mountsNaming(t testing.TB, name string) (lines []string) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, name) {
			lines = append(lines, line)
		}
	}
	return lines
}

// openFiles lists paths that lead to what a process has open.
func openFiles(t testing.TB, pid int) []string {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if _, err := os.Readlink(path); err == nil { // not the one that read the directory
			out = append(out, path)
		}
	}
	return out
}

// TestSpecialiseMemory: the sandbox is told of the memory that it has got.
func TestSpecialiseMemory(t *testing.T) {
	d, root := newDriver(t), pythonRoot(t)
	for _, memory := range []int64{128 << 20, 1 << 30} {
		spec := newSpec(t, root)
		spec.Limits.Memory = 512 << 20
		spec.Late = []string{"/var/task"}
		in := newInside(t, d, spec)
		in.expect(t, `os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')`, fmt.Sprint(512<<20))
		limits := spec.Limits
		limits.Memory = memory
		if err := in.Sandbox.(sandbox.Specialiser).Specialise(nil, limits); err != nil {
			t.Fatal(err)
		}
		in.expect(t, `os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')`, fmt.Sprint(memory))
		in.expect(t, `int([l for l in open('/proc/meminfo') if l.startswith('MemTotal')][0].split()[1]) * 1024`, fmt.Sprint(memory))
	}
}

// TestSpecialiseFixedLimits: the error names the limit that cannot change.
func TestSpecialiseFixedLimits(t *testing.T) {
	d, root := newDriver(t), pythonRoot(t)
	spec := newSpec(t, root)
	spec.Late = []string{"/var/task"}
	in := newInside(t, d, spec)
	for name, change := range map[string]func(*sandbox.Limits){
		"Tmp":       func(l *sandbox.Limits) { l.Tmp *= 2 },
		"Shm":       func(l *sandbox.Limits) { l.Shm *= 2 },
		"Processes": func(l *sandbox.Limits) { l.Processes++ },
		"OpenFiles": func(l *sandbox.Limits) { l.OpenFiles++ },
	} {
		limits := spec.Limits
		change(&limits)
		if err := in.Sandbox.(sandbox.Specialiser).Specialise(nil, limits); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("another %s: %v", name, err)
		}
	}
	if err := in.Sandbox.(sandbox.Specialiser).Specialise(nil, spec.Limits); err != nil {
		t.Errorf("after what was refused: %v", err)
	}
}

// TestSpecialisePartGone: a sandbox that has lost a part fails, soon, and can be
// destroyed.
func TestSpecialisePartGone(t *testing.T) {
	d, root := newDriver(t), pythonRoot(t)
	for _, arg0 := range []string{argSentry, argGofer} {
		spec := newSpec(t, root)
		spec.Late = []string{"/var/task"}
		in := newInside(t, d, spec)
		for _, pid := range parts(arg0, spec.ID) {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		if err := in.Sandbox.(sandbox.Specialiser).Specialise([]sandbox.Mount{{Source: code(t, "x"), Target: "/var/task"}}, spec.Limits); err == nil {
			t.Errorf("without %s it can be specialised", arg0)
		}
		if err := in.Destroy(); err != nil {
			t.Error(err)
		}
		nothingLeft(t, d, spec.ID)
	}
}
