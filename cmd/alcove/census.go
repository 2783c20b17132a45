package main

import (
	"maps"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/environment"
	"github.com/alcove-run/alcove/metrics"
)

// census counts environments by what they do, for metrics. One goroutine has it.
type census struct {
	minute int64
	last   map[counted]int
}

// counted is what environments are counted by; the empty function is all of them, the
// empty tenant all of the function's.
type counted struct {
	function, state string
	tenant          alcove.Tenant
}

// standings are what an environment may be doing, in the words of the console's floor.
var standings = []string{"initialising", "blank", "stock", "busy", "idle", "frozen"}

// standing is what an environment does, empty if it has ended.
func standing(s *environment.Status) string {
	switch s.State {
	case environment.Creating, environment.Initialising:
		return "initialising"
	case environment.Blank:
		return "blank"
	case environment.Busy, environment.Settling:
		return "busy"
	case environment.Ended:
		return ""
	}
	switch {
	case !s.Bound && s.Invocations == 0:
		return "stock"
	case s.Frozen:
		return "frozen"
	}
	return "idle"
}

// count counts environments. Tenants are those alone that have one which is not frozen:
// thousands that rest cost nothing.
func count(list []environment.Status) map[counted]int {
	n := make(map[counted]int)
	for _, state := range standings {
		n[counted{state: state}] = 0
	}
	awake := make(map[counted]bool)
	for i := range list {
		s := &list[i]
		state := standing(s)
		if state == "" {
			continue
		}
		n[counted{state: state}]++
		if s.Version == nil {
			continue
		}
		f := s.Version.Name
		if _, ok := n[counted{function: f, state: state}]; !ok {
			for _, other := range standings {
				if other != "blank" {
					n[counted{function: f, state: other}] += 0
				}
			}
		}
		n[counted{function: f, state: state}]++
		if s.Bound && s.Tenant != "" {
			n[counted{f, state, s.Tenant}]++
			awake[counted{function: f, tenant: s.Tenant}] = awake[counted{function: f, tenant: s.Tenant}] || state != "frozen"
		}
	}
	maps.DeleteFunc(n, func(c counted, _ int) bool {
		return c.tenant != "" && !awake[counted{function: c.function, tenant: c.tenant}]
	})
	return n
}

// take measures, if there is anything new: a node with nothing to do writes once a
// minute.
func (c *census) take(g *metrics.Gauges, list []environment.Status) {
	now := count(list)
	if g.Minute() == c.minute && maps.Equal(now, c.last) {
		return
	}
	c.minute, c.last = g.Minute(), now
	for k, n := range now {
		if k.tenant != "" {
			g.TenantEnvironments(k.function, k.state, k.tenant, n)
		} else {
			g.Environments(k.function, k.state, n)
		}
	}
}
