package gvisor

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"
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

func benchmarkCreate(b *testing.B, tcp bool) {
	d := newDriver(b)
	root := pythonRoot(b)
	var connected, destroyed []time.Duration
	var traces []Trace
	for b.Loop() {
		spec := newSpec(b, root)
		spec.TCP = tcp
		spec.Args = []string{"/usr/bin/python3", "-S", "-E", "-c", fmt.Sprintf(connector, connectors[tcp])}
		l := listen(b, spec)
		quiet()
		began := time.Now()
		s, err := d.Create(context.Background(), spec)
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
		connected = append(connected, time.Since(began))
		traces = append(traces, s.(*box).Trace())
		began = time.Now()
		if err := s.Destroy(); err != nil {
			b.Fatal(err)
		}
		destroyed = append(destroyed, time.Since(began))
		conn.Close()
		l.Close()
	}
	report := func(name string, all []time.Duration) {
		slices.Sort(all)
		b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, name+"-p50-ms")
		b.ReportMetric(float64(all[len(all)*95/100].Microseconds())/1000, name+"-p95-ms")
		b.ReportMetric(float64(all[0].Microseconds())/1000, name+"-min-ms")
	}
	report("connect", connected)
	report("destroy", destroyed)
	for name, get := range map[string]func(Trace) time.Duration{
		"prepare": func(t Trace) time.Duration { return t.Prepare },
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
