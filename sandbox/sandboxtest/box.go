package sandboxtest

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/alcove-run/alcove/sandbox"
)

// box is a running sandbox with all that a caller of a driver provides.
type box struct {
	sandbox.Sandbox
	spec                sandbox.Spec
	door                *door
	stdout, stderr, log *capture
}

// capture reads a pipe to its end.
type capture struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	done chan struct{}
}

// newCapture starts to read; the returned file is the end to write to.
func newCapture(t *T) (*capture, *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := &capture{done: make(chan struct{})}
	go func() {
		defer close(c.done)
		defer r.Close()
		chunk := make([]byte, 64<<10)
		for {
			n, err := r.Read(chunk)
			c.mu.Lock()
			c.buf.Write(chunk[:n])
			c.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return c, w
}

func (c *capture) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf.String()
}

// wait returns all that was written, once no writer is left.
func (c *capture) wait(t *T) string {
	t.Helper()
	select {
	case <-c.done:
	case <-time.After(t.patience):
		t.Fatalf("a pipe is still open for writing; so far: %q", c.String())
	}
	return c.String()
}

// option changes a Spec before Create.
type option func(*sandbox.Spec)

func args(a ...string) option { return func(s *sandbox.Spec) { s.Args = a } }
func sh(script string) option { return args("/bin/sh", "-c", script) }
func py(script string) option { return args("/usr/bin/python3", "-c", script) }
func env(e ...string) option  { return func(s *sandbox.Spec) { s.Env = e } }
func limit(f func(l *sandbox.Limits)) option {
	return func(s *sandbox.Spec) { f(&s.Limits) }
}

// spec is a complete Spec with a listening door. Without options it runs the
// agent.
func (s *suite) spec(t *T, opts []option) (sandbox.Spec, *door, []*capture) {
	t.Helper()
	spec := newSpec(s.newID(), s.root, s.code, s.work)
	if err := os.Mkdir(spec.SocketDir, 0o755); err != nil {
		t.Fatal(err)
	}
	// Writable by its mode: only the mount keeps the sandbox from writing.
	if err := os.Chmod(spec.SocketDir, 0o777); err != nil {
		t.Fatal(err)
	}
	d := openDoor(t, spec.SocketDir)
	var outs []*capture
	for _, end := range []**os.File{&spec.Stdout, &spec.Stderr, &spec.Log} {
		c, w := newCapture(t)
		outs, *end = append(outs, c), w
	}
	for _, o := range opts {
		o(&spec)
	}
	if len(spec.Late) == 0 {
		spec.User = s.o.User
	}
	if s.fork {
		spec = s.forkable(t, spec)
	}
	return spec, d, outs
}

// agentArgs run the agent that is part of the code.
var agentArgs = []string{"/usr/bin/python3", "-B", "/var/task/agent.py"}

// newSpec runs the agent; pipes are still to be put in.
func newSpec(id, root, code, work string) sandbox.Spec {
	return sandbox.Spec{
		ID:        id,
		Root:      root,
		Mounts:    []sandbox.Mount{{Source: code, Target: "/var/task"}},
		SocketDir: filepath.Join(work, id[:12]),
		Args:      slices.Clone(agentArgs),
		Env:       []string{"PATH=/usr/bin:/bin", "LANG=C.UTF-8", "ALCOVE_TEST_ID=" + id},
		Dir:       "/var/task",
		Limits: sandbox.Limits{
			Memory: 256 << 20, Tmp: 64 << 20, Shm: 16 << 20, CPU: 0.5, Processes: 256, OpenFiles: 1024,
		},
	}
}

// create makes a sandbox, which is destroyed and looked after at the end of
// the subtest. The error is Create's.
func (s *suite) create(t *T, ctx context.Context, opts ...option) (*box, error) {
	t.Helper()
	spec, d, outs := s.spec(t, opts)
	b := &box{spec: spec, door: d, stdout: outs[0], stderr: outs[1], log: outs[2]}
	var err error
	b.Sandbox, err = s.driver.Create(ctx, spec)
	for _, f := range []*os.File{spec.Stdout, spec.Stderr, spec.Log} {
		if f != nil {
			f.Close()
		}
	}
	t.Cleanup(func() {
		if err == nil {
			if derr := b.Destroy(); derr != nil {
				t.Errorf("Destroy: %v", derr)
			}
		}
		for _, left := range s.leftovers(spec.ID) {
			t.Errorf("left behind: %s", left)
		}
		late := time.After(t.patience)
		for i, c := range outs {
			select {
			case <-c.done:
			case <-late:
				late = time.After(0)
				t.Errorf("the sandbox is gone, but descriptor %d of it is still open somewhere", i+1)
			}
		}
		d.close()
		if t.Failed() && err == nil {
			t.Logf("sandbox %s: stdout %.2000q, stderr %.4000q", spec.ID, outs[0], outs[1])
		}
		if rerr := os.RemoveAll(filepath.Dir(d.path)); rerr != nil {
			t.Error(rerr)
		}
	})
	if err != nil {
		return nil, err
	}
	s.seeCgroups(spec.ID)
	s.seeFork(t, b)
	if l, ok := b.Sandbox.(interface{ TCPListener() net.Listener }); ok && spec.TCP {
		if tcp := l.TCPListener(); tcp != nil {
			go d.serve(tcp)
		}
	}
	return b, nil
}

// again is the box's Spec once more, with outputs that are open.
func (b *box) again() sandbox.Spec {
	spec := b.spec
	spec.Stdout, spec.Stderr, spec.Log = os.Stdout, os.Stderr, nil
	return spec
}

// start is create for sandboxes that must come up.
func (s *suite) start(t *T, opts ...option) *box {
	t.Helper()
	b, err := s.create(t, context.Background(), opts...)
	if err != nil {
		t.Fatalf("Create: %v", err)
	}
	return b
}

// agent starts a sandbox with the agent in it and waits for its connection.
func (s *suite) agent(t *T, opts ...option) (*box, *peer) {
	t.Helper()
	b := s.start(t, opts...)
	return b, b.wait(t, "agent")
}

// wait waits for a connection with this name through the box's door.
func (b *box) wait(t *T, name string) *peer {
	t.Helper()
	select {
	case p := <-b.door.named(name):
		return p
	case <-b.Done():
		t.Fatalf("the sandbox ended (%+v) before it connected: stderr %q", b.Exit(), b.stderr)
	case <-time.After(t.patience):
		t.Fatalf("nobody came through the door as %q: stderr %q", name, b.stderr)
	}
	return nil
}

// exit waits for the end of the first process.
func (b *box) exit(t *T) sandbox.Exit {
	t.Helper()
	select {
	case <-b.Done():
	case <-time.After(t.patience):
		t.Fatalf("still running: stdout %.1000q, stderr %.1000q", b.stdout, b.stderr)
	}
	return b.Exit()
}

// output runs a sandbox to its end, which must be a good one, and returns what
// it wrote to stdout.
func (s *suite) output(t *T, opts ...option) string {
	t.Helper()
	b := s.start(t, opts...)
	if e := b.exit(t); e != (sandbox.Exit{}) {
		t.Errorf("ended with %+v", e)
	}
	if err := b.Destroy(); err != nil {
		t.Errorf("Destroy: %v", err)
	}
	out := b.stdout.wait(t)
	if e := b.stderr.wait(t); e != "" {
		t.Errorf("stderr: %s", e)
	}
	return out
}
