package pool

import "slices"

// park has w wait for the environment that has given its invocation back, if that
// exists still, and tells whether it does. Its runtime is late at /next: it comes
// back, or the environment ends, both soon (see environment's settleLimit). Until
// then it counts against its tenant, who may not have another beside it; but a
// tenant that calls one at a time is not told that it calls too often.
//
// Preconditions: p.mu is held, and place has refused w.
func (p *Pool) park(w *waiter) bool {
	e := p.entries[w.opts.HandedBack]
	if e == nil || e.group != w.group || e.idle || w.opts.Suppressed {
		return false
	}
	w.parked = e
	w.group.waiters = append(w.group.waiters, w)
	return true
}

// next is who of g waits for e, which has come free: the invocation that it gave
// back, else the first. It is nil if nobody does.
func (g *group) next(e *entry) *waiter {
	if i := slices.IndexFunc(g.waiters, func(w *waiter) bool { return w.parked == e }); i >= 0 {
		return g.waiters[i]
	}
	for _, w := range g.waiters {
		if !w.opts.Suppressed { // those have an environment of their own
			return w
		}
	}
	return nil
}

// unpark serves who waited for e, which has ended, as if they came now.
//
// Preconditions: p.mu is held, and e counts no more.
func (p *Pool) unpark(e *entry) {
	for _, w := range slices.Clone(e.group.waiters) {
		if w.parked != e {
			continue
		}
		g := w.group
		g.waiters = slices.DeleteFunc(g.waiters, func(o *waiter) bool { return o == w })
		w.parked = nil
		err := errShuttingDown()
		if !p.closed {
			err = p.place(w)
		}
		if err != nil {
			w.done = true
			w.reply <- leased{err: err}
			p.forget(g)
		}
	}
}
