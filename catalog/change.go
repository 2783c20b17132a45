package catalog

import (
	"sync"

	"github.com/alcove-run/alcove"
)

// Change says that what invocations of a version run is another content, became
// able or unable to run, or is gone; of $LATEST, also that the function's stock
// was set.
type Change struct {
	FunctionID, Name, Number string
	Generation               int64
	Deleted                  bool
}

// Subscribe calls fn for every change from now on, after the view has it, one at
// a time and in order. fn holds up the view while it runs: it has to be quick,
// may read the catalog and must neither write to it nor cancel. cancel ends it; fn is not
// running and will not be called once cancel returns.
func (c *Catalog) Subscribe(fn func(Change)) (cancel func()) { return c.subs.add(fn) }

type subscribers struct {
	mu   sync.Mutex // held during calls
	next int
	list map[int]func(Change)
}

func (s *subscribers) add(fn func(Change)) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.list == nil {
		s.list = make(map[int]func(Change))
	}
	n := s.next
	s.next++
	s.list[n] = fn
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.list, n)
	}
}

func (s *subscribers) tell(list []Change) {
	if len(list) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ch := range list {
		for _, fn := range s.list {
			fn(ch)
		}
	}
}

// changes compares a function in two views; nil stands for none.
func changes(old, now *entry) []Change {
	var list []Change
	add := func(v *alcove.Version, deleted bool) {
		list = append(list, Change{FunctionID: v.FunctionID, Name: v.Name, Number: v.Number,
			Generation: v.Generation, Deleted: deleted})
	}
	if old != nil && (now == nil || now.function.ID != old.function.ID) {
		add(old.running, true)
		for _, n := range old.numbers {
			add(old.versions[n].Version, true)
		}
		old = nil
	}
	if now == nil {
		return list
	}
	if old == nil || differs(old.running, now.running) || !old.function.Stock.Same(now.function.Stock) {
		add(now.running, false)
	}
	for _, n := range now.numbers {
		if old == nil || old.versions[n].Version == nil || differs(old.versions[n].Version, now.versions[n].Version) ||
			old.provisioned[n] != now.provisioned[n] {
			add(now.versions[n].Version, false)
		}
	}
	if old != nil {
		for _, n := range old.numbers {
			if now.versions[n].Version == nil {
				add(old.versions[n].Version, true)
			}
		}
	}
	return list
}

func differs(a, b *alcove.Version) bool {
	return a.Generation != b.Generation || a.State != b.State
}
