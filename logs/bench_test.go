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
