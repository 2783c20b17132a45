package pool

import (
	"slices"
	"strings"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/pool/policy"
)

// refillDelay is how long a stock waits before it replaces what was taken, so
// that the invocation that took it has the processors to itself.
const refillDelay = 5 * time.Millisecond

// stock is the environments of one version that have finished Init and wait for
// a tenant. What is taken never comes back: from then on it is its tenant's.
//
// A version of an ordinary function has one while it has provisioned
// concurrency; what is taken from it is anybody's from then on.
//
// It belongs to a function and a version number: when code or configuration
// change, what waits goes, and what tenants ask for stays known.
//
// A nil *stock is that of a version that has none.
type stock struct {
	fn      *function
	version *alcove.Version

	waiting  []*entry // ready, oldest first
	making   int
	demand   policy.Demand
	failures int       // of Init, in a row
	retry    time.Time // not before
	short    bool      // it is in the pool's list
}

// stockOf finds or makes v's stock; nil if v has none, or o asks for an
// environment that no stock has.
func (p *Pool) stockOf(v *alcove.Version, o StartOptions) *stock {
	if o.Suppressed || !p.hasStock(v) {
		return nil
	}
	f := p.functions[v.FunctionID]
	if f == nil {
		return nil
	}
	st := f.stocks[v.Number]
	switch {
	case st == nil:
		st = &stock{fn: f, version: v}
		f.stocks[v.Number] = st
	case st.version.Generation < v.Generation:
		p.turnOver(st, v)
	case st.version.Generation > v.Generation:
		return nil
	}
	return st
}

// Expect says that v is what its number of its function runs from now on: a
// stock that there was before the change is made again of it, and one with a
// minimum begins without waiting for the first tenant.
func (p *Pool) Expect(v *alcove.Version) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.done.Go(func() { p.expectBlank(v) })
	f := p.functions[v.FunctionID]
	if v.Isolated() && p.cfg.Stock(v).Kept() > 0 || !v.Isolated() && p.hasStock(v) {
		p.function(v.FunctionID)
	} else if f == nil || f.stocks[v.Number] == nil {
		return
	}
	if st := p.stockOf(v, StartOptions{}); st != nil {
		p.topUp(st)
	}
}

// StockStatus is a stock as a listing shows it.
type StockStatus struct {
	Version string
	Waiting int // initialised, without a tenant
	Making  int
	Wanted  int
}

// Stocks lists the stocks of a function by version number.
func (p *Pool) Stocks(functionID string) []StockStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.functions[functionID]
	if f == nil {
		return nil
	}
	now := time.Now()
	out := make([]StockStatus, 0, len(f.stocks))
	for number, st := range f.stocks {
		out = append(out, StockStatus{Version: number, Waiting: len(st.waiting), Making: st.making,
			Wanted: p.wanted(st, now)})
	}
	slices.SortFunc(out, func(a, b StockStatus) int { return strings.Compare(a.Version, b.Version) })
	return out
}

// turnOver makes st the stock of the version's next generation.
func (p *Pool) turnOver(st *stock, v *alcove.Version) {
	for len(st.waiting) > 0 {
		p.discard(st.waiting[0])
	}
	st.version = v
	st.failures, st.retry = 0, time.Time{}
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
	p.lacks(st)
	p.refillSoon()
}

// took learns from an environment that took so long to make.
func (st *stock) took(d time.Duration) {
	if st != nil {
		st.demand = st.demand.Took(d + refillDelay)
		st.failures = 0
	}
}

// bind takes e out of stock for g's tenant, for life.
func (p *Pool) bind(e *entry, g *group) {
	p.takeOut(e)
	e.stock = nil
	e.group = g
	e.counts = e.version.Isolated()
	g.entries++
	g.holder.entries++
	g.holder.memory += e.memory
}

// takeOut removes e from its stock, if it is there.
func (p *Pool) takeOut(e *entry) {
	list, was := without(e.stock.waiting, e)
	if e.stock.waiting = list; was {
		p.stocked--
	}
}

// without is list without e, and whether e was in it.
func without(list []*entry, e *entry) ([]*entry, bool) {
	i := slices.Index(list, e)
	if i < 0 {
		return list, false
	}
	return slices.Delete(list, i, i+1), true
}

// lack is how many environments st should have and neither has nor is making.
// Those that will soon have waited for too long are as good as gone.
func (p *Pool) lack(st *stock, now time.Time) int {
	fresh := 0
	for _, e := range st.waiting {
		if now.Sub(e.since) < policy.StockAge-policy.StockRenewal {
			fresh++
		}
	}
	return p.wanted(st, now) - fresh - st.making
}

// lacks puts st into the list of those that want more, if it does.
func (p *Pool) lacks(st *stock) {
	now := time.Now()
	if st.short || now.Before(st.retry) || p.lack(st, now) <= 0 || !p.cfg.Current(st.version) {
		return // the next demand, or sweep, looks again
	}
	st.short = true
	p.short = append(p.short, st)
}

// refillSoon has refill called when the invocation that begins now has had the
// processors to itself for a while.
func (p *Pool) refillSoon() {
	if p.refilling || len(p.short) == 0 && p.lackBlanks(time.Now(), false) == nil {
		return
	}
	p.refilling = true
	time.AfterFunc(refillDelay, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.refilling = false
		p.refill()
	})
}

// refill starts environments for the stocks that are short, in turn, as far as
// nobody is kept waiting by that: calls that wait have creators of their own and
// come first, a version whose new tenants come one by one leaves the processors
// to them altogether, and one whose new tenants come faster than they can be
// served one by one uses what creators are left.
//
// Preconditions: p.mu is held.
func (p *Pool) refill() {
	p.fillShelves(true)
	for n := len(p.short); n > 0 && !p.closed && !p.diskShort.Load() && p.queue.waiting == 0 && p.making+p.stocking < p.cfg.Refillers; n-- {
		st := p.short[0]
		p.short = p.short[1:]
		st.short = false
		now := time.Now()
		switch {
		case p.making > 0 && !st.demand.Steady(now):
			st.short = true
			p.short = append(p.short, st) // another time
			continue
		case p.lack(st, now) <= 0, now.Before(st.retry), !p.cfg.Current(st.version), !p.roomForStock(st.fn.expected()), !p.placeForStock():
			continue
		}
		st.making++
		p.stocking++
		p.begun(st.version)
		e := &entry{version: st.version, stock: st, began: now}
		p.makeAhead(e, st.fn.expected())
		go p.createStock(e)
		p.lacks(st)
		n = len(p.short) + 1 // there may be processors for more
	}
	p.fillShelves(false)
}

// createStock starts the environment of e, which nobody waits for.
func (p *Pool) createStock(e *entry) {
	ready := make(chan struct{})
	env, err := p.cfg.Start(e.version, "", StartOptions{Provisioned: !e.version.Isolated()}, p.hooks(e, ready))
	p.mu.Lock()
	defer p.mu.Unlock()
	defer close(ready)
	if err != nil {
		p.cfg.Log.Warn("stock cannot be made", "function", e.version.Name, "error", err)
		p.gone(e.version)
		p.charge(e, 0)
		p.stockFailed(e)
		return
	}
	e.env = env
	p.entries[env] = e
	if p.closed {
		go env.Close()
	}
}

// stockReady puts e, whose Init is done, into its stock. It tells whether e is
// wanted.
func (p *Pool) stockReady(e *entry) bool {
	st := e.stock
	if st.version == e.version {
		st.fn.took(time.Since(e.began))
		st.took(time.Since(e.began))
	}
	p.stockMade(e)
	defer p.topUp(st)
	if p.closed || st.version != e.version || !p.cfg.Current(st.version) {
		p.charge(e, 0)
		return false
	}
	// Whoever waits for the first environment of a tenant need not wait for
	// the one that is being made.
	if w := p.queue.popFor(st.version); w != nil {
		p.bind(e, w.group)
		w.began = true // this is the environment that admit promised
		p.unpromise(w)
		p.settle(w)
		w.reply <- leased{lease: Lease{Environment: e.env, Why: w.why}}
		return true
	}
	if p.crowdedOut() {
		p.charge(e, 0)
		return false
	}
	st.waiting = append(st.waiting, e)
	p.stocked++
	return true
}

// stockMade gives e's place among those being made back, once.
func (p *Pool) stockMade(e *entry) {
	if e.stock == nil || !e.since.IsZero() {
		return
	}
	e.since = time.Now()
	e.stock.making--
	p.stocking--
	p.madeAhead(e)
}

// topUp has st, and whoever else is short, filled up as far as may be.
func (p *Pool) topUp(st *stock) {
	p.lacks(st)
	p.refill()
}

// stockFailed is an Init that failed with nobody waiting: it is tried again
// later and later. The next invocation runs Init itself and has its error.
func (p *Pool) stockFailed(e *entry) {
	st := e.stock
	if st == nil {
		return
	}
	if st.version == e.version {
		st.failures++
		st.retry = time.Now().Add(policy.Backoff(st.failures))
	}
	p.stockMade(e)
	p.topUp(st)
}

// unstock forgets an environment that ended in stock.
func (p *Pool) unstock(e *entry) {
	p.charge(e, 0)
	p.stockMade(e)
	p.takeOut(e)
	p.forgetStock(e.stock)
}

// forgetStock drops a stock that has nothing and wants nothing.
func (p *Pool) forgetStock(st *stock) {
	if len(st.waiting) > 0 || st.making > 0 {
		return
	}
	// What is provisioned is looked after though all of it is in use.
	if p.cfg.Current(st.version) && (p.wanted(st, time.Now()) > 0 || !st.version.Isolated() && p.hasStock(st.version)) {
		return
	}
	if st.fn.stocks[st.version.Number] == st {
		delete(st.fn.stocks, st.version.Number)
		p.forgetFunction(st.version.FunctionID, st.fn)
	}
}

// discard ends an environment in stock; its memory counts no more from here on.
func (p *Pool) discard(e *entry) {
	p.takeOut(e)
	p.charge(e, 0)
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

// sweepStock ends what is too much or has waited for too long, and fills up what
// is too little.
func (p *Pool) sweepStock() {
	now := time.Now()
	for _, f := range p.functions {
		for _, st := range f.stocks {
			for len(st.waiting) > 0 && now.Sub(st.waiting[0].since) >= policy.StockAge {
				p.discard(st.waiting[0])
			}
			p.discardAll(st, p.wanted(st, now))
			p.lacks(st)
		}
	}
	p.sweepShelves()
	p.refill()
}

// giveBackStock ends environments in stock, blank ones first and then the oldest, until need bytes come
// free, and tells how many did.
func (p *Pool) giveBackStock(need int64) (freed int64) {
	freed = p.giveBackBlanks(need)
	if p.stocked == 0 {
		return freed
	}
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
