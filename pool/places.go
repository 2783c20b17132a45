package pool

import (
	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/pool/policy"
)

// placesOf is how many places an environment of v takes; of no version yet, one.
func (p *Pool) placesOf(v *alcove.Version) int {
	if v == nil || p.cfg.Places == nil {
		return 1
	}
	return p.cfg.Places(v)
}

// begun counts an environment of v that will exist until gone. A blank one is of no
// version until its end.
func (p *Pool) begun(v *alcove.Version) { p.existing += p.placesOf(v) }

// gone is an environment of which nothing is left, or that was not begun after all.
func (p *Pool) gone(v *alcove.Version) { p.existing -= p.placesOf(v) }

// placeNow tells whether another environment may exist at this moment: those that
// are on their way out still hold their descriptors. One that takes more than a
// place may find only one; the node has so many to spare.
func (p *Pool) placeNow() bool {
	return p.cfg.Environments <= 0 || p.existing < p.cfg.Environments
}

// makePlace has idle environments end if there are as many as may be, and tells
// whether there may be one more, of v. Stock goes before anything that is somebody's.
func (p *Pool) makePlace(v *alcove.Version) bool {
	// What is made ahead goes when it is made, if there is no place for it then: no
	// call is refused for its sake.
	over := p.staying - p.placesAhead + p.queue.places + p.placesOf(v) - p.cfg.Environments
	if p.cfg.Environments <= 0 || over <= 0 {
		return true
	}
	for _, s := range p.shelves {
		for len(s.waiting) > 0 && over > 0 {
			over -= p.placesOf(s.waiting[0].version)
			p.discardBlank(s.waiting[0])
		}
	}
	for _, f := range p.functions {
		for _, st := range f.stocks {
			for len(st.waiting) > 0 && over > 0 {
				over -= p.placesOf(st.waiting[0].version)
				p.discard(st.waiting[0])
			}
		}
	}
	if over <= 0 {
		return true
	}
	idle, entries := p.idle()
	for _, i := range policy.VictimsOf(idle, over+p.cfg.Environments/evictionBatch) {
		over -= p.placesOf(entries[i].version)
		p.retire(entries[i])
	}
	return over <= 0
}

// placeForStock says whether a stock may have another environment: one in
// stockReserve places is left alone.
func (p *Pool) placeForStock() bool {
	n := p.cfg.Environments
	return n <= 0 || p.existing+p.queue.places < n-(n+stockReserve-1)/stockReserve
}

// tooManyEnvironments is the answer when the node has as many environments as it
// has file descriptors for, all at work.
func tooManyEnvironments() error {
	return alcove.Throttled(alcove.ReasonConcurrency, alcove.LimitEnvironments)
}
