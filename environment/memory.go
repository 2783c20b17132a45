package environment

import (
	"sync/atomic"
	"time"

	"github.com/alcove-run/alcove/sandbox"
)

// sampleEvery bounds how often the host is asked what a sandbox uses: reading it
// costs more than everything else in a warm invocation's report.
const sampleEvery = 100 * time.Millisecond

// memorySample is what a sandbox was last seen to use.
type memorySample struct {
	now  atomic.Int64 // bytes
	peak int64        // bytes; owned by the environment's goroutine
	at   time.Time
}

// peakMB is the most that box was seen to use, in MB rounded up. It asks the
// host again if it has not lately, or if the invocation that began at started
// may have changed it for good.
func (m *memorySample) peakMB(box sandbox.Sandbox, started time.Time) int {
	if now := time.Now(); box != nil && (now.Sub(m.at) > sampleEvery || now.Sub(started) > sampleEvery) {
		m.at = now
		if u, err := box.Usage(); err == nil {
			m.now.Store(u.Memory)
			m.peak = max(m.peak, u.Memory, u.MemoryPeak)
		}
	}
	return int((m.peak + 1<<20 - 1) >> 20)
}
