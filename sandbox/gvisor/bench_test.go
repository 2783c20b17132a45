package gvisor

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove/sandbox"
)

// connector is a function's runtime at its smallest: it connects to the
// Runtime API and waits.
const connector = `
import _socket as s
c = %s
c.send(b"x")
c.recv(1)
`

// connectors are the ways to connect.
var connectors = map[bool]string{
	false: `s.socket(s.AF_UNIX, s.SOCK_STREAM); c.connect("/run/alcove/runtime.sock")`,
	true:  `s.socket(s.AF_INET, s.SOCK_STREAM); c.connect(("127.0.0.1", 9001))`,
}

// BenchmarkCreate measures from the call of Create until the function has
// connected to its Runtime API socket, and Destroy.
func BenchmarkCreate(b *testing.B) {
	for name, tcp := range map[string]bool{"unix": false, "tcp": true} {
		b.Run(name, func(b *testing.B) { benchmarkCreate(b, tcp) })
	}
}

// BenchmarkIdle measures what a number of idle sandboxes take, each with a
// Python program that waits at its Runtime API: the host's memory, what their
// cgroups are charged with, and processor time, then the same frozen.
func BenchmarkIdle(b *testing.B) {
	const number = 50
	for name, tcp := range map[string]bool{"unix": false, "tcp": true} {
		b.Run(name, func(b *testing.B) {
			d, root := newDriver(b), pythonRoot(b)
			for b.Loop() {
				before := available(b)
				var all []sandbox.Sandbox
				for range number {
					spec := newSpec(b, root)
					spec.TCP = tcp
					spec.Args = []string{"/usr/bin/python3", "-S", "-E", "-c", fmt.Sprintf(connector, connectors[tcp])}
					s, conn := connect(b, d, spec)
					defer conn.Close()
					all = append(all, s)
				}
				b.ReportMetric(float64(before-available(b))/number/(1<<20), "available-MB/sandbox")
				charged, cpu := usageOf(b, all)
				b.ReportMetric(float64(charged)/number/(1<<20), "charged-MB/sandbox")
				time.Sleep(5 * time.Second)
				_, later := usageOf(b, all)
				b.ReportMetric(float64(later-cpu)/5e9/number*1000, "idle-millicores/sandbox")
				for _, s := range all {
					if err := s.Freeze(); err != nil {
						b.Fatal(err)
					}
				}
				_, cpu = usageOf(b, all)
				time.Sleep(5 * time.Second)
				_, later = usageOf(b, all)
				b.ReportMetric(float64(later-cpu)/5e9/number*1000, "frozen-millicores/sandbox")
				for _, s := range all {
					if err := s.Destroy(); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

func usageOf(b *testing.B, all []sandbox.Sandbox) (memory, cpu int64) {
	b.Helper()
	for _, s := range all {
		u, err := s.Usage()
		if err != nil {
			b.Fatal(err)
		}
		memory += u.Memory
		cpu += u.CPU
	}
	return memory, cpu
}

// available is the host's MemAvailable in bytes.
func available(b *testing.B) int64 {
	b.Helper()
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		b.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "MemAvailable:")
	kb, err := strconv.ParseInt(strings.Fields(after)[0], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return kb << 10
}

// connect makes a sandbox and waits until its program has connected.
func connect(b *testing.B, d *Driver, spec sandbox.Spec) (sandbox.Sandbox, net.Conn) {
	b.Helper()
	l := listen(b, spec)
	defer l.Close()
	s, err := d.Create(b.Context(), spec)
	if err != nil {
		b.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		b.Fatal(err)
	}
	return s, conn
}

func benchmarkCreate(b *testing.B, tcp bool) {
	d := newDriver(b)
	root := pythonRoot(b)
	var connected, destroyed, cpu []time.Duration
	var traces []Trace
	for b.Loop() {
		spec := newSpec(b, root)
		spec.TCP = tcp
		spec.Args = []string{"/usr/bin/python3", "-S", "-E", "-c", fmt.Sprintf(connector, connectors[tcp])}
		quiet()
		began := time.Now()
		s, conn := connect(b, d, spec)
		connected = append(connected, time.Since(began))
		traces = append(traces, s.(*box).Trace())
		u, err := s.Usage()
		if err != nil {
			b.Fatal(err)
		}
		cpu = append(cpu, time.Duration(u.CPU))
		began = time.Now()
		if err := s.Destroy(); err != nil {
			b.Fatal(err)
		}
		destroyed = append(destroyed, time.Since(began))
		conn.Close()
	}
	report(b, "connect", connected)
	report(b, "destroy", destroyed)
	report(b, "cpu", cpu) // says more than times do on a machine that has other work
	for name, get := range map[string]func(Trace) time.Duration{
		"prepare": func(t Trace) time.Duration { return t.Prepare },
		"launch":  func(t Trace) time.Duration { return t.Launch },
		"finish":  func(t Trace) time.Duration { return t.Finish },
		"cgroup":  func(t Trace) time.Duration { return t.Cgroup },
		"create":  func(t Trace) time.Duration { return t.Create },
		"start":   func(t Trace) time.Duration { return t.Start },
		"total":   func(t Trace) time.Duration { return t.Total },
	} {
		var all []time.Duration
		for _, t := range traces {
			all = append(all, get(t))
		}
		slices.Sort(all)
		b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, name+"-ms")
	}
}

// BenchmarkSpecialise measures from the call of Specialise until the program of
// a blank sandbox has read a file of the code.
func BenchmarkSpecialise(b *testing.B) {
	d, root := newDriver(b), pythonRoot(b)
	dir := code(b, "app.py")
	var told, read []time.Duration
	for b.Loop() {
		spec := newSpec(b, root)
		spec.Late = []string{"/var/task", "/opt"}
		limits := spec.Limits
		limits.Memory = 256 << 20
		in := newInside(b, d, spec)
		in.eval(b, "os.listdir('/var/task')")
		quiet()
		began := time.Now()
		if err := in.Sandbox.(sandbox.Specialiser).Specialise([]sandbox.Mount{{Source: dir, Target: "/var/task"}}, limits); err != nil {
			b.Fatal(err)
		}
		told = append(told, time.Since(began))
		in.expect(b, "open('/var/task/app.py').read()", `"app.py"`)
		read = append(read, time.Since(began))
		if err := in.Destroy(); err != nil {
			b.Fatal(err)
		}
	}
	report(b, "specialise", told)
	report(b, "read", read)
}

// report gives the middle, the end and the beginning of what was measured.
func report(b *testing.B, name string, all []time.Duration) {
	b.Helper()
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, name+"-p50-ms")
	b.ReportMetric(float64(all[len(all)*95/100].Microseconds())/1000, name+"-p95-ms")
	b.ReportMetric(float64(all[0].Microseconds())/1000, name+"-min-ms")
}

// BenchmarkStart measures a sandbox that was made ahead without a program, from
// the call of Specialise until its program has connected. Beside it, in the same
// run, the whole is made at once.
func BenchmarkStart(b *testing.B) {
	d, root := newDriver(b), pythonRoot(b)
	dir := code(b, "app.py")
	args := []string{"/usr/bin/python3", "-S", "-E", "-c", fmt.Sprintf(connector, connectors[false])}
	var ahead, whole []time.Duration
	for b.Loop() {
		spec := newSpec(b, root)
		spec.Late = []string{"/var/task", "/opt"}
		l := listen(b, spec)
		s, err := d.Create(b.Context(), spec)
		if err != nil {
			b.Fatal(err)
		}
		quiet()
		began := time.Now()
		err = s.(sandbox.Starter).Specialise([]sandbox.Mount{{Source: dir, Target: "/var/task"}}, spec.Limits)
		if err == nil {
			err = s.(sandbox.Starter).Start(args, nil, "/")
		}
		if err != nil {
			b.Fatal(err)
		}
		conn, err := l.Accept()
		if err != nil {
			b.Fatal(err)
		}
		ahead = append(ahead, time.Since(began))
		conn.Close()
		if err := s.Destroy(); err != nil {
			b.Fatal(err)
		}

		spec = newSpec(b, root)
		spec.Args = args
		spec.Mounts = []sandbox.Mount{{Source: dir, Target: "/var/task"}}
		quiet()
		began = time.Now()
		s, conn = connect(b, d, spec)
		whole = append(whole, time.Since(began))
		conn.Close()
		if err := s.Destroy(); err != nil {
			b.Fatal(err)
		}
	}
	report(b, "ahead", ahead)
	report(b, "whole", whole)
}

// BenchmarkLink is what a link adds to making a sandbox.
func BenchmarkLink(b *testing.B) {
	for _, linked := range []bool{false, true} {
		b.Run(fmt.Sprint(linked), func(b *testing.B) {
			d, root := newDriver(b), pythonRoot(b)
			var create, start time.Duration
			var charged int64
			for b.Loop() {
				spec := newSpec(b, root)
				spec.Link = linked
				spec.Args = []string{"/usr/bin/python3", "-S", "-E", "-c", fmt.Sprintf(connector, connectors[false])}
				s, conn := connect(b, d, spec)
				create += s.(interface{ Trace() Trace }).Trace().Total
				start += s.(interface{ Trace() Trace }).Trace().Start
				n, _ := usageOf(b, []sandbox.Sandbox{s})
				charged += int64(n)
				conn.Close()
				if err := s.Destroy(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(create.Microseconds())/1000/float64(b.N), "create-ms")
			b.ReportMetric(float64(start.Microseconds())/1000/float64(b.N), "start-ms")
			b.ReportMetric(float64(charged)/float64(b.N)/(1<<20), "charged-MB")
		})
	}
}
