package pool

import (
	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/pool/policy"
)

// begun counts an environment that will exist until gone.
func (p *Pool) begun() { p.existing++ }

// gone is an environment of which nothing is left, or that was not begun after all.
func (p *Pool) gone() { p.existing-- }

// placeNow tells whether another environment may exist at this moment: those that
// are on their way out still hold their descriptors.
func (p *Pool) placeNow() bool {
	return p.cfg.Environments <= 0 || p.existing < p.cfg.Environments
}

// makePlace has an idle environment end if there are as many as may be, and tells
// whether there may be one more. Stock goes before anything that is somebody's.
func (p *Pool) makePlace() bool {
	// What is made ahead goes when it is made, if there is no place for it then: no
	// call is refused for its sake.
	over := p.staying - p.stocking + p.queue.waiting + 1 - p.cfg.Environments
	if p.cfg.Environments <= 0 || over <= 0 {
		return true
	}
	for _, s := range p.shelves {
		for ; len(s.waiting) > 0 && over > 0; over-- {
			p.discardBlank(s.waiting[0])
		}
	}
	for _, f := range p.functions {
		for _, st := range f.stocks {
			for ; len(st.waiting) > 0 && over > 0; over-- {
				p.discard(st.waiting[0])
			}
		}
	}
	if over <= 0 {
		return true
	}
	idle, entries := p.idle()
	for _, i := range policy.VictimsOf(idle, over+p.cfg.Environments/evictionBatch) {
		p.retire(entries[i])
		over--
	}
	return over <= 0
}

// placeForStock says whether a stock may have another environment: one in
// stockReserve places is left alone.
func (p *Pool) placeForStock() bool {
	n := p.cfg.Environments
	return n <= 0 || p.existing+p.queue.waiting < n-(n+stockReserve-1)/stockReserve
}

// tooManyEnvironments is the answer when the node has as many environments as it
// has file descriptors for, all at work.
func tooManyEnvironments() error {
	return alcove.Throttled(alcove.ReasonConcurrency, alcove.LimitEnvironments)
}
