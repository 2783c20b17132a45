package rootfs

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/alcove-run/alcove/internal/slow"
	"github.com/alcove-run/alcove/sandbox"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := remove(dir); err != nil { // t.TempDir cannot remove read-only directories of other users than root
			t.Error(err)
		}
	})
	return s
}

// remove removes all trees of a directory.
func remove(dir string) error {
	s, err := Open(dir, quiet())
	if err != nil {
		return err
	}
	return s.Prune(context.Background())
}

func tree(t *testing.T, s *Store, w Want) Tree {
	t.Helper()
	tr, err := s.Tree(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func python() Want {
	real, err := filepath.EvalSymlinks("/usr/bin/python3")
	if err != nil {
		return Want{Name: "no python"}
	}
	return Want{
		Name:     "python",
		Programs: []string{"/usr/bin/python3"},
		Dirs:     []string{"/usr/lib/" + filepath.Base(real)},
		Files:    map[string][]byte{"/var/runtime/bootstrap.py": []byte("print('boot')\n")},
	}
}

// inside runs a command with the tree as its root, as the sandbox's user.
func inside(t *testing.T, tr Tree, args ...string) string {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Path, cmd.Err = args[0], nil
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LANG=C.UTF-8"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: tr.Dir}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: sandbox.UID, Gid: sandbox.GID}
	} else {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: sandbox.UID, HostID: os.Getuid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%q: %v\n%s", args, err, out)
	}
	return string(out)
}

// The store's directory is 0700, so that only a bind mount or a chroot made by
// its owner shows a tree to others.
func TestProgramsRun(t *testing.T) {
	s := open(t, t.TempDir())
	py := tree(t, s, python())
	node := tree(t, s, Want{Name: "node", Programs: []string{"/usr/bin/node"}})
	for _, c := range []struct {
		name string
		tree Tree
		args []string
		want string
	}{
		{"python", py, []string{"/usr/bin/python3", "-c", `
import ssl, json, sqlite3, ctypes, asyncio, zoneinfo, lzma, bz2, zlib, hashlib, decimal, uuid, unittest, urllib.request
import http.client, logging, multiprocessing, concurrent.futures, readline, pwd, grp, socket, datetime, locale
assert ctypes.CDLL(None).getpid() > 0
assert len(ssl.create_default_context().get_ca_certs()) > 10, 'no CA certificates'
assert datetime.datetime(2024, 7, 1, tzinfo=zoneinfo.ZoneInfo('Europe/Berlin')).utcoffset().seconds == 7200
assert pwd.getpwuid(993).pw_name == 'sbx_user1051' and grp.getgrgid(990)
assert socket.gethostbyname('localhost') == '127.0.0.1'
assert locale.setlocale(locale.LC_ALL, '') == 'C.UTF-8'
print('fine')`}, "fine\n"},
		{"own file", py, []string{"/usr/bin/python3.11", "/var/runtime/bootstrap.py"}, "boot\n"},
		{"node", node, []string{"/usr/bin/node", "-e", "require('crypto').randomUUID(); console.log(Intl.DateTimeFormat('en', {timeZone: 'Asia/Tokyo'}).resolvedOptions().timeZone)"}, "Asia/Tokyo\n"},
		{"sh", node, []string{"/bin/sh", "-c", "set -e; echo a b | tr a c | sed s/c/x/ | awk '{print $1}' | grep x; date +%Z; test -r /etc/ssl/certs/ca-certificates.crt"}, "x\nUTC\n"},
		{"bash", py, []string{"/bin/bash", "-c", "[[ $(id -un) == sbx_user1051 ]] && curl --version | head -n1 | cut -c1-4"}, "curl\n"},
		{"certificates", py, []string{"/usr/bin/head", "-c27", "/etc/pki/tls/certs/ca-bundle.crt"}, "-----BEGIN CERTIFICATE-----"},
		{"release", py, []string{"/bin/sh", "-c", ". /etc/os-release; echo $VARIANT_ID"}, "alcove\n"},
		{"read-only", py, []string{"/bin/sh", "-c", "touch /x /tmp/x /usr/x /var/task/x 2>&1 | grep -c denied"}, "4\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := inside(t, c.tree, c.args...); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestPostureOfTrees(t *testing.T) {
	s := open(t, t.TempDir())
	for _, w := range []Want{python(), {Name: "base"}} {
		tr := tree(t, s, w)
		files := 0
		err := filepath.WalkDir(tr.Dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			st, err := d.Info()
			if err != nil {
				return err
			}
			in := "/" + strings.TrimPrefix(strings.TrimPrefix(name, tr.Dir), "/")
			sys := st.Sys().(*syscall.Stat_t)
			if int(sys.Uid) != os.Geteuid() {
				t.Errorf("%s: owned by %d", in, sys.Uid)
			}
			switch {
			case st.Mode()&fs.ModeSymlink != 0:
				target, _ := os.Readlink(name)
				if abs := filepath.Join(filepath.Dir(name), target); filepath.IsAbs(target) || !strings.HasPrefix(abs, tr.Dir+"/") {
					t.Errorf("%s leads out of the tree: %s", in, target)
				}
				if real, err := filepath.EvalSymlinks(name); err != nil || !strings.HasPrefix(real, tr.Dir+"/") {
					t.Errorf("%s leads to %s: %v", in, real, err)
				}
			case st.IsDir() && st.Mode() != fs.ModeDir|0o555:
				t.Errorf("%s: mode %v", in, st.Mode())
			case !st.IsDir() && st.Mode() != 0o444 && st.Mode() != 0o555:
				t.Errorf("%s: mode %v", in, st.Mode())
			case !st.IsDir():
				files++
				if sys.Nlink != 1 {
					t.Errorf("%s has %d names: it may be the host's own file", in, sys.Nlink)
				}
			}
			for _, no := range []string{"/home/", "/root", "/usr/local", "/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/machine-id", "/etc/hostname", "/usr/bin/su", "/usr/bin/sudo", "/usr/bin/mount"} {
				if strings.HasPrefix(in, no) {
					t.Errorf("%s is in the tree", in)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if files < 50 {
			t.Errorf("%s: only %d files", w.Name, files)
		}
		for _, name := range mountPoints {
			if es, err := os.ReadDir(tr.Dir + name); err != nil {
				t.Error(err)
			} else if len(es) > 0 && name != "/var" && name != "/var/runtime" && name != "/dev" && name != "/run" {
				t.Errorf("%s is not empty", name)
			}
		}
	}
}

func TestSourcesAreAllowListed(t *testing.T) {
	s := open(t, t.TempDir())
	local := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink("/usr/bin/env", local); err != nil {
		t.Fatal(err)
	}
	for _, w := range []Want{
		{Programs: []string{"/etc/passwd"}},
		{Programs: []string{local}},
		{Programs: []string{"bin/sh"}},
		{Programs: []string{"/usr/bin/../../etc/passwd"}},
		{Programs: []string{"/usr/bin"}},
		{Programs: []string{"/usr/bin/there-is-no-such-program"}},
		{Dirs: []string{"/root"}},
		{Dirs: []string{"/usr/local"}},
		{Dirs: []string{"/usr/local/lib"}},
		{Dirs: []string{"/"}},
		{Files: map[string][]byte{"etc/x": nil}},
		{Files: map[string][]byte{"/etc": nil}},
		{Links: map[string]string{"x": "/y"}},
	} {
		if _, err := s.Tree(t.Context(), w); err == nil {
			t.Errorf("%+v: no error", w)
		}
	}
	if names := list(t, s.dir); len(names) != 0 {
		t.Errorf("left behind: %q", names)
	}
}

// A directory of a distribution can have links to anywhere.
func TestLinksInDirectories(t *testing.T) {
	src, secret := t.TempDir(), t.TempDir()
	s := open(t, t.TempDir())
	s.sources = append(s.sources, src)
	lib := filepath.Join(src, "lib")
	write(t, filepath.Join(secret, "key"), "secret", 0o600)
	write(t, filepath.Join(lib, "a.txt"), "a", 0o6755)
	write(t, filepath.Join(lib, "tests", "t.txt"), "t", 0o644)
	write(t, filepath.Join(src, "beside.txt"), "beside", 0o644)
	for name, target := range map[string]string{
		"in": "a.txt", "abs": filepath.Join(lib, "a.txt"), "beside": "../beside.txt",
		"out": filepath.Join(secret, "key"), "outdir": secret, "shadow": "/etc/shadow", "none": "nowhere", "skipped": "tests/t.txt",
	} {
		if err := os.Symlink(target, filepath.Join(lib, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(lib, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	tr := tree(t, s, Want{Dirs: []string{lib}, Links: map[string]string{"/up": "../../../../etc/hosts", "/abs": "/usr/bin/env"}})
	for name, want := range map[string]string{lib + "/in": "a", lib + "/abs": "a", lib + "/beside": "beside", "/up": "127.0.0.1"} {
		got, err := os.ReadFile(filepath.Join(tr.Dir, name))
		if err != nil || !strings.HasPrefix(string(got), want) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if got := list(t, filepath.Join(tr.Dir, lib)); strings.Join(got, " ") != "a.txt abs beside in skipped" {
		t.Errorf("in the tree: %q", got)
	}
	if st, err := os.Stat(filepath.Join(tr.Dir, lib, "a.txt")); err != nil || st.Mode() != 0o555 {
		t.Errorf("a setuid file arrived as %v, %v", st.Mode(), err)
	}
	if got, err := os.Readlink(filepath.Join(tr.Dir, "abs")); err != nil || got != "usr/bin/env" {
		t.Errorf("absolute link became %q, %v", got, err)
	}
}

func TestDigestFollowsTheHost(t *testing.T) {
	src, dir := t.TempDir(), t.TempDir()
	name := filepath.Join(src, "lib", "a.txt")
	write(t, name, "one", 0o644)
	w := Want{Name: "first", Dirs: []string{filepath.Join(src, "lib")}}
	at := func() Tree {
		s := open(t, dir)
		s.sources = append(s.sources, src)
		return tree(t, s, w)
	}
	one := at()
	w.Name = "second"
	if again := at(); again != one {
		t.Errorf("nothing changed, but %v became %v", one, again)
	}
	// As a package upgrade does it: a new file takes the place of the old one.
	st, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	write(t, name+".new", "two", 0o644)
	if err := errors.Join(os.Chtimes(name+".new", st.ModTime(), st.ModTime()), os.Rename(name+".new", name)); err != nil {
		t.Fatal(err)
	}
	two := at()
	if two.Digest == one.Digest {
		t.Error("a changed file led to the same digest")
	}
	for tr, want := range map[Tree]string{one: "one", two: "two"} {
		if got, err := os.ReadFile(filepath.Join(tr.Dir, name)); err != nil || string(got) != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	// What is wanted stays, whether this store has been asked for it or not.
	s := open(t, dir)
	s.sources = append(s.sources, src)
	if err := s.Prune(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if got := list(t, dir); len(got) != 1 || got[0] != two.Digest {
		t.Errorf("after Prune: %q", got)
	}
	if tr := tree(t, s, w); tr != two {
		t.Errorf("after Prune: %+v, want %+v", tr, two)
	}
	if err := s.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := list(t, dir); len(got) != 1 || got[0] != two.Digest {
		t.Errorf("a tree that sandboxes may stand on was removed: %q", got)
	}
	// If it cannot be told what is wanted, nothing is removed.
	if err := open(t, dir).Prune(t.Context(), Want{Programs: []string{"/usr/bin/no-such-program"}}); err == nil || len(list(t, dir)) != 1 {
		t.Errorf("%v; there is %q", err, list(t, dir))
	}
}

// counter counts the trees that were built.
type counter struct {
	slog.Handler
	built *atomic.Int32
}

func (c counter) Enabled(context.Context, slog.Level) bool { return true }
func (c counter) Handle(_ context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, "built") {
		c.built.Add(1)
	}
	return nil
}

func TestConcurrentCallsBuildOnce(t *testing.T) {
	s := open(t, t.TempDir())
	var built atomic.Int32
	s.log = slog.New(counter{slog.DiscardHandler, &built})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := s.Tree(context.Background(), Want{Name: "base"}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := list(t, s.dir); len(got) != 1 || built.Load() != 1 {
		t.Errorf("built %d times: %q", built.Load(), got)
	}
}

func TestChangeDuringCopy(t *testing.T) {
	src := t.TempDir()
	s := open(t, t.TempDir())
	s.sources = append(s.sources, src)
	name := filepath.Join(src, "lib", "a.txt")
	write(t, name, "one", 0o644)
	p, err := s.plan(t.Context(), Want{Dirs: []string{filepath.Join(src, "lib")}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, name, "changed", 0o644)
	if err := s.build(t.Context(), p, filepath.Join(s.dir, p.digest())); !errors.Is(err, errChanged) {
		t.Errorf("got %v", err)
	}
	if got := list(t, s.dir); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := s.build(t.Context(), p, filepath.Join(s.dir, p.digest())); !errors.Is(err, errChanged) {
		t.Errorf("got %v", err)
	}
}

func TestCancelledBuildLeavesNothing(t *testing.T) {
	s := open(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	p, err := s.plan(ctx, Want{})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, _, err := s.realize(ctx, p); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if got := list(t, s.dir); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
}

func TestCopiesAreExact(t *testing.T) {
	s := open(t, t.TempDir())
	tr := tree(t, s, Want{})
	host, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(tr.Dir, "/bin/sh"))
	if err != nil || !bytes.Equal(got, host) {
		t.Errorf("/bin/sh differs from the host's: %v", err)
	}
	st, err := os.Stat("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	if in, err := os.Stat(filepath.Join(tr.Dir, "/bin/sh")); err != nil || !in.ModTime().Equal(st.ModTime()) {
		t.Errorf("times differ (byte code depends on them): %v", err)
	}
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func write(t *testing.T, name, content string, mode fs.FileMode) {
	t.Helper()
	err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(content), 0o600), syscall.Chmod(name, uint32(mode)))
	if err != nil {
		t.Fatal(err)
	}
}

func await(t *testing.T, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(slow.Patience(time.Minute)); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited too long")
		}
	}
}

// Programs that were linked against a libc older than 2.34 name its parts, all of
// which the host still has, if only to be named.
func TestTreesHaveTheWholeLibc(t *testing.T) {
	tr := tree(t, open(t, t.TempDir()), Want{Name: "base"})
	have := make(map[string]bool)
	err := filepath.WalkDir(tr.Dir, func(name string, _ fs.DirEntry, err error) error {
		have[filepath.Base(name)] = true
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"libc.so.6", "libdl.so.2", "libm.so.6", "libpthread.so.0", "librt.so.1", "libutil.so.1", "libresolv.so.2",
		"libanl.so.1", "libnss_files.so.2", "libnss_dns.so.2", "libnss_compat.so.2", "libgcc_s.so.1"} {
		if !have[name] {
			t.Errorf("%s is missing", name)
		}
	}
}
