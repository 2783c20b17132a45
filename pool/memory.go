package pool

// stockReserve is the part of the memory budget that stocks leave alone: one in
// so many bytes.
const stockReserve = 16

// evictionBatch is how much comes free at a time when memory is short, one in so
// many bytes of the budget, so that not every new tenant looks for victims.
const evictionBatch = 64

// charge sets what e counts in the budget.
func (p *Pool) charge(e *entry, bytes int64) {
	switch { // what is charged nothing is on its way out
	case e.memory == 0 && bytes > 0:
		p.staying += p.placesOf(e.version)
	case e.memory > 0 && bytes == 0:
		p.staying -= p.placesOf(e.version)
	}
	p.memory += bytes - e.memory
	if e.group != nil {
		e.group.holder.memory += bytes - e.memory
	}
	e.memory = bytes
}

// expected is what a new environment of f is charged before it is measured.
func (f *function) expected() int64 {
	if f.typical > 0 {
		return f.typical
	}
	return newEnvironmentMemory
}

// makeRoom has memory for need more bytes come free, and tells whether there is.
// Stock goes before anything that is somebody's.
func (p *Pool) makeRoom(need int64) bool {
	if p.cfg.Memory <= 0 {
		return true
	}
	// What is made ahead goes when it is made, if there is no room for it then: no
	// call is refused for its sake.
	need -= p.ahead
	over := p.memory + p.promised + need - p.cfg.Memory
	if over <= 0 {
		return true
	}
	if over -= p.giveBackStock(over); over > 0 {
		p.evictFor(over + p.cfg.Memory/evictionBatch)
	}
	return p.memory+p.promised+need <= p.cfg.Memory
}

// makeAhead charges e, which is made for nobody yet.
func (p *Pool) makeAhead(e *entry, bytes int64) {
	p.charge(e, bytes)
	e.ahead = bytes
	p.ahead += bytes
	p.placesAhead += p.placesOf(e.version)
}

// madeAhead is the end of e's making.
func (p *Pool) madeAhead(e *entry) {
	p.ahead -= e.ahead
	e.ahead = 0
	p.placesAhead -= p.placesOf(e.version)
}

// crowdedOut says that there is no room, or no place, for what was made for nobody
// yet.
func (p *Pool) crowdedOut() bool {
	return p.cfg.Memory > 0 && p.memory+p.promised > p.cfg.Memory ||
		p.cfg.Environments > 0 && p.staying+p.queue.places > p.cfg.Environments
}

// roomForStock says whether a stock may have another environment.
func (p *Pool) roomForStock(need int64) bool {
	return p.cfg.Memory <= 0 || p.memory+p.promised+p.left()+need <= p.cfg.Memory-p.cfg.Memory/stockReserve
}

// measure takes over what e was last seen to use.
func (p *Pool) measure(e *entry, bytes int64) {
	if bytes <= 0 || e.memory == 0 { // not known, or on its way out
		return
	}
	if !e.idle && e.stock == nil && e.shelf == nil && bytes < e.memory {
		return // it is busy, and may need again what it had
	}
	p.charge(e, bytes)
	if e.measured || e.group == nil {
		return
	}
	e.measured = true
	f := e.group.fn
	if f.typical == 0 {
		f.typical = bytes
	} else {
		f.typical += (bytes - f.typical) / 8
	}
}
