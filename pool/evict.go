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
// is given back by settle, or with the environment.
//
// Preconditions: p.mu is held.
func (p *Pool) admit(v *alcove.Version, g *group, stocked bool) error {
	if v.Isolated() {
		limit := p.cfg.Cap(v)
		if own := policy.TenantCap(limit, p.cfg.TenantShare); own < limit && !p.withinShare(g, own) {
			return tooManyOfTenant(own)
		}
		if g.fn.tenants >= limit {
			p.evictOldest(g.fn, g.fn.tenants-limit+1)
			// Those that are on their way out count no more: what they still
			// hold is bounded by how fast they end.
			if g.fn.tenants >= limit {
				return tooManyTenants()
			}
		}
	}
	if !stocked && p.diskShort.Load() {
		return outOfDisk()
	}
	if !stocked && !p.makePlace(v) {
		return tooManyEnvironments()
	}
	if !stocked && !p.makeRoom(g.fn.expected()) { // what is in stock has its memory
		return outOfMemory()
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
	var entries []*entry
	for other := range g.holder.groups {
		if other.fn != g.fn {
			continue
		}
		for _, e := range other.idle {
			idle = append(idle, policy.Idle{ID: e.env.ID(), Since: e.since})
			entries = append(entries, e)
		}
	}
	for _, i := range policy.Victims(time.Now(), idle, g.fn.byTenant[tenant]-own+1, 0) {
		p.retire(entries[i])
	}
	return g.fn.byTenant[tenant] < own
}

// tooManyTenants is Lambda's answer at the cap of tenant environments. AWS
// documents the exception and the words "Rate exceeded", and no reason of its own.
func tooManyTenants() error {
	e := alcove.Throttled(alcove.ReasonConcurrency, alcove.LimitTenantEnvironments)
	e.Message = "Rate exceeded"
	return e
}

// tooManyOfTenant is the answer to a tenant that has its share of the cap. AWS
// documents no such limit; the reason is alcove's own.
func tooManyOfTenant(own int) error {
	e := alcove.Throttled(alcove.ReasonTenantEnvironments, alcove.LimitTenantShare)
	e.Message = fmt.Sprintf("Rate exceeded. One tenant may have %d execution environments of this function.", own)
	return e
}

// outOfMemory is the answer when the node's budget is used up by environments
// that all are at work. No account of AWS's ends like that, so no reason fits
// exactly.
func outOfMemory() error {
	return alcove.Throttled(alcove.ReasonConcurrency, alcove.LimitMemory)
}

// evictOldest ends n of f's idle environments, of those that may go for another
// tenant's sake.
func (p *Pool) evictOldest(f *function, n int) {
	var idle []policy.Idle
	var entries []*entry
	for e := range f.idle.all() {
		if len(idle) == n {
			break
		}
		idle = append(idle, policy.Idle{ID: e.env.ID(), Since: e.since})
		entries = append(entries, e)
	}
	for _, i := range policy.Victims(time.Now(), idle, n, p.cfg.TenantIdleMin) {
		p.retire(entries[i])
	}
}

// evictFor ends idle environments, anybody's, until need bytes come free.
func (p *Pool) evictFor(need int64) {
	idle, entries := p.idle()
	for _, i := range policy.VictimsFor(idle, need) {
		p.retire(entries[i])
	}
}

// idle is the snapshot of all idle environments that policy decides on, with what
// is behind it.
func (p *Pool) idle() (idle []policy.Idle, entries []*entry) {
	now := time.Now()
	for _, f := range p.functions {
		for e := range f.idle.all() {
			g := e.group
			idle = append(idle, policy.Idle{ID: e.env.ID(), Since: e.since, Memory: e.memory, Holder: g.holder.key, Held: g.holder.memory,
				Hope: g.habit.Hope(now.Sub(e.since)), Restart: f.restartOf(g.version)})
			entries = append(entries, e)
		}
	}
	return idle, entries
}

// What a restart costs.
const (
	// unknownRestart is taken before an environment of the function was made.
	unknownRestart = 100 * time.Millisecond
	// stockedRestart is the part of it that remains with stock at hand: its
	// caller does not wait, but what is taken has to be made again.
	stockedRestart = 4
)

// took learns from an environment that took so long to make.
func (f *function) took(d time.Duration) {
	if f.restart == 0 {
		f.restart = d
	} else {
		f.restart += (d - f.restart) / 8
	}
}

// restartOf is what it costs now if an environment of v has to be made again.
func (f *function) restartOf(v *alcove.Version) time.Duration {
	d := f.restart
	if d == 0 {
		d = unknownRestart
	}
	if f.stocks[v.Number].ready() != nil {
		d /= stockedRestart
	}
	return d
}

// retire ends an idle environment; it counts no more from here on.
func (p *Pool) retire(e *entry) {
	p.unlist(e)
	if e.counts {
		e.counts = false
		e.group.fn.count(e.group.key.tenant, -1)
	}
	p.charge(e, 0)
	go e.env.Close()
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
	for e := range f.idle.all() {
		if !p.cfg.Current(e.group.version) {
			p.retire(e)
		}
	}
	p.retireStock(f)
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

// aged says whether an environment was used for long enough.
func (p *Pool) aged(e *entry) bool {
	return p.cfg.MaxAge > 0 && time.Since(e.began) >= p.cfg.MaxAge
}

// expire ends what is not worth being held any longer.
func (p *Pool) expire() {
	keep, now := policy.Keeping(p.cfg.KeepAlive), time.Now()
	for _, f := range p.functions {
		for e := range f.idle.all() {
			if p.aged(e) {
				p.retire(e)
				continue
			}
			idle := now.Sub(e.since)
			if idle < keep.Least {
				continue
			}
			if !keep.Holds(e.group.habit.Habit, idle) {
				p.retire(e)
			}
		}
	}
}

func (p *Pool) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expire()
	for env, e := range p.entries {
		p.measure(e, env.Status().Memory)
	}
	p.makeRoom(0) // environments grow
	p.sweepStock()
}
