package pool

import (
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/pool/policy"
)

// What is in /tmp of all environments together is bounded by the disk alone: each
// has a size of its own, and few use it. So the disk keeps a reserve, and while
// it is short of it there are no new environments and idle ones end.

// Disk is how the pool learns of the disk that /tmp of its environments is on.
type Disk struct {
	// Lack is how many bytes are missing until the disk has its reserve free, zero
	// or less if none is. It is asked ten times a second and must not block.
	Lack func() int64
	// Urgent is the lack from which on also busy environments end.
	Urgent int64
	// Use is what each environment holds of the disk, by its id; it may take a
	// while.
	Use func() map[string]int64
}

const (
	// diskEvery is how often the disk is looked at: a writer can fill a gigabyte
	// a second.
	diskEvery = 100 * time.Millisecond
	// diskSettle is how long what ended has for giving back its room before more
	// ends.
	diskSettle = 500 * time.Millisecond
)

// outOfDisk is the answer while the disk is short of its reserve.
func outOfDisk() error {
	return alcove.Throttled(alcove.ReasonConcurrency, alcove.LimitDisk)
}

// diskLoop looks at the disk.
func (p *Pool) diskLoop() {
	tick := time.NewTicker(diskEvery)
	defer tick.Stop()
	var next time.Time // when something may end again
	short := false
	for {
		lack := p.cfg.Disk.Lack()
		p.diskShort.Store(lack > 0)
		if now := time.Now(); lack > 0 && !now.Before(next) {
			ended := p.relieveDisk(lack)
			if !short || ended > 0 {
				p.cfg.Log.Warn("the disk is short of its reserve: no new environments", "bytes", lack, "ended", ended)
			}
			next = now.Add(diskSettle)
		}
		if short && lack <= 0 {
			p.cfg.Log.Info("the disk has its reserve again")
		}
		short = lack > 0
		select {
		case <-p.stop:
			return
		case <-tick.C:
		}
	}
}

// relieveDisk ends environments that hold the most of the disk, and tells how
// many.
func (p *Pool) relieveDisk(lack int64) int {
	use := p.cfg.Disk.Use()
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []policy.OnDisk
	for env, e := range p.entries {
		if n := use[env.ID()]; n > 0 && e.made == nil {
			list = append(list, policy.OnDisk{ID: env.ID(), Bytes: n, Idle: e.idle || e.stock != nil || e.shelf != nil})
		}
	}
	gone := make(map[string]bool)
	for _, id := range policy.VictimsForDisk(list, lack, lack >= p.cfg.Disk.Urgent) {
		gone[id] = true
	}
	for env, e := range p.entries {
		switch {
		case !gone[env.ID()]:
		case e.idle:
			p.retire(e)
		case e.stock != nil:
			p.discard(e)
		case e.shelf != nil:
			p.discardBlank(e)
		default:
			go env.Kill()
		}
	}
	return len(gone)
}
