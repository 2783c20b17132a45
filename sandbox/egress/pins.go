package egress

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// pinFloor is how long an address is a name's at least, whatever the answer
	// says: programs keep addresses longer than that.
	pinFloor = time.Minute
	// pinCeiling is how long at most, without asking again.
	pinCeiling = time.Hour
	// maxPins bounds the addresses that are kept for one sandbox, and pinNames the
	// names of each.
	maxPins, pinNames = 512, 8
)

// pins are what a sandbox was told: which addresses for which names.
type pins struct {
	mu   sync.Mutex
	list map[netip.Addr]*pin
}

type pin struct {
	used  time.Time
	names map[string]time.Time // until when
}

// add says that an address is a name's.
func (p *pins) add(name string, a netip.Addr, ttl time.Duration, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.list == nil {
		p.list = map[netip.Addr]*pin{}
	}
	it := p.list[a]
	if it == nil {
		if len(p.list) >= maxPins {
			p.forget()
		}
		it = &pin{names: map[string]time.Time{}}
		p.list[a] = it
	}
	it.used = now
	if _, ok := it.names[name]; !ok && len(it.names) >= pinNames {
		oldest := ""
		for other, until := range it.names {
			if oldest == "" || until.Before(it.names[oldest]) {
				oldest = other
			}
		}
		delete(it.names, oldest)
	}
	it.names[name] = now.Add(min(max(ttl, pinFloor), pinCeiling))
}

// forget drops the address that was used longest ago. Callers hold p.mu.
func (p *pins) forget() {
	var oldest netip.Addr
	for a, it := range p.list {
		if !oldest.IsValid() || it.used.Before(p.list[oldest].used) {
			oldest = a
		}
	}
	delete(p.list, oldest)
}

// names are those that an address was given for, and those that it was given for
// too long ago to count without asking again. Both are sorted.
func (p *pins) names(a netip.Addr, now time.Time) (fresh, stale []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	it := p.list[a.Unmap()]
	if it == nil {
		return nil, nil
	}
	it.used = now
	for name, until := range it.names {
		if now.Before(until) {
			fresh = append(fresh, name)
		} else {
			stale = append(stale, name)
		}
	}
	slices.Sort(fresh)
	slices.Sort(stale)
	return fresh, stale
}
