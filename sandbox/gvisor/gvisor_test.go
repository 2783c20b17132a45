package gvisor

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/cgroup"
	"github.com/alcove-run/alcove/sandbox/rootfs"
)

func TestMain(m *testing.M) {
	if Main() {
		return
	}
	os.Exit(m.Run())
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
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	cg, err := cgroup.Open("gvisor-test-"+newID()[:8], log)
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(context.Background(), Config{Dir: t.TempDir(), Cgroups: cg, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if err := cg.Close(); err != nil {
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

func TestHello(t *testing.T) {
	ctx := context.Background()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	cg, err := cgroup.Open("alcove-gvisor-test", log)
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(ctx, Config{Dir: t.TempDir(), Cgroups: cg, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	root := pythonRoot(t)
	for range 3 {
		sock := t.TempDir()
		r, w, _ := os.Pipe()
		lr, lw, _ := os.Pipe()
		began := time.Now()
		s, err := d.Create(ctx, sandbox.Spec{
			ID: newID(), Root: root, SocketDir: sock,
			Args: []string{"/usr/bin/python3", "-S", "-E", "-c", os.Getenv("PROG")}, Dir: "/var/task",
			Env:    []string{"A=b"},
			Limits: sandbox.Limits{Memory: 128 << 20, Tmp: 512 << 20, Shm: 64 << 20, CPU: 0.1, Processes: 100, OpenFiles: 1024},
			Stdout: w, Stderr: w, Log: lw,
		})
		w.Close()
		lw.Close()
		if err != nil {
			t.Fatal(err)
		}
		out, _ := io.ReadAll(r)
		lout, _ := io.ReadAll(lr)
		<-s.Done()
		t.Logf("%v %+v\n%s\n%s\n%+v", time.Since(began), s.Exit(), out, lout, s.(*box).Trace())
		if err := s.Destroy(); err != nil {
			t.Fatal(err)
		}
	}
}
