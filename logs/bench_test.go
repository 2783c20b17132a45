package logs

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
)

// What an invocation pays for a line while the queue has room.
func BenchmarkAppend(b *testing.B) {
	s := openStore(b, Config{Now: time.Now})
	w := s.Stream("g", "s")
	line := []byte(strings.Repeat("x", 120))
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		if i%1000 == 0 {
			b.StopTimer()
			s.Flush(context.Background())
			b.StartTimer()
		}
		w.Append("blue", time.Now(), line)
	}
	if n := s.Stats().Dropped; n > 0 {
		b.Fatalf("%d dropped", n)
	}
}

// Lines that reach the disk: 200 environments, each batch some lines of each.
func BenchmarkIngest(b *testing.B) {
	s := openStore(b, Config{Now: time.Now, QueueBytes: 256 << 20})
	var writers []*Writer
	for i := range 200 {
		writers = append(writers, s.Stream(fmt.Sprint("g", i%20), fmt.Sprint("s", i)))
	}
	line := []byte(strings.Repeat("x", 120))
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		w := i / 4 % len(writers)
		writers[w].Append(alcove.Tenant(fmt.Sprint("t", w%50)), time.Now(), line)
		if i%20_000 == 0 {
			if err := s.Flush(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := s.Flush(context.Background()); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	if st := s.Stats(); st.Lines != int64(b.N) {
		b.Fatalf("stats %+v", st)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}

// One tenant's first 1,000 lines out of a million of a hundred tenants, written
// by invocations of four lines, in batches of 50 ms.
func BenchmarkTenantQuery(b *testing.B) {
	clock := base
	s := openStore(b, Config{QueueBytes: 256 << 20, Now: func() time.Time { return clock }})
	var writers []*Writer
	for i := range 200 {
		writers = append(writers, s.Stream("g", fmt.Sprint("s", i)))
	}
	const lines = 1_000_000
	for i := range lines {
		w := i / 4 * 7919 % len(writers)
		writers[w].Append(alcove.Tenant(fmt.Sprint("t", w/2)), clock, fmt.Appendf(nil, "line %d of tenant %d %s", i, w/2, strings.Repeat("x", 80)))
		if i%20 == 0 {
			clock = clock.Add(time.Millisecond)
		}
		if i%1000 == 0 {
			s.Flush(context.Background())
		}
	}
	if err := s.Flush(context.Background()); err != nil {
		b.Fatal(err)
	}
	st := s.Stats()
	b.Logf("%d lines in %d MB", st.Lines, st.Bytes>>20)
	run := func(name string, q Query, want int) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				p, err := s.Query(context.Background(), q)
				if err != nil || len(p.Events) != want {
					b.Fatalf("%d events, %v", len(p.Events), err)
				}
			}
		})
	}
	run("first 1000 of a tenant", Query{Group: "g", Tenant: new(alcove.Tenant("t42")), Limit: 1000}, 1000)
	run("last 1000 of a tenant", Query{Group: "g", Tenant: new(alcove.Tenant("t42")), Limit: 1000, NewestFirst: true}, 1000)
	run("first 1000 of the group", Query{Group: "g", Limit: 1000}, 1000)
	run("a rare word in everything", Query{Group: "g", Match: func(m []byte) bool { return strings.Contains(string(m), "line 999998 ") }}, 1)
}
