package pool

import "time"

// leftEvery is how often calls that wait for memory of an earlier process's sandboxes
// are looked at.
const leftEvery = 20 * time.Millisecond

// left is what sandboxes of an earlier process still hold.
func (p *Pool) left() int64 {
	if p.cfg.Left == nil {
		return 0
	}
	return p.cfg.Left()
}

// memoryNow tells whether there is memory for another environment at this moment. A
// call for which there will be some once sandboxes of an earlier process are gone is
// not refused; it waits for them.
func (p *Pool) memoryNow() bool {
	left := p.left()
	return p.cfg.Memory <= 0 || left <= 0 || p.memory+left+newEnvironmentMemory <= p.cfg.Memory
}

// leftLoop has environments made as memory comes free, until nothing is left that
// could give some.
func (p *Pool) leftLoop() {
	tick := time.NewTicker(leftEvery)
	defer tick.Stop()
	for {
		left := p.left()
		p.mu.Lock()
		p.makeMore()
		p.mu.Unlock()
		if left <= 0 {
			return
		}
		select {
		case <-p.stop:
			return
		case <-tick.C:
		}
	}
}
