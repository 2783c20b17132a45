package pool

import (
	"cmp"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/environment"
	"github.com/alcove-run/alcove/pool/policy"
)

// RuntimeStock is how the pool has environments made before their function is
// known. All of it is called without locks held.
type RuntimeStock struct {
	// Shape tells which blank environments can become v's. why says in a few words
	// that none can, or, of a shape that is Held, why none is closer to it.
	Shape func(v *alcove.Version) (shape environment.Shape, why string, err error)
	// Start begins to make a blank environment of like's shape, which has nothing
	// else of like.
	Start func(like *alcove.Version, h BlankHooks) (Environment, error)
	// Specialise makes a blank environment one of v's; h takes the place of its
	// BlankHooks. After an error h is not used, and the environment ends.
	Specialise func(blank Environment, v *alcove.Version, h Hooks) error
	// Max is how many of a shape wait; zero keeps none.
	Max int
}

// BlankHooks are Hooks of a blank environment.
type BlankHooks struct {
	OnBlank func() // it waits for a function
	OnEnd   func()
}

// maxShapes bounds how many shapes have blank environments waiting.
const maxShapes = 6

// shapeStay is how long a shape that was asked for has its place before it may go
// for another's sake: with more shapes in use than there are places, each call
// would else have an environment ended and another made.
const shapeStay = time.Minute

// blankEnvironmentMemory is what a blank environment is charged before it was
// measured.
const blankEnvironmentMemory = 16 << 20

// shelf is the blank environments of one shape. What is taken never comes back.
type shelf struct {
	shape environment.Shape
	// like is the version that asked last.
	like *alcove.Version

	waiting  []*entry // oldest first
	making   int
	demand   policy.Demand
	failures int       // to make one, in a row
	retry    time.Time // not before
}

// shape asks which blank environments can become v's.
func (p *Pool) shape(v *alcove.Version) (shape environment.Shape, why string) {
	if p.cfg.RuntimeStock.Max <= 0 {
		return shape, whyRuntimeStockOff
	}
	shape, why, err := p.cfg.RuntimeStock.Shape(v)
	if err != nil { // whoever starts it will tell
		return environment.Shape{}, whyRuntimeEmpty
	}
	return shape, why
}

// none tells whether no blank environment can become that of a function with this
// shape and reason.
func none(shape environment.Shape, why string) bool { return why != "" && !shape.Held }

// fromRuntimeStock makes a blank environment e's. It answers nil if there is none,
// and why nothing quicker could be had, if that is not known to the call.
func (p *Pool) fromRuntimeStock(e *entry, o StartOptions, h Hooks) (Environment, string) {
	if o.Suppressed {
		return nil, whyInitFailed
	}
	shape, why := p.shape(e.version)
	if none(shape, why) {
		return nil, why
	}
	blank := p.takeBlank(shape, e.version)
	if blank == nil {
		return nil, cmp.Or(why, whyRuntimeEmpty)
	}
	if err := p.cfg.RuntimeStock.Specialise(blank.env, e.version, h); err != nil {
		p.cfg.Log.Warn("blank environment cannot be specialised", "function", e.version.Name, "error", err)
		go blank.env.Close() // in case it goes on; its end is told to the pool
		return nil, whyNotSpecialised
	}
	// It is e from now on, and counted as that.
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone(nil)
	e.wasBlank = true
	return blank.env, why
}

// takeBlank takes the youngest blank environment of a shape, for good, or answers
// nil.
func (p *Pool) takeBlank(shape environment.Shape, v *alcove.Version) *entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.shelfOf(shape, v)
	if s == nil {
		return nil
	}
	s.demand = s.demand.Arrived(time.Now())
	p.refillSoon()
	n := len(s.waiting)
	if n == 0 {
		return nil
	}
	e := s.waiting[n-1]
	s.waiting = s.waiting[:n-1]
	p.charge(e, 0) // whatever it becomes is charged already
	return e
}

// shelfOf finds or makes the shelf of a shape, for v; nil if there are as many as
// may be and all are in use.
func (p *Pool) shelfOf(shape environment.Shape, v *alcove.Version) *shelf {
	s := p.shelves[shape]
	if s == nil {
		if len(p.shelves) >= maxShapes {
			least := p.leastWanted()
			if time.Since(least.demand.Last) < shapeStay {
				return nil
			}
			p.dropShelf(least)
		}
		s = &shelf{shape: shape}
		p.shelves[shape] = s
	}
	s.like = v
	return s
}

// leastWanted is the shelf that was asked longest ago.
func (p *Pool) leastWanted() *shelf {
	var least *shelf
	for _, s := range p.shelves {
		if least == nil || s.demand.Last.Before(least.demand.Last) {
			least = s
		}
	}
	return least
}

// expectBlank has a blank environment of v's shape ready for v's first call.
func (p *Pool) expectBlank(v *alcove.Version) {
	shape, why := p.shape(v)
	if none(shape, why) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.shelves[shape] == nil && len(p.shelves) >= maxShapes {
		return // those that are there serve calls
	}
	p.shelfOf(shape, v)
	p.refillSoon()
}

// wantedBlanks is how many blank environments s should have.
func (p *Pool) wantedBlanks(s *shelf, now time.Time) int {
	return policy.Blanks(now, s.demand, p.cfg.RuntimeStock.Max, p.cfg.Current(s.like))
}

// lackBlanks is a shelf that should have more, or nil; of those alone that have
// nothing at all if bare.
func (p *Pool) lackBlanks(now time.Time, bare bool) *shelf {
	for _, s := range p.shelves {
		if bare && len(s.waiting)+s.making > 0 {
			continue
		}
		if !now.Before(s.retry) && len(s.waiting)+s.making < p.wantedBlanks(s, now) {
			return s
		}
	}
	return nil
}

// fillShelves starts blank environments for shelves that lack them, or that are
// bare, when nobody waits for anything else that is being made. The first of a
// shelf comes before stocks, because it serves any function; more come after.
//
// Preconditions: p.mu is held.
func (p *Pool) fillShelves(bare bool) {
	for !p.closed && !p.diskShort.Load() && p.queue.waiting == 0 && p.making == 0 && p.stocking < p.cfg.Refillers {
		s := p.lackBlanks(time.Now(), bare)
		if s == nil || !p.roomForStock(blankEnvironmentMemory) || !p.placeForStock() {
			return
		}
		s.making++
		p.stocking++
		p.begun(nil)
		e := &entry{shelf: s, began: time.Now()}
		p.makeAhead(e, blankEnvironmentMemory)
		go p.createBlank(e, s.like)
	}
}

// createBlank starts the blank environment of e.
func (p *Pool) createBlank(e *entry, like *alcove.Version) {
	ready := make(chan struct{})
	env, err := p.cfg.RuntimeStock.Start(like, BlankHooks{
		OnBlank: func() { <-ready; p.blankReady(e) },
		OnEnd:   func() { <-ready; p.blankEnded(e) },
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	defer close(ready)
	if err != nil {
		p.cfg.Log.Warn("runtime stock cannot be made", "runtime", e.shelf.shape.Root, "error", err)
		p.gone(nil)
		p.charge(e, 0)
		p.blankMade(e, false)
		return
	}
	e.env = env
	p.entries[env] = e
	if p.closed {
		go env.Close()
	}
}

// blankMade gives e's place among those being made back, once.
func (p *Pool) blankMade(e *entry, good bool) {
	s := e.shelf
	if !e.since.IsZero() {
		return
	}
	e.since = time.Now()
	s.making--
	p.stocking--
	p.madeAhead(e)
	if good {
		s.failures = 0
		s.demand = s.demand.Took(e.since.Sub(e.began) + refillDelay)
	} else {
		s.failures++
		s.retry = e.since.Add(policy.Backoff(s.failures))
	}
	p.refill()
}

// blankReady puts e onto its shelf.
func (p *Pool) blankReady(e *entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := e.shelf
	p.blankMade(e, true)
	if p.closed || p.shelves[s.shape] != s || p.crowdedOut() {
		p.charge(e, 0)
		go e.env.Close()
		return
	}
	s.waiting = append(s.waiting, e)
}

// blankEnded is a blank environment of which nothing is left.
func (p *Pool) blankEnded(e *entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.takeOffShelf(e)
	delete(p.entries, e.env)
	p.charge(e, 0)
	p.gone(nil)
	p.blankMade(e, false)
	p.makeMore()
}

// takeOffShelf removes e from its shelf, if it is there.
func (p *Pool) takeOffShelf(e *entry) { e.shelf.waiting, _ = without(e.shelf.waiting, e) }

// discardBlank ends a blank environment; its memory counts no more from here on.
func (p *Pool) discardBlank(e *entry) {
	p.takeOffShelf(e)
	p.charge(e, 0)
	go e.env.Close()
}

// dropShelf forgets a shape and ends what waits.
func (p *Pool) dropShelf(s *shelf) {
	delete(p.shelves, s.shape)
	for len(s.waiting) > 0 {
		p.discardBlank(s.waiting[0])
	}
}

// sweepShelves ends what is too much, and fills up what is too little.
func (p *Pool) sweepShelves() {
	now := time.Now()
	for _, s := range p.shelves {
		want := p.wantedBlanks(s, now)
		if want == 0 && s.making == 0 {
			p.dropShelf(s)
			continue
		}
		for len(s.waiting) > want {
			p.discardBlank(s.waiting[0])
		}
	}
}

// giveBackBlanks ends blank environments until need bytes come free, and tells how
// many did.
func (p *Pool) giveBackBlanks(need int64) (freed int64) {
	for _, s := range p.shelves {
		for len(s.waiting) > 0 && freed < need {
			freed += s.waiting[0].memory
			p.discardBlank(s.waiting[0])
		}
	}
	return freed
}
