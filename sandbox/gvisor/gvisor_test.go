package gvisor

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/cgroup"
	"github.com/alcove-run/alcove/sandbox/rootfs"
	"github.com/alcove-run/alcove/sandbox/sandboxtest"
)

func TestMain(m *testing.M) {
	Main()
	sandboxtest.Main(m, func(dir string) (sandbox.Driver, error) {
		return open(dir, slog.New(slog.DiscardHandler))
	})
}

// TestSuite runs what every driver must pass.
func TestSuite(t *testing.T) {
	sandboxtest.Run(t, sandboxtest.Options{
		New: func(t *testing.T, dir string) sandbox.Driver {
			d, err := open(dir, slog.New(slog.NewTextHandler(t.Output(), nil)))
			if err != nil {
				t.Fatal(err)
			}
			return d
		},
		Allowed: allowed,
		Keeps:   map[string]string{programPrefix + "*": "the embedded program, for the next start", doorPrefix + "*": "the embedded door, likewise", installedName: "what tells of both"},
	})
}

// allowed are the suite's subtests in which gVisor differs.
var allowed = map[string]string{
	"life/environment": "gVisor adds HOME, as /etc/passwd has it, to an environment that lacks it (TestEnvironment holds the rest)",

	"posture/mount_flags/root":       noFlags,
	"posture/mount_flags/tmp":        noFlags,
	"posture/mount_flags/dev_pts":    noFlags,
	"posture/mount_flags/dev_shm":    noFlags,
	"posture/mount_flags/var_task":   noFlags,
	"posture/mount_flags/run_alcove": noFlags,

	"posture/kernel_reads": "/proc/cmdline is a constant of gVisor's",
	"posture/sysfs":        "the product name is a constant of ours, where gVisor would tell the host's",
	"posture/devices":      "/dev/fuse and /dev/net/tun are gVisor's own and need privileges that nobody in the sandbox can have",

	"posture/denied/socket_netlink_uevent": "gVisor has this family, with nothing in it",
	"posture/denied/nice":                  "gVisor remembers the number and does nothing else",
	"posture/denied/oom_score":             "gVisor remembers the number and does nothing else",

	"late/posture/blank/mounts":                emptySlot,
	"late/posture/blank/mount_flags/opt":       noFlags,
	"late/posture/specialised/mounts":          emptySlot,
	"late/posture/specialised/mount_flags/opt": noFlags,
}

const emptySlot = "where something may come there is a mount of an empty directory"

const noFlags = "gVisor has no such flag: it honours no set-uid bit anywhere, and opens no device file but its own"

// open makes a driver with cgroups that are told by its directory.
func open(dir string, log *slog.Logger) (*Driver, error) {
	sum := sha256.Sum256([]byte(dir))
	groups, err := cgroup.Open("gvisor-test-"+hex.EncodeToString(sum[:8]), log)
	if err != nil {
		return nil, err
	}
	return New(context.Background(), Config{Dir: dir, Cgroups: groups, Log: log})
}

func newID() string {
	b := make([]byte, 16)
	rand.Read(b)
	return hex.EncodeToString(b)
}

func pythonRoot(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("ALCOVE_TEST_ROOTS")
	if dir == "" {
		dir = t.TempDir() // else one that the caller keeps between runs
	}
	store, err := rootfs.Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	tree, err := store.Tree(context.Background(), rootfs.Want{
		Name: "python3", Programs: []string{"/usr/bin/python3"}, Dirs: []string{"/usr/lib/python3.11"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree.Dir
}

func newDriver(t testing.TB) *Driver {
	t.Helper()
	d, err := open(t.TempDir(), slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func newSpec(t testing.TB, root string) sandbox.Spec {
	t.Helper()
	null, err := os.OpenFile("/dev/null", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { null.Close() })
	return sandbox.Spec{
		ID: newID(), Root: root, SocketDir: t.TempDir(), Dir: "/var/task",
		Limits: sandbox.Limits{Memory: 128 << 20, Tmp: 512 << 20, Shm: 64 << 20, CPU: 1, Processes: 1024, OpenFiles: 1024},
		Stdout: null, Stderr: null,
	}
}

// listen opens the Runtime API's socket of a sandbox to be.
func listen(t testing.TB, spec sandbox.Spec) net.Listener {
	t.Helper()
	path := filepath.Join(spec.SocketDir, sandbox.SocketName)
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	return l
}

// output runs a sandbox to its end, destroys it, and returns what it wrote to
// either output.
func output(t testing.TB, d *Driver, spec sandbox.Spec) string {
	t.Helper()
	out, s := run(t, d, spec)
	if err := s.Destroy(); err != nil {
		t.Error(err)
	}
	return out
}

// run is output that leaves the sandbox's remains.
func run(t testing.TB, d *Driver, spec sandbox.Spec) (string, sandbox.Sandbox) {
	t.Helper()
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
	out, err := io.ReadAll(r)
	if err != nil {
		t.Error(err)
	}
	<-s.Done()
	return string(out), s
}

// quiet waits until the machine has been idle for a moment, two seconds at
// most, so that measurements of it mean something.
func quiet() {
	for range 30 {
		before := idle()
		time.Sleep(60 * time.Millisecond)
		if idle()-before >= 11 {
			return
		}
	}
}

func idle() int {
	b, _ := os.ReadFile("/proc/stat")
	n, _ := strconv.Atoi(strings.Fields(string(b))[4])
	return n
}
