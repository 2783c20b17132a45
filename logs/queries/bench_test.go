package queries

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/logs"
	"github.com/alcove-run/alcove/logs/insights"
)

var benchLines = flag.Int("lines", 200_000, "how many lines BenchmarkQuery has in the store")

// Queries of JSON lines of a thousand tenants, as platform records and functions
// write them, over the real store: `go test ./logs/queries -bench . -lines 2000000`.
func BenchmarkQuery(b *testing.B) {
	clock := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	began := clock
	s, err := logs.Open(logs.Config{Dir: b.TempDir(), QueueBytes: 256 << 20, Now: func() time.Time { return clock }})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	const tenants = 1000
	var writers []*logs.Writer
	for i := range tenants {
		writers = append(writers, s.Stream("g", fmt.Sprint("s", i)))
	}
	for i := range *benchLines {
		w := i / 4 * 7919 % tenants
		tenant := alcove.Tenant(fmt.Sprint("tenant-", w))
		writers[w].Append(tenant, clock, fmt.Appendf(nil, `{"timestamp":"2026-11-23T00:00:00Z","level":"INFO","requestId":"76269889-7d50-4d6d-a3f1-%012d","tenantId":"%s","message":"order %d was taken","durationMs":%d.5}`, i/4, tenant, i, i%977))
		if i%20 == 0 {
			clock = clock.Add(10 * time.Millisecond)
		}
		if i%5000 == 0 {
			if err := s.Flush(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := s.Flush(context.Background()); err != nil {
		b.Fatal(err)
	}
	r := New(Config{Lines: s.Lines})
	defer r.Close()
	for _, q := range []struct{ name, text string }{
		{"one tenant of 1000", `fields @timestamp, @message | filter tenantId = "tenant-42" or record.tenantId = "tenant-42" | limit 1000`},
		{"one tenant counted by hour", `filter tenantId = "tenant-42" | stats count(*), avg(durationMs), pct(durationMs, 99) by bin(1h)`},
		{"all by tenant", `stats count(*) as n, avg(durationMs) by tenantId | sort n desc | limit 20`},
		{"all for a word", `fields @message | filter @message like "order 777 "`},
		{"all for a member", `fields @message | filter durationMs > 976 | sort durationMs desc | limit 20`},
		{"any 20", `fields @timestamp, @message | limit any 20`},
	} {
		b.Run(strings.ReplaceAll(q.name, " ", "_"), func(b *testing.B) {
			parsed, err := insights.Parse(q.text)
			if err != nil {
				b.Fatal(err)
			}
			var scanned int64
			for b.Loop() {
				id, err := r.Start(Request{Text: q.text, Query: parsed, Groups: []Group{{Name: "g"}}, Since: began, Until: clock.Add(time.Hour)})
				if err != nil {
					b.Fatal(err)
				}
				for {
					i, err := r.Info(id)
					if err != nil || i.Status == Failed {
						b.Fatal(i.Status, err)
					}
					if i.Status == Complete {
						scanned = i.Scanned
						break
					}
					time.Sleep(50 * time.Microsecond)
				}
			}
			b.ReportMetric(float64(scanned), "lines")
		})
	}
}
