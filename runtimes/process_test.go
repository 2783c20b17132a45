package runtimes_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/internal/slow"
	"github.com/alcove-run/alcove/runtimeapi"
	"github.com/alcove-run/alcove/runtimeapi/runtimeapitest"
	"github.com/alcove-run/alcove/runtimes"
)

// patience is how long a test waits for what must happen at once.
var patience = slow.Patience(time.Minute)

const functionARN = "arn:aws:lambda:us-east-1:000000000000:function:f"

// found is what the machine has; a test that needs an interpreter fails without.
var found = sync.OnceValue(func() *runtimes.Set { return runtimes.Discover(slog.New(slog.DiscardHandler)) })

// function says what to start.
type function struct {
	runtime string
	handler string // "index.handler" or "lambda_function.handler" if empty
	files   map[string]string
	env     map[string]string
	logging alcove.Logging
	stdout  bool // log records go to stdout rather than to the log descriptor
	tcp     bool // the Runtime API is on TCP alone
	memory  int
	blank   bool   // started before the function is there, and told of it by become
	dir     string // where to put everything; a new directory if empty
}

// process is a bootstrap that runs on this machine, in no sandbox, with an
// environment that the test plays.
type process struct {
	t       testing.TB
	env     *runtimeapitest.Environment
	task    string
	started time.Time
	pid     int
	exited  chan struct{}
	become  func()           // puts the function's files there and tells a blank process of it
	state   *os.ProcessState // once exited is closed
	stop    func()           // ends it, if it has not ended

	mu     sync.Mutex
	output bytes.Buffer // stdout and stderr
	frames []frame
}

// frame is one record from the log descriptor.
type frame struct {
	kind uint32
	at   time.Time
	text string
}

func start(t testing.TB, f function) *process {
	t.Helper()
	r, err := found().Resolve(f.runtime)
	if err != nil {
		t.Fatal(err)
	}
	dir := f.dir
	if dir == "" {
		dir = t.TempDir()
	}
	p := &process{t: t, env: runtimeapitest.New(), task: filepath.Join(dir, "task"), exited: make(chan struct{})}
	if f.blank {
		p.env = runtimeapitest.NewBlank()
	}
	ours, own := map[string]string{}, map[string]string{}
	for name, raw := range r.Want.Files {
		ours[filepath.Join(dir, strings.TrimPrefix(name, "/var/"))] = string(raw)
	}
	for name, text := range f.files {
		own[filepath.Join(p.task, name)] = text
	}
	writeFiles(t, ours)
	if !f.blank {
		writeFiles(t, own)
	}
	if err := os.MkdirAll(p.task, 0o755); err != nil {
		t.Fatal(err)
	}

	server := runtimeapi.NewServer(p.env, runtimeapi.OwnConns, nil, slog.New(slog.DiscardHandler))
	network, address := "unix", filepath.Join(dir, "runtime.sock")
	_ = os.Remove(address) // of another process in f.dir
	if f.tcp {
		network, address = "tcp", "127.0.0.1:0"
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(l) }()

	v := version(f)
	r = r.For(v)
	args := append([]string(nil), r.Args...)
	for i, arg := range args {
		args[i] = strings.Replace(arg, runtimes.RuntimeDir, filepath.Join(dir, "runtime"), 1)
	}
	args = append(args, filepath.Join(dir, "runtime.sock"))
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = p.task
	place := alcove.Place{Partition: "aws", Region: "us-east-1", Account: "000000000000"}
	here := func(env []string) (out []string) {
		for _, kv := range env {
			kv = strings.ReplaceAll(kv, "/var/task", p.task)
			kv = strings.ReplaceAll(kv, runtimes.RuntimeDir, filepath.Join(dir, "runtime"))
			out = append(out, strings.Replace(kv, "127.0.0.1:9001", l.Addr().String(), 1))
		}
		return out
	}
	cmd.Env = here(runtimes.Environ(v, r, place, "2026/01/01/[$LATEST]abc"))
	if !f.stdout {
		cmd.Env = append(cmd.Env, "_LAMBDA_TELEMETRY_LOG_FD=3")
	}
	if f.blank {
		message := functionMessage(t, cmd.Env)
		cmd.Env = here(runtimes.BlankEnviron(r, place))
		p.become = func() {
			writeFiles(t, own)
			p.env.Specialise(message)
		}
	}
	p.run(cmd, !f.stdout, server)
	return p
}

// functionMessage is what a blank process is told, the variables in their order.
func functionMessage(t testing.TB, env []string) []byte {
	t.Helper()
	var members []string
	for _, kv := range env {
		key, value, _ := strings.Cut(kv, "=")
		k, err := json.Marshal(key)
		if err != nil {
			t.Fatal(err)
		}
		v, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, string(k)+":"+string(v))
	}
	return []byte(`{"environment":{` + strings.Join(members, ",") + `}}`)
}

func writeFiles(t testing.TB, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// version is the function's, as the platform knows it.
func version(f function) *alcove.Version {
	v := &alcove.Version{Name: "f", Number: alcove.Latest, ARN: functionARN}
	v.Config = alcove.Config{Runtime: f.runtime, Handler: f.handler, MemorySize: f.memory, Environment: f.env, Logging: f.logging}
	if f.memory == 0 {
		v.Config.MemorySize = 256
	}
	if f.handler == "" {
		v.Config.Handler = "index.handler"
		if strings.HasPrefix(f.runtime, "python") {
			v.Config.Handler = "lambda_function.handler"
		}
	}
	return v
}

// run starts cmd and ends it with the test.
func (p *process) run(cmd *exec.Cmd, framed bool, server *runtimeapi.Server) {
	p.t.Helper()
	out, outW, err := os.Pipe()
	if err != nil {
		p.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = outW, outW
	var logR, logW *os.File
	if framed {
		if logR, logW, err = os.Pipe(); err != nil {
			p.t.Fatal(err)
		}
		cmd.ExtraFiles = []*os.File{logW}
	}
	p.started = time.Now()
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.pid = cmd.Process.Pid
	_ = outW.Close()
	var readers sync.WaitGroup
	readers.Go(func() { p.readOutput(out) })
	if framed {
		_ = logW.Close()
		readers.Go(func() { p.readFrames(logR) })
	}
	go func() {
		_ = cmd.Wait()
		readers.Wait()
		p.state = cmd.ProcessState
		close(p.exited)
	}()
	p.stop = func() {
		_ = cmd.Process.Kill()
		<-p.exited
		_ = server.Close()
		p.env.Close()
		server.Wait()
	}
	p.t.Cleanup(func() {
		p.stop()
		if p.t.Failed() {
			p.t.Logf("output:\n%s\nframes: %+v", p.output.String(), p.frames)
		}
	})
}

func (p *process) readOutput(r *os.File) {
	defer r.Close()
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		p.mu.Lock()
		p.output.Write(buf[:n])
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (p *process) readFrames(r *os.File) {
	defer r.Close()
	head := make([]byte, 16)
	for {
		if _, err := io.ReadFull(r, head); err != nil {
			return
		}
		text := make([]byte, binary.BigEndian.Uint32(head[4:]))
		if _, err := io.ReadFull(r, text); err != nil {
			return
		}
		p.mu.Lock()
		p.frames = append(p.frames, frame{binary.BigEndian.Uint32(head), time.UnixMicro(int64(binary.BigEndian.Uint64(head[8:]))), string(text)})
		p.mu.Unlock()
	}
}

// invoke hands an event over and waits for what comes of it.
func (p *process) invoke(ev runtimeapi.Event) runtimeapitest.Outcome {
	p.t.Helper()
	if ev.RequestID == "" {
		ev.RequestID = "11111111-2222-4333-8444-555555555555"
	}
	if ev.FunctionARN == "" {
		ev.FunctionARN = functionARN
	}
	if ev.Deadline.IsZero() {
		ev.Deadline = time.Now().Add(time.Minute)
	}
	if ev.Payload == nil {
		ev.Payload = []byte(`{"n":1}`)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	o, err := p.env.Invoke(ctx, &ev)
	if err != nil {
		p.t.Fatalf("invoke: %v", err)
	}
	return o
}

func (p *process) ready() {
	p.t.Helper()
	select {
	case <-p.env.Ready():
	case <-p.exited:
		p.t.Fatalf("the process has ended: %v", p.state)
	case <-time.After(patience):
		p.t.Fatal("the runtime did not get ready")
	}
}

// exit waits for the end of the process and gives its exit code.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.exited:
		return p.state.ExitCode()
	case <-time.After(patience):
		p.t.Fatal("the process does not end")
		panic("not reached")
	}
}

// await polls until ok says so: for what comes out of a pipe.
func (p *process) await(what string, ok func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		p.mu.Lock()
		done := ok()
		p.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("no %s", what)
		}
	}
}

// failure is the error object of a function.
type failure struct {
	ErrorMessage string   `json:"errorMessage"`
	ErrorType    string   `json:"errorType"`
	RequestID    *string  `json:"requestId"`
	StackTrace   []string `json:"stackTrace"`
	Trace        []string `json:"trace"`
}

func parseFailure(t testing.TB, f *runtimeapi.Fault) failure {
	t.Helper()
	if f == nil {
		t.Fatal("the invocation did not fail")
	}
	var e failure
	d := json.NewDecoder(bytes.NewReader(f.Body))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		t.Fatalf("%s: %v", f.Body, err)
	}
	return e
}
