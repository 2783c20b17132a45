package pool

import "iter"

// idleList is a function's idle environments, least recently used first. Its
// links are in the entries, so that a warm invocation allocates nothing for it.
type idleList struct{ first, last *entry }

// push adds e, which was used just now.
func (l *idleList) push(e *entry) {
	e.prev, e.next = l.last, nil
	if l.last == nil {
		l.first = e
	} else {
		l.last.next = e
	}
	l.last = e
}

// remove takes e out.
func (l *idleList) remove(e *entry) {
	if e.prev == nil {
		l.first = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		l.last = e.prev
	} else {
		e.next.prev = e.prev
	}
	e.prev, e.next = nil, nil
}

// all goes from the least recently used on. The one at hand may be removed.
func (l *idleList) all() iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		for e := l.first; e != nil; {
			next := e.next
			if !yield(e) {
				return
			}
			e = next
		}
	}
}

// rest makes e, which can take an invocation, idle.
func (p *Pool) rest(e *entry) {
	g := e.group
	e.idle = true
	g.habit.rested = e.since
	g.idle = append(g.idle, e)
	g.fn.idle.push(e)
}

// wake takes the most recently used idle environment of g, or nil.
func (p *Pool) wake(g *group) *entry {
	n := len(g.idle)
	if n == 0 {
		return nil
	}
	e := g.idle[n-1]
	g.idle[n-1] = nil
	g.idle = g.idle[:n-1]
	g.fn.idle.remove(e)
	e.idle = false
	return e
}

// unlist takes e out of the idle ones, wherever it stands.
func (p *Pool) unlist(e *entry) {
	if !e.idle {
		return
	}
	e.idle = false
	g := e.group
	g.fn.idle.remove(e)
	for i, other := range g.idle {
		if other == e {
			g.idle = append(g.idle[:i], g.idle[i+1:]...)
			return
		}
	}
}
