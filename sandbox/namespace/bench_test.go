package namespace

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/rootfs"
)

// A site is what a test needs to make sandboxes by hand.
type site struct {
	testing.TB
	driver *Driver
	dir    string
	root   string
	code   string // mounted at /var/task
}

func newSite(t testing.TB) *site {
	dir, err := os.MkdirTemp("", "ns-") // short, for the sockets in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &site{TB: t, dir: dir, code: filepath.Join(dir, "code")}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(s.code, 0o755); err != nil {
		t.Fatal(err)
	}
	store, err := rootfs.Open(filepath.Join(dir, "roots"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	python, err := filepath.EvalSymlinks("/usr/bin/python3")
	if err != nil {
		t.Fatal(err)
	}
	want := rootfs.Want{Name: "test", Programs: []string{"/usr/bin/python3"}, Dirs: []string{"/usr/lib/" + filepath.Base(python)}}
	if _, err := os.Stat("/usr/bin/node"); err == nil {
		want.Programs = append(want.Programs, "/usr/bin/node")
	}
	tree, err := store.Tree(context.Background(), want)
	if err != nil {
		t.Fatal(err)
	}
	s.root = tree.Dir
	d, err := open(filepath.Join(dir, "driver"))
	if err != nil {
		t.Fatal(err)
	}
	s.driver = d.(*Driver)
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func newID() string {
	b := make([]byte, 16)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// spec runs args, with a door that listens.
func (s *site) spec(args ...string) (sandbox.Spec, net.Listener) {
	s.Helper()
	id := newID()
	door := filepath.Join(s.dir, id[:8])
	if err := os.Mkdir(door, 0o755); err != nil {
		s.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(door, sandbox.SocketName))
	if err != nil {
		s.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(door, sandbox.SocketName), 0o666); err != nil {
		s.Fatal(err)
	}
	return sandbox.Spec{
		ID: id, Root: s.root, SocketDir: door, Dir: "/tmp", Args: args, Env: []string{"PATH=/usr/bin:/bin"},
		Mounts: []sandbox.Mount{{Source: s.code, Target: "/var/task"}},
		Limits: sandbox.Limits{Memory: 128 << 20, Tmp: 512 << 20, Shm: 16 << 20, CPU: 128.0 / 1769, Processes: 1024, OpenFiles: 1024},
		Stdout: os.Stderr, Stderr: os.Stderr,
	}, l
}

func (s *site) create(spec sandbox.Spec) sandbox.Sandbox {
	s.Helper()
	b, err := s.driver.Create(context.Background(), spec)
	if err != nil {
		s.Fatal(err)
	}
	return b
}

// The clients connect to the Runtime API and ask for the next invocation.
const (
	pythonClient = `
import socket
s = socket.socket(socket.AF_UNIX); s.connect("/run/alcove/runtime.sock")
s.sendall(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"); s.recv(1)`
	nodeClient = `
const s = require("net").connect("/run/alcove/runtime.sock", () => s.write("GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"))`
	goClient = `package main
import ("net"; "os")
func main() {
	c, err := net.Dial("unix", "/run/alcove/runtime.sock")
	if err != nil { println(err.Error()); os.Exit(1) }
	c.Write([]byte("GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"))
	c.Read(make([]byte, 1))
}`
)

func (s *site) buildGo() {
	s.Helper()
	src := filepath.Join(s.dir, "main.go")
	if err := os.WriteFile(src, []byte(goClient), 0o600); err != nil {
		s.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-o", filepath.Join(s.code, "bootstrap"), src)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		s.Fatalf("%v\n%s", err, out)
	}
}

var clients = []struct {
	name     string
	args     []string
	template bool
}{
	{"go", []string{"/var/task/bootstrap"}, false},
	{"python", []string{"/usr/bin/python3", "-S", "-E", "-c", pythonClient}, false},
	{"forked", []string{"/usr/bin/python3", "-S", "-E", "-c", "import os, socket\ntry: exec(compile(open(4).read(), 'template', 'exec'), {})\nexcept OSError: pass\n" + pythonClient}, true},
	{"node", []string{"/usr/bin/node", "-e", nodeClient}, false},
}

// awaitTemplate makes sandboxes until one is forked.
func (s *site) awaitTemplate(args []string) {
	s.Helper()
	err := eventually(s.Context(), time.Minute, func() (bool, error) {
		spec, l := s.spec(args...)
		defer l.Close()
		spec.Template = true
		b := s.create(spec)
		forked, why := b.(*box).Forked()
		if !forked && !strings.Contains(why, "being started") {
			s.Fatal(why)
		}
		return forked, b.Destroy()
	})
	if err != nil {
		s.Fatal(err)
	}
}

// BenchmarkStart measures from Create to the program's first request, and
// Destroy, with all limits on. The stock of /tmp is full at each start, as it
// is when sandboxes are not made faster than it fills.
func BenchmarkStart(b *testing.B) {
	s := newSite(b)
	for _, c := range clients {
		b.Run(c.name, func(b *testing.B) {
			if c.name == "go" {
				s.buildGo()
			}
			if c.template {
				s.awaitTemplate(c.args)
			}
			var created, ready, destroyed []time.Duration
			var traces []Trace
			for b.Loop() {
				b.StopTimer()
				s.settle(512 << 20)
				spec, l := s.spec(c.args...)
				spec.Template = c.template
				b.StartTimer()
				began := time.Now()
				box := s.create(spec)
				created = append(created, time.Since(began))
				traces = append(traces, box.(interface{ Trace() Trace }).Trace())
				conn, err := l.Accept()
				if err != nil {
					b.Fatal(err)
				}
				if _, err := conn.Read(make([]byte, 16)); err != nil {
					b.Fatal(err)
				}
				ready = append(ready, time.Since(began))
				began = time.Now()
				if err := box.Destroy(); err != nil {
					b.Fatal(err)
				}
				destroyed = append(destroyed, time.Since(began))
				conn.Close()
				l.Close()
			}
			for what, d := range map[string][]time.Duration{"create": created, "ready": ready, "destroy": destroyed} {
				slices.Sort(d)
				ms := func(p int) float64 { return float64(d[len(d)*p/100].Microseconds()) / 1000 }
				b.ReportMetric(ms(0), what+"-min-ms")
				b.ReportMetric(ms(50), what+"-p50-ms")
				b.ReportMetric(ms(95), what+"-p95-ms")
			}
			reportTraces(b, traces)
		})
	}
}

// reportTraces tells the median of each part of Create.
func reportTraces(b *testing.B, traces []Trace) {
	parts := map[string]func(t *Trace) time.Duration{
		"prepare": func(t *Trace) time.Duration { return t.Prepare }, "launcher": func(t *Trace) time.Duration { return t.Launcher },
		"order": func(t *Trace) time.Duration { return t.Order }, "enter": func(t *Trace) time.Duration { return t.Enter },
		"mounts": func(t *Trace) time.Duration { return t.Mounts }, "program": func(t *Trace) time.Duration { return t.Program },
		"answer": func(t *Trace) time.Duration { return t.Answer }, "total": func(t *Trace) time.Duration { return t.Total },
	}
	for name, part := range parts {
		slices.SortFunc(traces, func(x, y Trace) int { return int(part(&x) - part(&y)) })
		b.ReportMetric(float64(part(&traces[len(traces)/2]).Microseconds()), name+"-µs")
	}
}

// BenchmarkBare is what BenchmarkStart would measure if nothing confined the
// programs: what the machine and the interpreters take.
func BenchmarkBare(b *testing.B) {
	s := newSite(b)
	clients := slices.Concat(clients[:2], clients[3:])
	if err := os.MkdirAll("/run/alcove", 0o755); err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll("/run/alcove")
	for _, c := range clients {
		b.Run(c.name, func(b *testing.B) {
			if c.name == "go" {
				s.buildGo()
			}
			var ready []time.Duration
			for b.Loop() {
				b.StopTimer()
				s.settle(512 << 20)
				l, err := net.Listen("unix", "/run/alcove/"+sandbox.SocketName)
				if err != nil {
					b.Fatal(err)
				}
				args := slices.Clone(c.args)
				args[0] = strings.Replace(args[0], "/var/task", s.code, 1)
				b.StartTimer()
				began := time.Now()
				cmd := exec.Command(args[0], args[1:]...)
				if err := cmd.Start(); err != nil {
					b.Fatal(err)
				}
				conn, err := l.Accept()
				if err != nil {
					b.Fatal(err)
				}
				if _, err := conn.Read(make([]byte, 16)); err != nil {
					b.Fatal(err)
				}
				ready = append(ready, time.Since(began))
				cmd.Process.Kill()
				cmd.Wait()
				conn.Close()
				l.Close()
			}
			slices.Sort(ready)
			b.ReportMetric(float64(ready[0].Microseconds())/1000, "ready-min-ms")
			b.ReportMetric(float64(ready[len(ready)/2].Microseconds())/1000, "ready-p50-ms")
		})
	}
}

// stocked waits until the stock of /tmp is full.
func (s *site) stocked(size int64) {
	if stock := s.driver.scratch; stock != nil {
		for filling := true; filling; runtime.Gosched() {
			stock.mu.Lock()
			filling = stock.making[size]
			stock.mu.Unlock()
		}
	}
}

// settle waits until the stock has what a Create takes, and for a moment in
// which the machine does nothing else, if there is one within a few seconds.
func (s *site) settle(size int64) {
	s.stocked(size)
	for range 100 {
		before := idleTicks(s)
		time.Sleep(40 * time.Millisecond)
		if idleTicks(s)-before >= int64(4*runtime.NumCPU()-1) { // of 10 ms
			return
		}
	}
}

// idleTicks is how long the processors have been idle, in 1/100 s.
func idleTicks(t testing.TB) int64 {
	raw, err := os.ReadFile("/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	var user, nice, system, idle int64
	if _, err := fmt.Sscanf(string(raw), "cpu %d %d %d %d", &user, &nice, &system, &idle); err != nil {
		t.Fatal(err)
	}
	return idle
}

// BenchmarkIdle measures what an idle sandbox takes from the machine.
func BenchmarkIdle(b *testing.B) {
	s := newSite(b)
	const n = 50
	for _, c := range clients {
		b.Run(c.name, func(b *testing.B) {
			if c.name == "go" {
				s.buildGo()
			}
			if c.template {
				s.awaitTemplate(c.args)
			}
			for b.Loop() {
				one := func() func() {
					spec, l := s.spec(c.args...)
					spec.Template = c.template
					box := s.create(spec)
					conn, err := l.Accept()
					if err != nil {
						b.Fatal(err)
					}
					if _, err := conn.Read(make([]byte, 16)); err != nil {
						b.Fatal(err)
					}
					return func() {
						if err := box.Destroy(); err != nil {
							b.Error(err)
						}
						conn.Close()
						l.Close()
					}
				}
				end := []func(){one()} // what all share
				s.settle(512 << 20)
				runtime.GC()
				before, began := meminfo(b), time.Now()
				for range n {
					end = append(end, one())
				}
				took := time.Since(began)
				s.settle(512 << 20)
				after := meminfo(b)
				b.ReportMetric(float64(before["MemAvailable"]-after["MemAvailable"])/n, "KB/sandbox")
				for _, kind := range []string{"AnonPages", "KernelStack", "PageTables", "Slab", "Percpu", "Shmem", "Cached", "Buffers"} {
					b.Logf("%s: %d KB per sandbox", kind, (after[kind]-before[kind])/n)
				}
				b.ReportMetric(n/took.Seconds(), "sandboxes/s")
				for _, f := range end {
					f()
				}
			}
		})
	}
}

// meminfo is /proc/meminfo in KB.
func meminfo(t testing.TB) map[string]int64 {
	raw, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int64{}
	for line := range strings.Lines(string(raw)) {
		var name string
		var kb int64
		if _, err := fmt.Sscanf(line, "%s %d kB", &name, &kb); err == nil {
			out[strings.TrimSuffix(name, ":")] = kb
		}
	}
	return out
}

// BenchmarkRate makes and ends sandboxes as fast as it can, by several at once.
func BenchmarkRate(b *testing.B) {
	s := newSite(b)
	for _, c := range clients {
		b.Run(c.name, func(b *testing.B) {
			if c.name == "go" {
				s.buildGo()
			}
			if c.template {
				s.awaitTemplate(c.args)
			}
			forked := int64(0)
			used, began := cpuTime(b), time.Now()
			b.SetParallelism(2)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					spec, l := s.spec(c.args...)
					spec.Template = c.template
					box := s.create(spec)
					conn, err := l.Accept()
					if err != nil {
						b.Error(err)
						return
					}
					if _, err := conn.Read(make([]byte, 16)); err != nil {
						b.Error(err)
					}
					if is, _ := box.(interface{ Forked() (bool, string) }).Forked(); is {
						atomic.AddInt64(&forked, 1)
					}
					if err := box.Destroy(); err != nil {
						b.Error(err)
					}
					conn.Close()
					l.Close()
				}
			})
			took := time.Since(began)
			b.ReportMetric(float64(b.N)/took.Seconds(), "sandboxes/s")
			b.ReportMetric((cpuTime(b)-used).Seconds()*1000/float64(b.N), "cpu-ms/sandbox")
			b.ReportMetric(float64(forked)/float64(b.N), "forked")
		})
	}
}

// cpuTime is what this process and its children that have ended have used: all
// but what the kernel does for them by itself.
func cpuTime(t testing.TB) time.Duration {
	var sum int64
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if err := unix.Getrusage(who, &u); err != nil {
			t.Fatal(err)
		}
		sum += u.Utime.Nano() + u.Stime.Nano()
	}
	return time.Duration(sum)
}
