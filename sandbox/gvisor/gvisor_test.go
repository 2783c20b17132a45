package gvisor

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"os"
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
		Root: os.Getenv("ALCOVE_TEST_ROOT"),
	})
}

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
		dir = t.TempDir()
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
