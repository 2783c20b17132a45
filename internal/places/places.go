// Package places gives out a number of places, so that nobody's many keep others
// from their few: once all are taken, whoever has fewer than somebody else is given
// one of those, and the one that is lost is the oldest of whoever has most.
package places

import (
	"container/list"
	"sync"
)

// Places are the places. Methods are for any number of goroutines.
type Places struct {
	mu   sync.Mutex
	max  int
	all  int
	have map[string]*list.List // of *Place, by whose they are, oldest first
}

// Place is one that is taken.
type Place struct {
	of    *Places
	who   string
	at    *list.Element // nil once it is not
	evict func()
}

// New makes places.
func New(max int) *Places { return &Places{max: max, have: map[string]*list.List{}} }

// Take takes a place for somebody, or gives nil if all are taken and nobody has two
// more than he. evict is called if the place is given to somebody else, by whoever
// takes it then, once, and must not block.
func (p *Places) Take(who string, evict func()) *Place {
	p.mu.Lock()
	var lost *Place
	if p.all >= p.max {
		if lost = p.oldestOfMost(who); lost == nil {
			p.mu.Unlock()
			return nil
		}
		p.drop(lost)
	}
	l := p.have[who]
	if l == nil {
		l = list.New()
		p.have[who] = l
	}
	place := &Place{of: p, who: who, evict: evict}
	place.at = l.PushBack(place)
	p.all++
	p.mu.Unlock()
	if lost != nil {
		lost.evict()
	}
	return place
}

// oldestOfMost is the place that goes for who, or nil. Callers hold p.mu.
func (p *Places) oldestOfMost(who string) *Place {
	var most *list.List
	for _, l := range p.have {
		if most == nil || l.Len() > most.Len() {
			most = l
		}
	}
	own := 0
	if l := p.have[who]; l != nil {
		own = l.Len()
	}
	if most == nil || most.Len() < own+2 {
		return nil
	}
	return most.Front().Value.(*Place)
}

// drop takes a place from who has it. Callers hold p.mu.
func (p *Places) drop(place *Place) {
	l := p.have[place.who]
	l.Remove(place.at)
	place.at = nil
	p.all--
	if l.Len() == 0 {
		delete(p.have, place.who)
	}
}

// Leave gives the place back. It may have been given to somebody else, or left.
func (p *Place) Leave() {
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	if p.at != nil {
		p.of.drop(p)
	}
}

// Touch makes it the newest of whose it is.
func (p *Place) Touch() {
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	if p.at != nil {
		p.of.have[p.who].MoveToBack(p.at)
	}
}

// Taken is how many are.
func (p *Places) Taken() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all
}
