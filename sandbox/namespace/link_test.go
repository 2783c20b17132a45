package namespace

import (
	"fmt"
	"testing"
	"time"

	"github.com/alcove-run/alcove/sandbox"
)

// BenchmarkLink is what a link adds to making and destroying a sandbox.
func BenchmarkLink(b *testing.B) {
	for _, linked := range []bool{false, true} {
		b.Run(fmt.Sprint(linked), func(b *testing.B) {
			s := newSite(b)
			var create, enter, destroy time.Duration
			for b.Loop() {
				spec, l := s.spec("/usr/bin/true")
				spec.Link = linked
				began := time.Now()
				box := s.create(spec)
				create += time.Since(began)
				enter += box.(interface{ Trace() Trace }).Trace().Enter
				<-box.Done()
				began = time.Now()
				if f := box.(sandbox.Linked).Link(); f != nil {
					f.Close()
				}
				box.Destroy()
				destroy += time.Since(began)
				l.Close()
			}
			ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 / float64(b.N) }
			b.ReportMetric(ms(create), "create-ms")
			b.ReportMetric(ms(enter), "enter-ms")
			b.ReportMetric(ms(destroy), "destroy-ms")
		})
	}
}
