package pool

import (
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/pool/policy"
)

// What a version of an ordinary function has provisioned is kept by its stock:
// environments that are in use or idle count, and the stock holds what is missing.

// wanted is how many environments st should hold.
func (p *Pool) wanted(st *stock, now time.Time) int {
	if st.version.Isolated() {
		return policy.Stock(now, st.demand, p.cfg.Stock(st.version))
	}
	return max(0, p.cfg.Provisioned(st.version)-p.leasable(st))
}

// leasable is how many environments of an ordinary version exist, or are being
// made, outside of its stock.
func (p *Pool) leasable(st *stock) int {
	if g := st.fn.groups[groupKey{number: st.version.Number, generation: st.version.Generation}]; g != nil {
		return g.entries
	}
	return 0
}

// hasStock says whether environments of v are ever made ahead.
func (p *Pool) hasStock(v *alcove.Version) bool {
	if v.Isolated() {
		return p.cfg.Stock(v).Max > 0
	}
	return p.cfg.Provisioned(v) > 0
}

// ProvisionedStatus is how far a version's provisioned concurrency has come.
type ProvisionedStatus struct {
	Allocated, Available int
	// Failing says that the last environment made for it failed in Init.
	Failing bool
}

// Provisioned tells of the environments that v's provisioned concurrency keeps.
func (p *Pool) Provisioned(v *alcove.Version) (s ProvisionedStatus) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.functions[v.FunctionID]
	if f == nil {
		return s
	}
	if st := f.stocks[v.Number]; st != nil && st.version.Generation == v.Generation {
		s.Allocated, s.Available, s.Failing = len(st.waiting)+st.making, len(st.waiting), st.failures > 0
	}
	if g := f.groups[groupKey{number: v.Number, generation: v.Generation}]; g != nil {
		s.Allocated += g.entries
		s.Available += g.entries
		for _, w := range g.waiters {
			if w.began {
				s.Available-- // still in Init
			}
		}
	}
	n := p.cfg.Provisioned(v)
	s.Allocated, s.Available = min(s.Allocated, n), min(max(s.Available, 0), n)
	return s
}

// RoomFor says whether this node can keep n environments of v at all.
func (p *Pool) RoomFor(v *alcove.Version, n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	expected := int64(newEnvironmentMemory)
	if f := p.functions[v.FunctionID]; f != nil {
		expected = f.expected()
	}
	return (p.cfg.Environments == 0 || n*p.placesOf(v) <= p.cfg.Environments) && (p.cfg.Memory == 0 || int64(n)*expected <= p.cfg.Memory)
}
