package pool

import (
	"context"
	"time"

	"github.com/alcove-run/alcove"
)

// Lease gives the caller an environment of v for tenant: one that is idle, else
// the first that comes free or is made, whichever happens first.
//
// Errors: TooManyRequestsException if there may be no more environments; the
// environment's *environment.InitError if one was made for this call and its
// Init failed; ctx's.
func (p *Pool) Lease(ctx context.Context, v *alcove.Version, tenant alcove.Tenant, o StartOptions) (Lease, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return Lease{}, errShuttingDown()
	}
	g := p.group(v, tenant)
	if !o.Suppressed {
		if e := p.wake(g); e != nil {
			g.habit.woken(e, time.Now())
			p.mu.Unlock()
			return Lease{Environment: e.env}, nil
		}
	}
	w := &waiter{group: g, reply: make(chan leased, 1), opts: o, places: p.placesOf(g.version)}
	if err := p.place(w); err != nil && !p.park(w) {
		p.forget(g)
		p.mu.Unlock()
		return Lease{}, err
	}
	p.mu.Unlock()

	select {
	case l := <-w.reply:
		return l.lease, l.err
	case <-ctx.Done():
		p.abandon(w)
		return Lease{}, ctx.Err()
	}
}

// place gives w an environment from stock or has one made for it, or refuses it.
//
// Preconditions: p.mu is held.
func (p *Pool) place(w *waiter) error {
	g, v, o := w.group, w.group.version, w.opts
	st := p.stockOf(v, o)
	stocked := st.ready()
	if err := p.admit(v, g, stocked != nil); err != nil {
		return err
	}
	w.why = whyNotStock(g, st, o)
	st.demanded(p)
	if g.entries == 0 && len(g.waiters) == 0 {
		g.habit.missed(time.Now())
	}
	if stocked != nil {
		why := whyNotIdle(g)
		p.bind(stocked, g)
		w.done = true
		w.reply <- leased{lease: Lease{Environment: stocked.env, Why: why}}
		return nil
	}
	p.promise(w)
	g.waiters = append(g.waiters, w)
	p.queue.push(w)
	p.makeMore()
	return nil
}

func errShuttingDown() error {
	return &alcove.Error{Fault: alcove.FaultPlatform, Code: alcove.CodeService,
		Message: "The service is shutting down. Try again.", RetryAfter: time.Second}
}

// group finds or makes the group of v and tenant.
func (p *Pool) group(v *alcove.Version, tenant alcove.Tenant) *group {
	f := p.function(v.FunctionID)
	k := groupKey{v.Number, v.Generation, tenant}
	g := f.groups[k]
	if g == nil {
		g = &group{fn: f, fnID: v.FunctionID, key: k, version: v, holder: p.holder(v, tenant),
			habit: p.habits.of(habitKey{v.FunctionID, v.Number, tenant})}
		g.holder.groups[g] = true
		f.groups[k] = g
	}
	return g
}

// function finds or makes what the pool knows of a function.
func (p *Pool) function(id string) *function {
	f := p.functions[id]
	if f == nil {
		f = &function{groups: make(map[groupKey]*group), stocks: make(map[string]*stock), byTenant: make(map[alcove.Tenant]int)}
		p.functions[id] = f
	}
	return f
}

// holder finds or makes whom environments of v for tenant belong to.
func (p *Pool) holder(v *alcove.Version, tenant alcove.Tenant) *holder {
	key := holderOf(tenant)
	if !v.Isolated() {
		key = "function " + v.FunctionID
	}
	h := p.holders[key]
	if h == nil {
		h = &holder{key: key, groups: make(map[*group]bool)}
		p.holders[key] = h
	}
	return h
}

// holderOf is the key of a tenant's holder.
func holderOf(tenant alcove.Tenant) string { return "tenant " + string(tenant) }

// forget drops a group that nobody uses.
func (p *Pool) forget(g *group) {
	if g.entries > 0 || len(g.waiters) > 0 {
		return
	}
	if g.fn.groups[g.key] != g {
		return // forgotten already
	}
	delete(g.fn.groups, g.key)
	p.habits.touch(g.habit)
	delete(g.holder.groups, g)
	if len(g.holder.groups) == 0 {
		delete(p.holders, g.holder.key)
	}
	p.forgetFunction(g.fnID, g.fn)
}

func (p *Pool) forgetFunction(id string, f *function) {
	if len(f.groups) == 0 && len(f.stocks) == 0 && f.tenants == 0 {
		delete(p.functions, id)
	}
}

// abandon takes back a call whose caller has gone. What was leased to it in the
// meantime goes back.
func (p *Pool) abandon(w *waiter) {
	p.mu.Lock()
	if !w.done {
		p.settle(w)
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	if l := <-w.reply; l.lease.Environment != nil {
		p.freed(l.lease.Environment)
	}
}

// settle marks w as served and takes it from its group.
func (p *Pool) settle(w *waiter) {
	w.done = true
	g := w.group
	for i, other := range g.waiters {
		if other == w {
			g.waiters = append(g.waiters[:i], g.waiters[i+1:]...)
			break
		}
	}
	if w.parked != nil {
		w.parked = nil // nothing was promised
		p.forget(g)
		return
	}
	if !w.began { // the environment that admit promised will not be made
		w.began = true
		p.queue.remove(w)
		p.unpromise(w)
		if g.version.Isolated() {
			g.fn.count(g.key.tenant, -1)
		}
		p.forget(g)
	}
}

// promise sets memory aside for the environment that w waits for.
func (p *Pool) promise(w *waiter) {
	w.memory = w.group.fn.expected()
	p.promised += w.memory
}

// unpromise gives back what was set aside, and tells how much it was.
func (p *Pool) unpromise(w *waiter) int64 {
	bytes := w.memory
	w.memory = 0
	p.promised -= bytes
	return bytes
}

// freed is an environment that could take an invocation: it goes to whoever of
// its group waits longest, or becomes idle, or ends if its version is stale.
func (p *Pool) freed(env Environment) {
	stale := false
	p.mu.Lock()
	e := p.entries[env]
	if e == nil || e.idle {
		p.mu.Unlock()
		return
	}
	if e.stock != nil {
		stale = !p.stockReady(e)
		p.mu.Unlock()
		if stale {
			go env.Close()
		}
		return
	}
	waited := e.made
	p.initDone(e)
	g := e.group
	w := g.next(e)
	switch {
	case p.closed:
		stale = true
	case w != nil:
		why := w.why
		if waited == w {
			why = e.why
		}
		p.settle(w)
		w.reply <- leased{lease: Lease{Environment: env, Waited: waited == w, Why: why}}
	case !p.cfg.Current(g.version), p.aged(e):
		stale = true
	default:
		e.since = time.Now()
		p.rest(e)
	}
	p.makeMore()
	p.mu.Unlock()
	if stale {
		go env.Close()
	}
}
