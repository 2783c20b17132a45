package leaktest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// channel is a way in which one tenant's code could reach another's.
type channel struct {
	key  string // in the probe's answer
	name string // in the table
	mark string // what a mark is there
}

// channels is the order of the table.
var channels = []channel{
	{"globals", "counter in a global", "call count"},
	{"files", "/tmp and other writable places", "file"},
	{"environ", "environment variables", "variable"},
	{"thread", "background thread", "running thread"},
	{"daemon", "background process", "detached process"},
	{"descriptor", "open file descriptors", "open descriptor"},
	{"abstract socket", "abstract unix socket", "listening socket"},
	{"loopback", "loopback TCP port", "listening port"},
	{"sysv shm", "SysV shared memory", "segment"},
	{"sysv queue", "SysV message queue", "queue"},
	{"posix queue", "POSIX message queue", "queue"},
	{"keyring", "kernel keyring", "key"},
	{"process", "processes in /proc", "running process"},
	{"signal", "signals to processes", "process, which took its signal"},
	{"memory", "ptrace and /proc/PID of processes", "process, which it could look into"},
}

// rounds is how often each tenant has its turn. Two show what the other left;
// the third shows what is left of one's own after the other.
const rounds = 3

// visit is one invocation of a tenant.
type visit struct {
	who string
	*answer
}

// turns invokes for tenants a and b alternately: each looks for marks in every
// channel and leaves its own.
func (s *session) turns(ctx context.Context) error {
	s.everybody = []string{"a", "b"}
	var visits []visit
	for range rounds {
		for _, who := range s.everybody {
			a, err := s.invoke(ctx, s.name, who, event{Op: "probe"})
			if err != nil {
				return err
			}
			visits = append(visits, visit{who, a})
		}
	}
	s.environments(visits)
	for _, c := range channels {
		if _, there := visits[0].Found[c.key]; there {
			s.channel(c, visits)
		}
	}
	s.tenantSeen(visits)
	s.logTail(visits)
	s.warm(visits)
	return nil
}

// environments is about who was answered by what.
func (s *session) environments(visits []visit) {
	served := map[string]map[string]bool{}
	for _, v := range visits {
		if served[v.Environment] == nil {
			served[v.Environment] = map[string]bool{}
		}
		served[v.Environment][v.who] = true
	}
	var counts []string
	for _, v := range visits {
		counts = append(counts, fmt.Sprintf("%s=%d", v.who, v.Everyone))
	}
	for id, who := range served {
		if len(who) > 1 {
			s.row("environments, in turns", Fail, "Environment %.8s answered for %s; its counter went %s.",
				id, list(who), strings.Join(counts, " "))
			return
		}
	}
	s.row("environments, in turns", Pass, "%d environments, none of which answered for two tenants; their counters went %s.",
		len(served), strings.Join(counts, " "))
}

// channel decides on one channel. A mark of another tenant is a leak. What
// becomes of a tenant's own marks tells whether the check can see anything.
func (s *session) channel(c channel, visits []visit) {
	own := false
	var refusal string
	for _, v := range visits {
		for _, other := range slices.Sorted(maps.Keys(v.Found[c.key])) {
			if other != v.who {
				s.row(c.name, Fail, "Tenant %s found tenant %s's %s%s.", v.who, other, c.mark, places(v.Found[c.key][other]))
				return
			}
			own = true
		}
		if r := v.Planted[c.key]; r != "" {
			refusal = r
		}
	}
	switch {
	case refusal != "":
		s.row(c.name, Pass, "The service does not let a function have a %s (%s).", c.mark, refusal)
	case own:
		s.row(c.name, Pass, "Each tenant found its own %s again and none of the other's.", c.mark)
	default:
		s.row(c.name, Pass, "No %s was found again, not even by the tenant that left it.", c.mark)
	}
}

// places says where something was found, in brackets and in short.
func places(where string) string {
	if where == "" {
		return ""
	}
	all := strings.Split(where, ", ")
	if len(all) > 4 {
		all = append(all[:3], fmt.Sprintf("and %d more", len(all)-3))
	}
	return " (" + strings.Join(all, ", ") + ")"
}

func (s *session) tenantSeen(visits []visit) {
	const check = "tenant id in the handler's context"
	for _, v := range visits {
		switch {
		case v.Tenant == nil || *v.Tenant == "":
			s.row(check, Unsupported, "The handler was invoked for tenant %s and its context has no tenant id.", v.who)
			return
		case *v.Tenant != v.who:
			s.row(check, Fail, "The handler was invoked for tenant %s and saw %q.", v.who, *v.Tenant)
			return
		}
	}
	s.row(check, Pass, "It was the id that the caller sent, each time.")
}

func (s *session) logTail(visits []visit) {
	const check = "log tail"
	any := false
	for _, v := range visits {
		for _, other := range s.everybody {
			if other != v.who && strings.Contains(v.logResult, "leaktest-"+s.run+"-"+other) {
				s.row(check, Fail, "The log tail of tenant %s has a line that tenant %s wrote.", v.who, other)
				return
			}
		}
		any = any || strings.Contains(v.logResult, "leaktest-"+s.run+"-"+v.who)
	}
	if !any {
		s.row(check, Unsupported, "No invocation's log tail has what its handler wrote.")
		return
	}
	s.row(check, Pass, "Each tenant got its own lines alone.")
}

func (s *session) warm(visits []visit) {
	first := map[string]string{}
	warm := 0
	for _, v := range visits {
		if first[v.who] == v.Environment {
			warm++
		} else if first[v.who] == "" {
			first[v.who] = v.Environment
		}
	}
	again := len(visits) - len(first)
	if warm == 0 {
		s.row("warm reuse for the same tenant", Unsupported, "%d later invocations, each in an environment that its tenant had not seen.", again)
		return
	}
	s.row("warm reuse for the same tenant", Pass, "%d of %d later invocations found the tenant's own environment again.", warm, again)
}

func list(who map[string]bool) string {
	return "tenants " + strings.Join(slices.Sorted(maps.Keys(who)), " and ")
}
