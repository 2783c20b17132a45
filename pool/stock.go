package pool

import (
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/pool/policy"
)

// refillDelay is how long a stock waits before it replaces what was taken, so
// that the invocation that took it has the processors to itself.
const refillDelay = 5 * time.Millisecond

type stockKey struct {
	number     string
	generation int64
}

// stock is the environments of one version that have finished Init and wait for
// a tenant. What is taken never comes back: from then on it is its tenant's.
//
// A nil *stock is that of a version that has none.
type stock struct {
	fn      *function
	key     stockKey
	version *alcove.Version

	waiting  []*entry // ready, oldest first
	making   int
	demand   policy.Demand
	failures int       // of Init, in a row
	retry    time.Time // not before
	refill   *time.Timer
}

// stockOf finds or makes v's stock; nil if v has none, or o asks for an
// environment that no stock has.
func (p *Pool) stockOf(v *alcove.Version, o StartOptions) *stock {
	if p.cfg.StockMax <= 0 || !v.Isolated() || o.Suppressed {
		return nil
	}
	f := p.functions[v.FunctionID]
	if f == nil {
		return nil
	}
	k := stockKey{v.Number, v.Generation}
	st := f.stocks[k]
	if st == nil {
		st = &stock{fn: f, key: k, version: v}
		f.stocks[k] = st
	}
	return st
}

// ready is the environment that a new tenant gets, or nil: the youngest, whose
// memory is warm in the processor's caches.
func (st *stock) ready() *entry {
	if st == nil || len(st.waiting) == 0 {
		return nil
	}
	return st.waiting[len(st.waiting)-1]
}

// demanded counts a new tenant, or one that needs one more, and has the stock
// filled up soon.
func (st *stock) demanded(p *Pool) {
	if st == nil {
		return
	}
	st.demand = st.demand.Arrived(time.Now())
	p.refillSoon(st, refillDelay)
}

func (st *stock) took(d time.Duration) {
	if st != nil {
		st.demand = st.demand.Took(d)
		st.failures = 0
	}
}

// bind takes e out of stock for g's tenant, for life.
func (p *Pool) bind(e *entry, g *group) {
	p.takeOut(e)
	e.stock = nil
	e.group = g
	e.counts = true
	g.entries++
}

// takeOut removes e from its stock's list.
func (p *Pool) takeOut(e *entry) {
	st := e.stock
	for i, other := range st.waiting {
		if other == e {
			st.waiting = append(st.waiting[:i], st.waiting[i+1:]...)
			return
		}
	}
}

// refillSoon has fill look at st after d.
func (p *Pool) refillSoon(st *stock, d time.Duration) {
	if st.refill != nil {
		return
	}
	st.refill = time.AfterFunc(d, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		st.refill = nil
		p.fill(st)
	})
}

// fill starts one environment for st, if it should have more and no call waits
// for an environment: a stock never takes a creator from anybody who waits.
//
// Preconditions: p.mu is held.
func (p *Pool) fill(st *stock) {
	now := time.Now()
	want := policy.Stock(now, st.demand, p.cfg.StockMax)
	switch {
	case p.closed, len(st.waiting)+st.making >= want, !p.cfg.Current(st.version):
		return
	case p.making > 0 || p.stocking > 0 || now.Before(st.retry):
		p.refillSoon(st, max(refillDelay, st.retry.Sub(now)))
		return
	case p.cfg.Memory > 0 && p.memoryUsed()+newEnvironmentMemory > p.cfg.Memory:
		return // the next demand, or sweep, asks again
	}
	st.making++
	p.stocking++
	e := &entry{version: st.version, stock: st, began: now, memory: newEnvironmentMemory}
	go p.createStock(e)
}

// createStock starts the environment of e, which nobody waits for.
func (p *Pool) createStock(e *entry) {
	ready := make(chan struct{})
	env, err := p.start(e, "", StartOptions{}, ready)
	p.mu.Lock()
	defer p.mu.Unlock()
	defer close(ready)
	if err != nil {
		p.cfg.Log.Warn("stock cannot be made", "function", e.version.Name, "error", err)
		p.stockFailed(e)
		return
	}
	e.env = env
	p.entries[env] = e
	if p.closed {
		go env.Close()
	}
}

// stocked puts e, whose Init is done, on its shelf. It tells whether e is wanted.
func (p *Pool) stocked(e *entry) bool {
	st := e.stock
	p.stockMade(e)
	st.took(time.Since(e.began))
	if p.closed || !p.cfg.Current(st.version) {
		e.memory = 0
		return false
	}
	// Whoever waits for the first environment of a tenant need not wait for
	// the one that is being made.
	if w := p.firstWaiter(st); w != nil {
		p.bind(e, w.group)
		w.began = true // this is the environment that admit promised
		p.settle(w)
		w.reply <- leased{lease: Lease{Environment: e.env}}
		return true
	}
	e.since = time.Now()
	st.waiting = append(st.waiting, e)
	p.fill(st)
	return true
}

// firstWaiter is a call for st's version that waits and has no environment on
// its way, or nil.
func (p *Pool) firstWaiter(st *stock) *waiter {
	for k, g := range st.fn.groups {
		if k.number != st.key.number || k.generation != st.key.generation {
			continue
		}
		for _, w := range g.waiters {
			if !w.began && !w.opts.Suppressed {
				return w
			}
		}
	}
	return nil
}

// stockMade gives e's place among those being made back, once.
func (p *Pool) stockMade(e *entry) {
	if !e.began.IsZero() && e.since.IsZero() {
		e.since = time.Now()
		e.stock.making--
		p.stocking--
	}
}

// stockFailed is an Init that failed with nobody waiting: it is tried again
// later and later. The next invocation runs Init itself and has its error.
func (p *Pool) stockFailed(e *entry) {
	st := e.stock
	if st == nil {
		return
	}
	p.stockMade(e)
	st.failures++
	st.retry = time.Now().Add(policy.Backoff(st.failures))
}

// unstock forgets an environment that ended in stock.
func (p *Pool) unstock(e *entry) {
	p.stockMade(e)
	p.takeOut(e)
	p.forgetStock(e.stock)
}

// forgetStock drops a stock that has nothing and wants nothing.
func (p *Pool) forgetStock(st *stock) {
	if len(st.waiting) > 0 || st.making > 0 || p.cfg.Current(st.version) && policy.Stock(time.Now(), st.demand, p.cfg.StockMax) > 0 {
		return
	}
	if st.refill != nil {
		st.refill.Stop()
		st.refill = nil
	}
	if st.fn.stocks[st.key] == st {
		delete(st.fn.stocks, st.key)
		p.forgetFunction(st.version.FunctionID, st.fn)
	}
}

// discard ends an environment in stock; its memory counts no more from here on.
func (p *Pool) discard(e *entry) {
	p.takeOut(e)
	e.memory = 0
	go e.env.Close()
}

// retireStock ends the stock of f's versions that are no longer current.
func (p *Pool) retireStock(f *function) {
	for _, st := range f.stocks {
		if !p.cfg.Current(st.version) {
			p.discardAll(st, 0)
		}
	}
}

// discardAll ends the oldest of st until only keep are left.
func (p *Pool) discardAll(st *stock, keep int) {
	for len(st.waiting) > keep {
		p.discard(st.waiting[0])
	}
	p.forgetStock(st)
}

// sweepStock ends what is too much, and fills up what is too little.
func (p *Pool) sweepStock() {
	now := time.Now()
	for _, f := range p.functions {
		for _, st := range f.stocks {
			p.discardAll(st, policy.Stock(now, st.demand, p.cfg.StockMax))
			p.fill(st)
		}
	}
}

// giveBackStock ends environments in stock, oldest first, until need bytes come
// free, and tells how many did.
func (p *Pool) giveBackStock(need int64) (freed int64) {
	for _, f := range p.functions {
		for _, st := range f.stocks {
			for len(st.waiting) > 0 && freed < need {
				freed += st.waiting[0].memory
				p.discard(st.waiting[0])
			}
		}
	}
	return freed
}
