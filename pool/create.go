package pool

import (
	"cmp"
	"time"

	"github.com/alcove-run/alcove"
)

// makeMore starts environments for waiting calls while creators are free.
//
// Preconditions: p.mu is held.
func (p *Pool) makeMore() {
	for p.making < p.cfg.Creators && !p.closed && p.placeNow() && p.memoryNow() {
		w := p.queue.pop()
		if w == nil {
			return
		}
		p.making++
		p.begun(w.group.version)
		w.began = true
		e := &entry{version: w.group.version, group: w.group, made: w, began: time.Now(),
			counts: w.group.version.Isolated()}
		w.group.entries++
		w.group.holder.entries++
		p.charge(e, p.unpromise(w))
		// In a goroutine of its own: making one reads files and takes locks of
		// its own.
		go p.create(e)
	}
}

// hooks are e's. What its environment does before the caller has put down who it
// is, by closing ready, waits for that.
func (p *Pool) hooks(e *entry, ready <-chan struct{}) Hooks {
	return Hooks{
		OnInit: func(err error) { <-ready; p.inited(e, err) },
		OnFree: func() { <-ready; p.freed(e.env) },
		OnEnd:  func() { <-ready; p.ended(e) },
	}
}

// create starts the environment of e for the call that waits for it.
func (p *Pool) create(e *entry) {
	w := e.made
	ready := make(chan struct{})
	h := p.hooks(e, ready)
	env, why := p.fromRuntimeStock(e, w.opts, h)
	var err error
	e.why = cmp.Or(why, w.why)
	if env == nil {
		env, err = p.cfg.Start(e.version, e.group.key.tenant, w.opts, h)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	defer close(ready)
	if err != nil {
		p.gone(e.version)
		p.drop(e)
		p.initDone(e)
		if !w.done {
			p.settle(w)
			w.reply <- leased{err: err}
		}
		p.makeMore()
		return
	}
	e.env = env
	p.entries[env] = e
	if p.closed {
		go env.Close()
	}
	// A suppressed Init is part of its invocation, which has to begin first.
	if w.opts.Suppressed {
		if w.done {
			go env.Close()
			return
		}
		p.settle(w)
		w.reply <- leased{lease: Lease{Environment: env, Waited: true, Why: e.why}}
	}
}

// inited is the end of an environment's Init.
func (p *Pool) inited(e *entry, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.stock != nil || e.made == nil {
		if err != nil {
			p.stockFailed(e)
		}
		return
	}
	if err == nil {
		e.group.fn.took(time.Since(e.began))
		if !e.wasBlank {
			p.stockOf(e.version, StartOptions{}).took(time.Since(e.began))
		}
		if e.made != nil && e.made.opts.Suppressed {
			p.initDone(e)
			p.makeMore()
		}
		return // freed follows and knows for whom it was made
	}
	w := e.made
	p.initDone(e)
	if w != nil && !w.done {
		p.settle(w)
		w.reply <- leased{err: err}
	}
	p.makeMore()
}

// initDone gives e's creator back, once.
func (p *Pool) initDone(e *entry) {
	if e.made != nil {
		e.made = nil
		p.making--
		p.refillSoon()
	}
}

// ended is an environment of which nothing is left.
func (p *Pool) ended(e *entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := e.made
	p.initDone(e)
	delete(p.entries, e.env)
	p.gone(e.version)
	if e.group == nil {
		p.unstock(e)
		p.makeMore()
		return
	}
	p.unlist(e)
	p.drop(e)
	p.unpark(e)
	if w != nil && !w.done { // it ended before its Init did
		p.settle(w)
		w.reply <- leased{err: alcove.PlatformError(errEndedEarly)}
	}
	p.makeMore()
}

// drop takes e out of its group's counts.
func (p *Pool) drop(e *entry) {
	p.charge(e, 0)
	e.group.entries--
	e.group.holder.entries--
	if e.counts {
		e.group.fn.count(e.group.key.tenant, -1)
	}
	p.forget(e.group)
}
