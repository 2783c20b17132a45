package gvisor

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/sandbox"
)

// TestTmpBeyondMemory: a function may fill a /tmp that is much larger than its
// memory, to the byte and no further, and still has its memory; and who takes
// more than that is ended alone.
func TestTmpBeyondMemory(t *testing.T) {
	d, root := newDriver(t), pythonRoot(t)
	bystander := newSpec(t, root)
	bystander.Args = []string{"/bin/sh", "-c", "sleep 1000"}
	other, err := d.Create(t.Context(), bystander)
	if err != nil {
		t.Fatal(err)
	}
	spec := newSpec(t, root)
	spec.Limits.Memory, spec.Limits.Tmp = 128<<20, 512<<20
	spec.Args = []string{"/usr/bin/python3", "-c", `
import errno, os
block, written = os.urandom(1 << 20), 0
with open('/tmp/big', 'wb', buffering=0) as f:
    try:
        while written < 1 << 30: written += f.write(block)
    except OSError as e: print(errno.errorcode[e.errno], written >> 20)
x = bytearray(b'\xa5') * (80 << 20)
print('80 MB', len(x) >> 20, flush=True)
with open('/tmp/big', 'rb') as f: print(f.read(1 << 20) == block, flush=True)
keep = [x]
for i in range(64): keep.append(bytearray(b'\xa5') * (16 << 20))
print('never')`}
	out, s := run(t, d, spec)
	if !strings.HasPrefix(out, "ENOSPC 51") || !strings.HasSuffix(out, "\n80 MB 80\nTrue\n") {
		t.Errorf("it wrote %q", out)
	}
	if e := s.Exit(); !e.OOM || e.Signal != unix.SIGKILL || e.Err != nil {
		t.Errorf("beyond its memory it ended with %+v", e)
	}
	if err := s.Destroy(); err != nil {
		t.Error(err)
	}
	select {
	case <-other.Done():
		t.Errorf("another sandbox ended with it: %+v", other.Exit())
	default:
	}
}

// TestNothingOfTheFunctionOnDisk: once a sandbox runs, neither its environment
// nor what it keeps in /tmp can be found in the driver's directory by name.
func TestNothingOfTheFunctionOnDisk(t *testing.T) {
	d, root := newDriver(t), pythonRoot(t)
	spec := newSpec(t, root)
	secret := newID()
	spec.Env = []string{"SECRET=" + secret}
	spec.Args = []string{"/bin/sh", "-c", "echo " + secret + " >/tmp/f; echo " + secret + " >/dev/shm/f; echo ready; sleep 1000"}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	spec.Stdout, spec.Stderr = w, w
	s, err := d.Create(t.Context(), spec)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(d.conf.Dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte(secret)) {
			t.Errorf("%s holds the function's secret", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	for _, arg0 := range []string{argSentry, argGofer} {
		for _, pid := range parts(arg0, spec.ID) {
			for _, file := range []string{"cmdline", "environ"} {
				text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
				if err != nil || bytes.Contains(text, []byte(secret)) {
					t.Errorf("%s of %s shows the function's secret, or %v", file, arg0, err)
				}
			}
		}
	}
	if err := s.Destroy(); err != nil {
		t.Error(err)
	}
}

// TestPartsHoldNothingOfTheNode: what is open or set in this process, whatever
// its flags, reaches none of a sandbox's host processes.
func TestPartsHoldNothingOfTheNode(t *testing.T) {
	d, root := newDriver(t), pythonRoot(t)
	mark := filepath.Join(t.TempDir(), "open-in-the-node")
	f, err := os.Create(mark)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), syscall.F_SETFD, 0); errno != 0 {
		t.Fatal(errno)
	}
	t.Setenv("ALCOVE_TEST_MARK", mark)
	spec := newSpec(t, root)
	spec.Args = []string{"/bin/sh", "-c", "sleep 1000"}
	s, err := d.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	pids, err := s.(*box).group.Pids()
	if err != nil || len(pids) < 3 {
		t.Fatalf("its processes are %v: %v", pids, err)
	}
	for _, pid := range pids {
		dir := fmt.Sprintf("/proc/%d", pid)
		args, _ := os.ReadFile(dir + "/cmdline")
		env, err := os.ReadFile(dir + "/environ")
		if err != nil || bytes.Contains(env, []byte(mark)) {
			t.Errorf("environment of %.20q: %q, %v", args, env, err)
		}
		fds, err := os.ReadDir(dir + "/fd")
		if err != nil {
			t.Error(err)
		}
		for _, fd := range fds {
			target, _ := os.Readlink(dir + "/fd/" + fd.Name())
			if strings.Contains(target, "open-in-the-node") || target == filepath.Join(d.conf.Dir, lockName) {
				t.Errorf("%.20q has %s open", args, target)
			}
		}
	}
	if err := s.Destroy(); err != nil {
		t.Error(err)
	}
}

// TestForeignParts: an installation of gVisor next to the program, or one that
// the environment names, is not taken for parts of ours.
func TestForeignParts(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	exe := filepath.Join(dir, "program")
	if err := exec.Command("cp", self, exe).Run(); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(dir, "gvisor-bin")
	if err := os.Mkdir(foreign, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"gvisor_sentry", "gvisor-sentry-prewarmer"} {
		if err := os.WriteFile(filepath.Join(foreign, name), []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("GVISOR_SIDECAR_BINARIES_DIR", foreign)
	d, root := newDriver(t), pythonRoot(t)
	d.conf.Exe = exe
	spec := newSpec(t, root)
	spec.Args = []string{"/bin/echo", "ours"}
	if got := output(t, d, spec); got != "ours\n" {
		t.Errorf("got %q", got)
	}
}

// TestTargetsStay: a mount that the tree has no place for is refused, and the
// tree, which all sandboxes share, stays as it is.
func TestTargetsStay(t *testing.T) {
	d := newDriver(t)
	root := filepath.Join(t.TempDir(), "root")
	if err := exec.Command("cp", "-a", pythonRoot(t), root).Run(); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/", filepath.Join(root, "mnt", "link")); err != nil {
		t.Fatal(err)
	}
	before := tree(t, root)
	for _, target := range []string{"/nowhere", "/etc/passwd", "/mnt/link", "/mnt/link/etc", "/mnt/../opt", "/", "opt"} {
		spec := newSpec(t, root)
		spec.Args = []string{"/bin/true"}
		spec.Mounts = []sandbox.Mount{{Source: t.TempDir(), Target: target}}
		if s, err := d.Create(t.Context(), spec); err == nil {
			t.Errorf("a mount on %s is accepted", target)
			if err := s.Destroy(); err != nil {
				t.Error(err)
			}
		}
	}
	if after := tree(t, root); after != before {
		t.Error("the tree has changed")
	}
}

func tree(t *testing.T, root string) string {
	t.Helper()
	out, err := exec.Command("find", root, "-printf", "%p %m %s %T@\n").Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
