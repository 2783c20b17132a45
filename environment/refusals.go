package environment

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/sandbox/egress"
)

// Bounds of Refusals: whose they are, and how many of each. Tenants choose what is
// in them, and none of them drives out another's before there are so many.
const (
	refusalOwners = 512
	refusalsOfOne = 32
)

// Refusals are what environments wanted of the network and did not get of late.
// They are in memory alone, for whoever looks at a node now: the records are in the
// logs. Its methods are for any number of goroutines.
type Refusals struct {
	mu     sync.Mutex
	owners map[refusalOwner]*refusalList
}

// refusalOwner is a tenant, or a function that is nobody's.
type refusalOwner struct {
	tenant     alcove.Tenant
	functionID string
}

type refusalList struct {
	last    time.Time
	refused []Refused // the one that was seen last is at the end
}

// Refused is one thing that was refused, as often as it was.
type Refused struct {
	Tenant      alcove.Tenant
	FunctionID  string
	Function    string
	Protocol    string
	Destination string
	Rule        string
	First, Last time.Time
	Count       int64
	// NotLogged are refusals of the same environments, of whatever, that came too
	// quickly to be looked at one by one.
	NotLogged int64
}

// add remembers a refusal.
func (r *Refusals) add(v *alcove.Version, t alcove.Tenant, e egress.Refusal, now time.Time) {
	owner := refusalOwner{tenant: t}
	if t == "" {
		owner.functionID = v.FunctionID
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.owners[owner]
	if l == nil {
		if r.owners == nil {
			r.owners = map[refusalOwner]*refusalList{}
		}
		if len(r.owners) >= refusalOwners {
			r.forgetOldest()
		}
		l = &refusalList{}
		r.owners[owner] = l
	}
	l.last = now
	one := Refused{Tenant: t, FunctionID: v.FunctionID, Function: v.Name, Protocol: e.Proto, Destination: e.Destination(), Rule: e.Rule, First: now}
	i := slices.IndexFunc(l.refused, func(o Refused) bool {
		return o.FunctionID == one.FunctionID && o.Protocol == one.Protocol && o.Destination == one.Destination && o.Rule == one.Rule
	})
	if i >= 0 {
		one = l.refused[i]
	} else if i = 0; len(l.refused) < refusalsOfOne {
		i = len(l.refused)
		l.refused = append(l.refused, one)
	}
	one.Last, one.Count, one.NotLogged = now, one.Count+1, one.NotLogged+e.More
	l.refused = append(slices.Delete(l.refused, i, i+1), one)
}

// forgetOldest drops what is of whoever was refused something longest ago. Callers
// hold r.mu.
func (r *Refusals) forgetOldest() {
	var oldest refusalOwner
	var at time.Time
	for o, l := range r.owners {
		if at.IsZero() || l.last.Before(at) {
			oldest, at = o, l.last
		}
	}
	delete(r.owners, oldest)
}

// List gives those of tenants that are seen, the latest first.
func (r *Refusals) List(sees func(alcove.Tenant) bool) (list []Refused) {
	r.mu.Lock()
	for _, l := range r.owners {
		list = append(list, l.refused...)
	}
	r.mu.Unlock()
	seen := map[alcove.Tenant]bool{} // asked once for each, which may take a while
	list = slices.DeleteFunc(list, func(e Refused) bool {
		is, ok := seen[e.Tenant]
		if !ok {
			is = sees(e.Tenant)
			seen[e.Tenant] = is
		}
		return !is
	})
	slices.SortFunc(list, func(a, b Refused) int {
		return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Destination, b.Destination))
	})
	return list
}

// Forget drops a tenant's.
func (r *Refusals) Forget(t alcove.Tenant) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.owners, refusalOwner{tenant: t})
}
