package gvisor

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/internal/slow"
	"github.com/alcove-run/alcove/sandbox"
)

// patience bounds what happens by itself.
var patience = slow.Patience(30 * time.Second)

// await polls until cond is true.
func await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// parts lists the host processes of a sandbox with this argv[0].
func parts(arg0, id string) []int {
	var out []int
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		args, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if bytes.HasPrefix(args, []byte(arg0+"\x00")) && bytes.Contains(args, []byte(id)) {
			out = append(out, pid)
		}
	}
	return out
}

// nothingLeft looks for everything that a sandbox may leave.
func nothingLeft(t *testing.T, d *Driver, id string) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil || e.Name() == strconv.Itoa(os.Getpid()) {
			continue
		}
		for _, file := range []string{"cmdline", "cgroup"} {
			text, err := os.ReadFile(filepath.Join("/proc", e.Name(), file))
			if err == nil && bytes.Contains(text, []byte(id)) {
				state, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
				t.Errorf("left process %s: %q %.100q", e.Name(), text, state)
			}
		}
	}
	for _, top := range []string{d.conf.Dir, "/sys/fs/cgroup"} {
		_ = filepath.WalkDir(top, func(path string, _ fs.DirEntry, err error) error {
			if err == nil && strings.Contains(path, id) {
				t.Errorf("left file %s", path)
			}
			return nil // others come and go meanwhile
		})
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || bytes.Contains(mounts, []byte(id)) {
		t.Errorf("left mount, or %v", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.boxes[id] != nil {
		t.Error("the driver still knows the sandbox")
	}
}

// TestPartKilledWhileCreating kills each part of a sandbox at many moments of
// its creation.
func TestPartKilledWhileCreating(t *testing.T) {
	d, root := newDriver(t), pythonRoot(t)
	for _, arg0 := range []string{argStarter, argSentry, argGofer} {
		t.Run(arg0, func(t *testing.T) {
			failed := 0
			for delay := time.Duration(0); delay < 60*time.Millisecond; delay += 6 * time.Millisecond {
				spec := newSpec(t, root)
				spec.Args = []string{"/bin/sh", "-c", "sleep 1000"}
				stop := make(chan struct{})
				var killer sync.WaitGroup
				killer.Go(func() { killPart(arg0, spec.ID, delay, stop) })
				s, err := d.Create(t.Context(), spec)
				close(stop)
				killer.Wait()
				if err == nil {
					err = s.Destroy()
				} else {
					failed++
				}
				if err != nil && failed == 0 {
					t.Errorf("killed %v after it came up: %v", delay, err)
				}
				nothingLeft(t, d, spec.ID)
			}
			if failed == 0 {
				t.Error("no creation was hit")
			}
		})
	}
}

// killPart waits for a part of a sandbox and kills it after a while.
func killPart(arg0, id string, delay time.Duration, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		if pids := parts(arg0, id); len(pids) > 0 {
			time.Sleep(delay)
			_ = unix.Kill(pids[0], unix.SIGKILL)
			return
		}
	}
}

// TestPartKilled kills each part of a running sandbox, which must end with it, as
// if the function had been killed, whichever part it is: the sentry sees to that
// for the others.
func TestPartKilled(t *testing.T) {
	d, root := newDriver(t), pythonRoot(t)
	for _, arg0 := range []string{argSentry, argGofer} {
		spec := newSpec(t, root)
		spec.Args = []string{"/bin/sh", "-c", "sleep 1000"}
		s, err := d.Create(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-s.Done():
			t.Fatalf("ended by itself: %+v", s.Exit())
		default:
		}
		pids := parts(arg0, spec.ID)
		if len(pids) != 1 {
			t.Fatalf("%s runs as %v", arg0, pids)
		}
		if err := unix.Kill(pids[0], unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		await(t, "the sandbox to end", func() bool {
			select {
			case <-s.Done():
				return true
			default:
				return false
			}
		})
		if e := s.Exit(); e != (sandbox.Exit{Signal: unix.SIGKILL}) {
			t.Errorf("%s killed: %+v", arg0, e)
		}
		if err := s.Destroy(); err != nil {
			t.Error(err)
		}
		nothingLeft(t, d, spec.ID)
	}
}

// TestHowAProcessEnded: a sentry that was killed from outside is told from one that
// ended by itself, as one does that crashes, and waiting in vain can be done again.
func TestHowAProcessEnded(t *testing.T) {
	for script, want := range map[string]unix.WaitStatus{"read x; exit 2": 2 << 8, "read x; kill -9 $$": 9, "read x; kill -31 $$": 31} {
		cmd := exec.Command("/bin/sh", "-c", script)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		p, err := openProcess(cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.wait(time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: while it runs: %v", script, err)
		}
		_ = in.Close()
		if err := p.wait(0); err != nil {
			t.Errorf("%s: %v", script, err)
		}
		const core = 0x80
		if how := p.ended(); how&^core != want {
			t.Errorf("%s ended with %#x, want %#x", script, how, want)
		}
		_ = cmd.Wait() // it has been reaped
	}
}

// TestDestroyIsNoFailure: a sandbox that is destroyed has been killed, and that
// is all.
func TestDestroyIsNoFailure(t *testing.T) {
	d, root := newDriver(t), pythonRoot(t)
	for range 8 {
		spec := newSpec(t, root)
		spec.Args = []string{"/bin/sh", "-c", "sleep 1000"}
		s, err := d.Create(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		if e := s.Exit(); e.Err == nil {
			t.Errorf("before its end: %+v", e)
		}
		if err := s.Destroy(); err != nil {
			t.Error(err)
		}
		if e := s.Exit(); e != (sandbox.Exit{Signal: unix.SIGKILL}) {
			t.Errorf("destroyed: %+v", e)
		}
	}
}

// TestCloseInterruptsCreate: closing the driver ends what is being made.
func TestCloseInterruptsCreate(t *testing.T) {
	root := pythonRoot(t)
	for _, delay := range []time.Duration{0, 10, 25, 50} {
		d := newDriver(t)
		spec := newSpec(t, root)
		spec.Args = []string{"/bin/sh", "-c", "sleep 1000"}
		var wg sync.WaitGroup
		wg.Go(func() {
			s, err := d.Create(t.Context(), spec)
			if err == nil {
				<-s.Done() // closed by Close
			} else if !errors.Is(err, errClosed) {
				t.Errorf("Create: %v", err)
			}
		})
		time.Sleep(delay * time.Millisecond)
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
		nothingLeft(t, d, spec.ID)
	}
}

// TestOneProcessPerDirectory: two nodes cannot have the same directory.
func TestOneProcessPerDirectory(t *testing.T) {
	d := newDriver(t)
	if _, err := open(d.conf.Dir, d.conf.Log); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second driver in the same directory: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	again, err := open(d.conf.Dir, d.conf.Log)
	if err != nil {
		t.Fatalf("after Close: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// TestStubOutOfMemory: whichever process the kernel chooses when a sandbox is
// out of memory, all of it ends, and soon.
func TestStubOutOfMemory(t *testing.T) {
	d, root := newDriver(t), pythonRoot(t)
	for range 3 {
		spec := newSpec(t, root)
		spec.Args = []string{"/usr/bin/python3", "-u", "-c", `
import time
print('up')
time.sleep(0.3)
keep = []
while True: keep.append(bytearray(b'x') * (8 << 20))`}
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		spec.Stdout = w
		s, err := d.Create(t.Context(), spec)
		w.Close()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Read(make([]byte, 8)); err != nil {
			t.Fatal(err)
		}
		// The sentry is made the last to be chosen, its stubs the first.
		for _, pid := range parts(argSentry, spec.ID) {
			if err := os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte("0"), 0); err != nil {
				t.Fatal(err)
			}
		}
		await(t, "the sandbox to end", func() bool {
			select {
			case <-s.Done():
				return true
			default:
				return false
			}
		})
		if e := s.Exit(); !e.OOM || e.Err != nil {
			t.Errorf("ended with %+v", e)
		}
		if err := s.Destroy(); err != nil {
			t.Error(err)
		}
		nothingLeft(t, d, spec.ID)
	}
}
