package namespace

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkCost is the processor time of making and of ending a sandbox, which
// other work on the machine changes little: of this process, with the file system for
// /tmp that is made meanwhile, and of the launcher and the program up to its first
// request. A forked program's birth is the template's.
func BenchmarkCost(b *testing.B) {
	s := newSite(b)
	for _, c := range clients {
		if c.name == "go" {
			continue
		}
		b.Run(c.name, func(b *testing.B) {
			if c.template {
				s.awaitTemplate(c.args)
			}
			var making, ending, inside time.Duration
			for b.Loop() {
				spec, l := s.spec(c.args...)
				spec.Template, spec.Link = c.template, true
				before := s.used()
				box := s.create(spec)
				conn, err := l.Accept()
				if err != nil {
					b.Fatal(err)
				}
				s.stocked(spec.Limits.Tmp)
				made := s.used()
				u, err := box.Usage()
				if err != nil {
					b.Fatal(err)
				}
				if err := box.Destroy(); err != nil {
					b.Fatal(err)
				}
				making, ending, inside = making+made-before, ending+s.used()-made, inside+time.Duration(u.CPU)
				conn.Close()
				l.Close()
			}
			for name, d := range map[string]time.Duration{"making-µs": making, "ending-µs": ending, "inside-µs": inside} {
				b.ReportMetric(float64(d.Microseconds())/float64(b.N), name)
			}
		})
	}
}

// used is this process's processor time.
func (s *site) used() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		s.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
