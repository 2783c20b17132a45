package logs

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove"
)

var (
	bulkLines = flag.Int("lines", 1_000_000, "lines that BenchmarkTenantQuery looks for a tenant's in")
	bulkDir   = flag.String("dir", "", "where BenchmarkTenantQuery keeps them for its next run; made if it is not there")
)

// bulkTenants are the tenants of the lines of fillBulk, beside the rare one.
const bulkTenants = 1000

// fillBulk stores lines as a function of a thousand tenants writes them: four for
// each invocation, an environment of each tenant's at a time, thirteen in all, and of
// one tenant that is called once in a while, two lines each time and 1,200 in all.
func fillBulk(b *testing.B, dir string, lines int) {
	clock := base
	s, err := Open(Config{Dir: dir, QueueBytes: 256 << 20, Now: func() time.Time { return clock }})
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	writers := make(map[int]*Writer)
	const each, renewed = 4, 13
	calls := lines / each
	for i := range calls {
		t := i * 7919 % bulkTenants
		part := i * renewed / calls
		w := writers[t+part*bulkTenants]
		if w == nil {
			w = s.Stream("g", fmt.Sprintf("2026/11/23/[7]%016x%016x", part, t))
			writers[t+part*bulkTenants] = w
		}
		clock = clock.Add(2 * time.Millisecond)
		tenant := alcove.Tenant(fmt.Sprint("t", t))
		for n := range each {
			w.Append(tenant, clock, bulkLine(i*each+n, tenant))
		}
		if every := max(calls/600, 1); i%every == 0 {
			w := s.Stream("g", fmt.Sprintf("2026/11/23/[7]rare%028x", i/every/20))
			for n := range 2 {
				w.Append("rare", clock, bulkLine(i*each+n, "rare"))
			}
		}
		if i%250 == 0 {
			if err := s.Flush(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	b.Logf("stored %d lines in %v", lines, time.Since(began).Round(time.Millisecond))
}

func bulkLine(n int, tenant alcove.Tenant) []byte {
	return fmt.Appendf(nil, `{"timestamp":"2026-11-23T12:00:00.%03dZ","level":"INFO","message":"line %d","tenantId":"%s"}`+"\n", n%1000, n, tenant)
}

// dropCached takes the files of a directory out of the page cache.
func dropCached(b *testing.B, dir string) {
	b.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
}

// Lines of one tenant out of a million of a thousand tenants: go test -run -
// -bench TenantQuery -benchtime 5x ./logs -lines 10000000. Cold is a store that was
// just opened, with nothing of its files in the page cache.
func BenchmarkTenantQuery(b *testing.B) {
	dir := *bulkDir
	if dir == "" {
		dir = b.TempDir()
	}
	if _, err := os.Stat(filepath.Join(dir, "index.db")); err != nil {
		fillBulk(b, dir, *bulkLines)
	}
	clock := func() time.Time { return base.Add(24 * time.Hour) }
	open := func() *Store {
		s, err := Open(Config{Dir: dir, Now: clock})
		if err != nil {
			b.Fatal(err)
		}
		return s
	}
	s := open()
	defer func() { s.Close() }()
	b.Logf("%.1f bytes a line", float64(s.Stats().Bytes)/float64(*bulkLines))
	queries := []struct {
		name string
		q    Query
		want int
	}{
		{"first 1000 of a tenant", Query{Group: "g", Tenant: new(alcove.Tenant("t42")), Limit: 1000}, 1000},
		{"last 1000 of a tenant", Query{Group: "g", Tenant: new(alcove.Tenant("t42")), Limit: 1000, NewestFirst: true}, 1000},
		{"first 1000 of a rare tenant", Query{Group: "g", Tenant: new(alcove.Tenant("rare")), Limit: 1000}, 1000},
		{"first 1000 of the group", Query{Group: "g", Limit: 1000}, 1000},
	}
	for _, t := range queries {
		b.Run(t.name+", cold", func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
				dropCached(b, dir)
				b.StartTimer()
				s = open()
				if p, err := s.Query(context.Background(), t.q); err != nil || len(p.Events) != t.want {
					b.Fatalf("%d events, %v", len(p.Events), err)
				}
			}
		})
		b.Run(t.name, func(b *testing.B) {
			for b.Loop() {
				if p, err := s.Query(context.Background(), t.q); err != nil || len(p.Events) != t.want {
					b.Fatalf("%d events, %v", len(p.Events), err)
				}
			}
		})
	}
	b.Run("a rare word in everything", func(b *testing.B) {
		word := fmt.Sprintf("line %d\"", *bulkLines-2)
		for b.Loop() {
			q := Query{Group: "g", Match: func(m []byte) bool { return strings.Contains(string(m), word) }}
			n := 0
			for {
				p, err := s.Query(context.Background(), q)
				if err != nil {
					b.Fatal(err)
				}
				n += len(p.Events)
				if q.After = p.Next; p.Next == "" {
					break
				}
			}
			if n != 1 {
				b.Fatalf("%d events", n)
			}
		}
	})
}
