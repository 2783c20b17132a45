package environment

import (
	"sync/atomic"
	"time"

	"github.com/alcove-run/alcove/sandbox"
)

// How often the host is asked what a sandbox uses: reading it costs more than
// everything else in a warm invocation's report. An idle environment is asked
// about, off the way of invocations, if it was not for sampleIdle; at the end of
// an invocation, if it was not for sampleBusy.
const (
	sampleIdle = time.Second
	sampleBusy = time.Second
	// longRun is an invocation that may have changed it for good.
	longRun = 100 * time.Millisecond
)

// memorySample is what a sandbox was last seen to use.
type memorySample struct {
	now  atomic.Int64 // bytes
	peak int64        // bytes; owned by the environment's goroutine
	at   time.Time
}

// stale says that it is time to look again at an idle environment.
func (m *memorySample) stale(now time.Time) bool { return now.Sub(m.at) > sampleIdle }

// take asks the host what box uses. What the host does not tell is zero.
func (m *memorySample) take(box sandbox.Sandbox, now time.Time) sandbox.Usage {
	m.at = now
	u, err := box.Usage()
	if err == nil {
		m.now.Store(u.Memory)
		m.peak = max(m.peak, u.Memory, u.MemoryPeak)
	}
	return u
}

// peaker is a sandbox that tells the most that it used at a quarter of the price
// of all that it uses.
type peaker interface{ MemoryPeak() (int64, error) }

// takePeak asks the host for no more than a report needs, for its caller waits. It
// tells whether the host said it.
func (m *memorySample) takePeak(box sandbox.Sandbox) bool {
	p, ok := box.(peaker)
	if !ok {
		return false
	}
	peak, err := p.MemoryPeak()
	m.peak = max(m.peak, peak)
	return err == nil && peak > 0
}

// due says that it is time to look again at the end of an invocation that began
// at started.
func (m *memorySample) due(now, started time.Time) bool {
	return now.Sub(m.at) > sampleBusy || now.Sub(started) > longRun
}

// peakMB is the most that was seen to be used, in MB rounded up.
func (m *memorySample) peakMB() int { return int((m.peak + 1<<20 - 1) >> 20) }
