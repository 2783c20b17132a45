package pool

import (
	"errors"
	"fmt"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/pool/policy"
)

// sweepEvery is how often idle environments are looked through.
const sweepEvery = time.Second

var errEndedEarly = errors.New("pool: the environment ended before its Init did")

// admit makes room for one more environment of g, or refuses it. What it takes
// is given back by release, or with the environment.
//
// Preconditions: p.mu is held.
func (p *Pool) admit(v *alcove.Version, g *group, stocked bool) error {
	if v.Isolated() {
		limit := p.cfg.Cap(v)
		if own := policy.TenantCap(limit, p.cfg.TenantShare); own < limit && !p.withinShare(g, own) {
			return tooManyOfTenant(own)
		}
		if g.fn.tenants >= limit {
			victims := policy.Victims(time.Now(), p.idleOf(g.fn), g.fn.tenants-limit+1, p.cfg.TenantIdleMin)
			p.evict(victims)
			// Those that are on their way out count no more: what they still
			// hold is bounded by how fast they end.
			if g.fn.tenants >= limit {
				return tooManyTenants()
			}
		}
	}
	if p.cfg.Memory > 0 && !stocked { // what is in stock has its memory
		used := p.memoryUsed()
		if need := used + newEnvironmentMemory - p.cfg.Memory; need > 0 {
			need -= p.giveBackStock(need) // nobody's goes before anybody's
			p.evict(policy.VictimsFor(p.idleOf(nil), need))
			if p.memoryUsed()+newEnvironmentMemory > p.cfg.Memory {
				return outOfMemory()
			}
		}
	}
	if v.Isolated() {
		g.fn.count(g.key.tenant, 1)
	}
	return nil
}

// withinShare tells whether g's tenant may have one more environment of its own.
// Those that it has idle, of other versions, make room whenever they were used.
func (p *Pool) withinShare(g *group, own int) bool {
	tenant := g.key.tenant
	if g.fn.byTenant[tenant] < own {
		return true
	}
	var idle []policy.Idle
	for k, other := range g.fn.groups {
		for _, e := range other.idle {
			if k.tenant == tenant {
				idle = append(idle, policy.Idle{ID: e.env.ID(), Since: e.since})
			}
		}
	}
	p.evict(policy.Victims(time.Now(), idle, g.fn.byTenant[tenant]-own+1, 0))
	return g.fn.byTenant[tenant] < own
}

// tooManyTenants is Lambda's answer at the cap of tenant environments. AWS
// documents the exception and the words "Rate exceeded", and no reason of its own.
func tooManyTenants() error {
	return &alcove.Error{Fault: alcove.FaultClient, Code: alcove.CodeTooManyRequests,
		Message: "Rate exceeded", Reason: alcove.ReasonConcurrency, RetryAfter: time.Second}
}

// tooManyOfTenant is the answer to a tenant that has its share of the cap. AWS
// documents no such limit; the reason is alcove's own.
func tooManyOfTenant(own int) error {
	return &alcove.Error{Fault: alcove.FaultClient, Code: alcove.CodeTooManyRequests,
		Message: fmt.Sprintf("Rate exceeded. One tenant may have %d execution environments of this function.", own),
		Reason:  alcove.ReasonTenantEnvironments, RetryAfter: time.Second}
}

func outOfMemory() error {
	return &alcove.Error{Fault: alcove.FaultClient, Code: alcove.CodeTooManyRequests,
		Message: "Rate Exceeded.", Reason: alcove.ReasonConcurrency, RetryAfter: time.Second,
		Err: errors.New("pool: the memory budget for environments is used up")}
}

// idleOf is the snapshot that policy decides on: f's idle environments, or
// everybody's if f is nil.
func (p *Pool) idleOf(f *function) []policy.Idle {
	var out []policy.Idle
	for _, e := range p.entries {
		if e.idle && (f == nil || e.group.fn == f) {
			out = append(out, policy.Idle{ID: e.env.ID(), Since: e.since, Memory: e.memory})
		}
	}
	return out
}

// evict ends the idle environments named.
func (p *Pool) evict(ids []string) {
	if len(ids) == 0 {
		return
	}
	gone := make(map[string]bool, len(ids))
	for _, id := range ids {
		gone[id] = true
	}
	for env, e := range p.entries {
		if e.idle && gone[env.ID()] {
			p.retire(e)
		}
	}
}

// retire ends an idle environment; it counts no more from here on.
func (p *Pool) retire(e *entry) {
	p.unlist(e)
	if e.counts {
		e.counts = false
		e.group.fn.count(e.group.key.tenant, -1)
	}
	e.memory = 0
	go e.env.Close()
}

// memoryUsed is what the environments are charged, in bytes.
func (p *Pool) memoryUsed() int64 {
	var sum int64
	for _, e := range p.entries {
		sum += e.memory
	}
	return sum
}

// Retire ends the idle environments that are no longer current: their function
// was changed or deleted. Busy ones end when they are free.
func (p *Pool) Retire(functionID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.functions[functionID]
	if f == nil {
		return
	}
	p.retireStock(f)
	for _, e := range p.entries {
		if e.idle && e.group.fn == f && !p.cfg.Current(e.group.version) {
			p.retire(e)
		}
	}
}

// sweepLoop ends what has been idle for too long and refreshes what each
// environment is charged.
func (p *Pool) sweepLoop() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-tick.C:
			p.sweep()
		}
	}
}

func (p *Pool) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.evict(policy.Expired(time.Now(), p.idleOf(nil), p.cfg.KeepAlive))
	p.sweepStock()
	for env, e := range p.entries {
		if m := env.Status().Memory; m > 0 && (e.idle || e.stock != nil || m > e.memory) {
			e.memory = m
		}
	}
}
