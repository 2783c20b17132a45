package pool

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
)

// crowded is a pool of n tenants' idle environments.
func crowded(b *testing.B, n int, change func(*Config)) (*Pool, *alcove.Version) {
	b.Helper()
	fs := &fakes{t: b}
	p := newPool(fs, n+1000, change)
	b.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			b.Error(err)
		}
	})
	v := isolated("f")
	for i := range n {
		l := lease(b, p, v, alcove.Tenant(fmt.Sprint("tenant ", i)))
		p.freed(l)
	}
	return p, v
}

// What the pool itself costs a warm invocation, whoever else there is.
func BenchmarkWarmLease(b *testing.B) {
	for _, n := range []int{1, 3000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p, v := crowded(b, n, nil)
			b.ReportAllocs()
			for b.Loop() {
				l, err := p.Lease(b.Context(), v, "tenant 0", StartOptions{})
				if err != nil {
					b.Fatal(err)
				}
				p.freed(l.Environment)
			}
		})
	}
}

// How long invocations may have to wait for a sweep.
func BenchmarkSweep(b *testing.B) {
	p, _ := crowded(b, 3000, func(c *Config) { c.KeepAlive = 20 * time.Minute })
	p.mu.Lock()
	for _, f := range p.functions { // long enough for their habits to be looked at
		for e := range f.idle.all() {
			e.since = e.since.Add(-5 * time.Minute)
		}
	}
	p.mu.Unlock()
	for b.Loop() {
		p.sweep()
	}
}

// New tenants while the memory is full of idle environments.
func BenchmarkLeaseUnderPressure(b *testing.B) {
	p, v := crowded(b, 3000, func(c *Config) { c.Memory = 3000 * newEnvironmentMemory })
	n := 0
	for b.Loop() {
		n++
		l, err := p.Lease(b.Context(), v, alcove.Tenant(fmt.Sprint("new ", n)), StartOptions{})
		if err != nil {
			b.Fatal(err)
		}
		p.freed(l.Environment)
	}
}
