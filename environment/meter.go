package environment

import "time"

// What an environment may write in the long run, in a second, and at once. A line
// costs the node many times what it costs the function, and nobody is charged
// for it: whoever writes more waits in its own write.
const (
	// workRate counts reads and records: a line written by itself is one of each.
	workRate  = 4000
	workBurst = 5 * workRate
	byteRate  = 2 << 20
	byteBurst = 8 * byteRate
	// debt is how many seconds' worth an answer may fall due before what was
	// written ahead of it is read; what is beyond is dropped, and counted.
	debt = 1
	// meterPause is how long a pipe is left alone at least, so that what comes
	// through it comes in fewer reads.
	meterPause = 20 * time.Millisecond
)

// meter is a token bucket on work and bytes. It looks at no clock until one of
// them is used up, so that who writes little pays nothing.
type meter struct {
	work, bytes float64 // what is left; below zero it is owed
	last        time.Time
}

func newMeter(now time.Time) meter { return meter{work: workBurst, bytes: byteBurst, last: now} }

func (m *meter) pay(work, bytes int) {
	m.work -= float64(work)
	m.bytes -= float64(bytes)
}

// owes tells whether more is used up than limit seconds' worth beyond the bucket.
func (m *meter) owes(limit float64) bool {
	below := func() bool { return m.work < -limit*workRate || m.bytes < -limit*byteRate }
	if !below() {
		return false
	}
	now := time.Now()
	passed := now.Sub(m.last).Seconds()
	m.last = now
	m.work = min(m.work+passed*workRate, workBurst)
	m.bytes = min(m.bytes+passed*byteRate, byteBurst)
	return below()
}

// pause is how long it takes until nothing is owed.
func (m *meter) pause() time.Duration {
	owed := max(-m.work/workRate, -m.bytes/byteRate, 0)
	return max(meterPause, time.Duration(owed*float64(time.Second)))
}
