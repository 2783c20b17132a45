package environment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/internal/slow"
	"github.com/alcove-run/alcove/sandbox"
)

// script is a runtime without a process: a function that talks to the Runtime
// API. What it returns is how its process ends.
type script func(rt *runtimeClient) sandbox.Exit

// scripted is a driver whose sandboxes run scripts.
type scripted struct {
	run       script
	createErr error
	// specialise is asked by blank sandboxes; nil answers nil.
	specialise func(mounts []sandbox.Mount, limits sandbox.Limits) error
	// started is asked by held sandboxes, which begin their scripts then.
	started func(args, env []string, dir string) error
	mu      sync.Mutex
	alive   int
	frozen  int
}

func (d *scripted) Name() string                { return "scripted" }
func (d *scripted) Findings() []sandbox.Finding { return nil }
func (d *scripted) Close() error                { return nil }

func (d *scripted) Create(_ context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	if d.createErr != nil {
		return nil, d.createErr
	}
	dup := func(f *os.File) *os.File {
		fd, err := syscall.Dup(int(f.Fd()))
		if err != nil {
			panic(err)
		}
		return os.NewFile(uintptr(fd), f.Name())
	}
	b := &scriptedBox{id: spec.ID, driver: d, done: make(chan struct{}), kill: make(chan struct{})}
	rt := &runtimeClient{stdout: dup(spec.Stdout), stderr: dup(spec.Stderr), killed: b.kill, sockets: spec.SocketDir, args: spec.Args}
	rt.http.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialIn(ctx, spec.SocketDir, sandbox.SocketName)
	}}
	d.mu.Lock()
	d.alive++
	d.mu.Unlock()
	run := func() {
		exit := d.run(rt)
		rt.stdout.Close()
		rt.stderr.Close()
		rt.http.CloseIdleConnections()
		b.once.Do(func() { b.exit = exit; close(b.done) })
	}
	if d.started != nil {
		b.ended = func() error { return errors.Join(rt.stdout.Close(), rt.stderr.Close()) }
		return heldBox{blankBox{b}, run}, nil
	}
	go run()
	if len(spec.Late) > 0 {
		return blankBox{b}, nil
	}
	return b, nil
}

// dialIn dials a socket in a directory, however long the directory's name is.
func dialIn(ctx context.Context, dir, name string) (net.Conn, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	var nd net.Dialer
	return nd.DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), name))
}

// blankBox is a sandbox made with Spec.Late.
type blankBox struct{ *scriptedBox }

func (b blankBox) Specialise(mounts []sandbox.Mount, limits sandbox.Limits) error {
	if b.driver.specialise == nil {
		return nil
	}
	return b.driver.specialise(mounts, limits)
}

// heldBox is a sandbox without a program.
type heldBox struct {
	blankBox
	run func()
}

func (b heldBox) Start(args, env []string, dir string) error {
	if err := b.driver.started(args, env, dir); err != nil {
		return err
	}
	b.ended = nil
	go b.run()
	return nil
}

type scriptedBox struct {
	ended     func() error // closes what a script would, if there is none
	id        string
	driver    *scripted
	done      chan struct{}
	kill      chan struct{}
	once      sync.Once
	destroyed sync.Once
	exit      sandbox.Exit
}

func (b *scriptedBox) ID() string            { return b.id }
func (b *scriptedBox) Done() <-chan struct{} { return b.done }
func (b *scriptedBox) Exit() sandbox.Exit    { return b.exit }
func (b *scriptedBox) Freeze() error         { b.driver.count(&b.driver.frozen, 1); return nil }
func (b *scriptedBox) Thaw() error           { b.driver.count(&b.driver.frozen, -1); return nil }
func (b *scriptedBox) Usage() (sandbox.Usage, error) {
	return sandbox.Usage{Memory: 30 << 20, MemoryPeak: 35 << 20}, nil
}
func (b *scriptedBox) MemoryPeak() (int64, error) { return 36 << 20, nil }
func (b *scriptedBox) Destroy() error {
	b.destroyed.Do(func() {
		close(b.kill)
		if b.ended != nil {
			b.ended()
		}
		b.once.Do(func() { b.exit = sandbox.Exit{Signal: syscall.SIGKILL}; close(b.done) })
		b.driver.count(&b.driver.alive, -1)
	})
	return nil
}

func (d *scripted) count(what *int, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	*what += n
}

func (d *scripted) counts() (alive, frozen int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.alive, d.frozen
}

// runtimeClient is what a runtime does with the Runtime API.
type runtimeClient struct {
	http    http.Client
	stdout  *os.File
	stderr  *os.File
	sockets string
	args    []string
	killed  <-chan struct{}
}

func (rt *runtimeClient) next() (id, tenant string, event []byte, ok bool) {
	resp, err := rt.http.Get("http://runtime/2018-06-01/runtime/invocation/next")
	if err != nil || resp.StatusCode != http.StatusOK {
		return "", "", nil, false
	}
	defer resp.Body.Close()
	event, err = io.ReadAll(resp.Body)
	return resp.Header.Get("Lambda-Runtime-Aws-Request-Id"), resp.Header.Get("Lambda-Runtime-Aws-Tenant-Id"), event, err == nil
}

// function asks a blank environment for its function.
func (rt *runtimeClient) function() (status int, body string) {
	resp, err := rt.http.Get("http://runtime/alcove/function")
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, ""
	}
	return resp.StatusCode, string(raw)
}

func (rt *runtimeClient) post(path, body string) int {
	resp, err := rt.http.Post("http://runtime/2018-06-01/runtime/"+path, "application/json", strings.NewReader(body))
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// echo answers every event with itself, and prints a line for each.
func echo(rt *runtimeClient) sandbox.Exit {
	for {
		id, _, event, ok := rt.next()
		if !ok {
			return sandbox.Exit{Code: 1}
		}
		io.WriteString(rt.stdout, "saw "+string(event)+"\n")
		rt.post("invocation/"+id+"/response", string(event))
	}
}

// logLines collects an environment's log.
type logLines struct {
	mu    sync.Mutex
	lines []string
	who   []alcove.Tenant
}

func (l *logLines) Append(t alcove.Tenant, _ time.Time, m []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(m))
	l.who = append(l.who, t)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "")
}

type bench struct {
	env    *Environment
	driver *scripted
	log    *logLines
	dir    string
	freed  chan struct{}
}

func version() *alcove.Version {
	return &alcove.Version{FunctionID: "f-1", Name: "f", ARN: "arn:aws:lambda:us-east-1:000000000000:function:f", Number: alcove.Latest, Generation: 1,
		Config: alcove.Config{Timeout: 60, MemorySize: 128, Tenancy: alcove.PerTenant, Logging: alcove.Logging{Format: "Text"}}}
}

func (b *bench) config() Config {
	return Config{ID: strings.Repeat("ab", 16), Version: version(), Driver: b.driver, Dir: b.dir, Stream: b.log,
		StreamName: "stream", Log: slog.New(slog.DiscardHandler), OnFree: func() { b.freed <- struct{}{} },
		SettlePatience: time.Minute} // a machine that has much to do is no reason to hand an invocation on
}

// timeout gives a function so many seconds.
func timeout(seconds int) func(*Config) {
	return func(c *Config) {
		v := *c.Version
		v.Config.Timeout = seconds
		c.Version = &v
	}
}

func start(t *testing.T, run script, change func(*Config)) *bench {
	t.Helper()
	b := &bench{driver: &scripted{run: run}, log: &logLines{}, dir: filepath.Join(t.TempDir(), "env"), freed: make(chan struct{}, 100)}
	cfg := b.config()
	if change != nil {
		change(&cfg)
	}
	b.env = Start(cfg)
	t.Cleanup(func() {
		b.env.Kill()
		<-b.env.Ended()
		if alive, _ := b.driver.counts(); alive != 0 {
			t.Errorf("%d sandboxes are left", alive)
		}
		if _, err := os.Stat(b.dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the environment's directory is left: %v", err)
		}
	})
	return b
}

func (b *bench) invoke(t *testing.T, tenant alcove.Tenant, payload string) (*alcove.Result, error) {
	t.Helper()
	return b.env.Invoke(t.Context(), &alcove.Invocation{RequestID: "r-" + string(tenant), Version: b.env.Version(), Tenant: tenant,
		Payload: []byte(payload), InvokedARN: b.env.Version().ARN, Accepted: time.Now()}, InvokeOptions{Tail: true, Waited: true})
}

func (b *bench) mustInvoke(t *testing.T, tenant alcove.Tenant, payload string) *alcove.Result {
	t.Helper()
	res, err := b.invoke(t, tenant, payload)
	if err != nil {
		t.Fatalf("Invoke: %v", err)
	}
	return res
}

func errorObject(t *testing.T, res *alcove.Result) (kind, message string) {
	t.Helper()
	var o struct{ ErrorType, ErrorMessage string }
	if res.FunctionError != "Unhandled" {
		t.Fatalf("FunctionError = %q, payload %s", res.FunctionError, res.Payload)
	}
	if err := json.Unmarshal(res.Payload, &o); err != nil {
		t.Fatalf("payload %s: %v", res.Payload, err)
	}
	return o.ErrorType, o.ErrorMessage
}

// discard is a log stream that keeps nothing.
type discard struct{}

func (discard) Append(alcove.Tenant, time.Time, []byte) {}

func TestARuntimeThatAnswersAndStaysAwayIsEnded(t *testing.T) {
	b := start(t, func(rt *runtimeClient) sandbox.Exit {
		id, _, _, _ := rt.next()
		rt.post("invocation/"+id+"/response", "1")
		<-rt.killed // and never asks for more
		return sandbox.Exit{}
	}, timeout(900))
	b.mustInvoke(t, "blue", "1")
	select {
	case <-b.env.Ended():
	case <-time.After(slow.Patience(time.Minute)):
		t.Error("the environment holds its place long after its answer")
	}
}
