package namespace

import (
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/sandboxtest"
)

// TestLinkWithoutTun: on a machine without /dev/net/tun there are links, too, and
// sandboxes do not tell the difference.
func TestLinkWithoutTun(t *testing.T) {
	sandboxtest.RunLink(t, sandboxtest.Options{
		New: func(t *testing.T, dir string) sandbox.Driver {
			d, err := open(dir)
			if err != nil {
				t.Fatal(err)
			}
			d.(*Driver).pair = true
			return d
		},
		SharesKernel: true,
		Allowed:      map[string]string{"link/posture/host_paths": bound},
	})
}

// TestLinkAddresses: a link has the addresses that it was given and makes none of its
// own, which it would announce.
func TestLinkAddresses(t *testing.T) {
	s := newSite(t)
	for _, pair := range []bool{false, true} {
		if s.driver.pair = pair; !pair {
			if _, err := os.Stat("/dev/net/tun"); err != nil {
				continue
			}
		}
		k := s.talker(func(spec *sandbox.Spec) { spec.Link = true })
		k.want("sorted(l.split()[0] for l in open('/proc/net/if_inet6') if l.split()[-1] == '"+sandbox.LinkName+"')",
			fmt.Sprintf("['%x']", netip.MustParseAddr(sandbox.LinkAddr6).AsSlice()))
	}
}

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
