package turn

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// may is the rule without any bookkeeping: whether an event of l may run.
func (t *Turns) may(l *Lane, now time.Time) bool {
	free := t.node.free(now)
	room := l.group.window.free(now)
	return l.events > 0 && l.window.free(now) > 0 && free > 0 && l.party.running < share*free &&
		room > 0 && l.window.running < share*room
}

// Lanes are used at random and everything is compared with the rule: Next gives
// a lane that may run, one of the party whose turn it is, and none only if none
// may.
func TestNextAgainstTheRule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1000, 0)
		turns := New(rapid.IntRange(1, 12).Draw(t, "places"))
		var lanes []*Lane
		for range rapid.IntRange(1, 12).Draw(t, "lanes") {
			lanes = append(lanes, turns.Lane(fmt.Sprint(rapid.IntRange(0, 4).Draw(t, "party")), fmt.Sprint(rapid.IntRange(0, 3).Draw(t, "group"))))
		}
		var running []*Lane
		take := func() *Lane {
			i := rapid.IntRange(0, len(running)-1).Draw(t, "which")
			l := running[i]
			running = append(running[:i], running[i+1:]...)
			return l
		}
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			switch op := rapid.IntRange(0, 9).Draw(t, "op"); {
			case op <= 1:
				turns.Add(rapid.SampledFrom(lanes).Draw(t, "lane"), rapid.IntRange(1, 3).Draw(t, "events"))
			case op == 2 && len(running) > 0:
				turns.Finish(take(), now)
			case op == 3 && len(running) > 0:
				l := take()
				turns.Throttled(l, Scope(rapid.IntRange(0, 2).Draw(t, "scope")), now)
				turns.Add(l, 1)
			case op == 4 && len(running) > 0:
				turns.Failed(take(), now)
			case op == 8 && len(running) > 0:
				turns.Left(take(), now)
			case op == 9:
				if l := rapid.SampledFrom(lanes).Draw(t, "lane"); l.Events() > 0 {
					turns.Take(l)
					running = append(running, l)
				}
			case op == 5:
				l := rapid.SampledFrom(lanes).Draw(t, "lane")
				turns.Remove(l, rapid.IntRange(0, l.Events()).Draw(t, "events"))
			case op == 6:
				if at := turns.Wake(now); !at.IsZero() && rapid.Bool().Draw(t, "to wake") {
					now = at
				} else {
					now = now.Add(time.Duration(rapid.IntRange(0, 2000).Draw(t, "ms")) * time.Millisecond)
				}
			default:
				could := map[*Lane]bool{}
				for _, l := range lanes {
					could[l] = turns.may(l, now)
				}
				before := map[*party][2]uint64{}
				for _, p := range turns.byParty {
					before[p] = [2]uint64{uint64(p.running), p.served}
				}
				l := turns.Next(now)
				if l == nil {
					for i, o := range lanes {
						if could[o] {
							t.Fatalf("lane %d (%+v) may run, and nothing does", i, o)
						}
					}
					break
				}
				if !could[l] {
					t.Fatalf("a lane runs that may not: %+v", l)
				}
				for i, o := range lanes {
					// Of a group that others wait for, too, the group says who is next.
					if could[o] && o.state != queued && less(before[o.party], before[l.party]) {
						t.Fatalf("lane %d's party comes first", i)
					}
				}
				running = append(running, l)
			}
			n := 0
			for _, l := range lanes {
				n += l.Running()
			}
			if n != len(running) || n != turns.Running() {
				t.Fatalf("%d runs are counted, %d by the node, %d are under way", n, turns.Running(), len(running))
			}
		}
		// Everything ends in the end.
		for range 10000 {
			for l := turns.Next(now); l != nil; l = turns.Next(now) {
				running = append(running, l)
			}
			if len(running) > 0 {
				turns.Finish(take(), now)
				continue
			}
			at := turns.Wake(now)
			if at.IsZero() {
				break
			}
			now = at
		}
		for i, l := range lanes {
			if l.Events() > 0 {
				t.Fatalf("lane %d has %d events and nobody will ever run them: %+v", i, l.Events(), l)
			}
			if !turns.Quiet(l, now.Add(time.Hour)) {
				t.Fatalf("lane %d is not quiet: %+v", i, l)
			}
			turns.Drop(l)
		}
		if len(turns.byParty)+len(turns.byGroup)+len(turns.parties)+len(turns.timers)+len(turns.crowded) > 0 {
			t.Fatalf("something is left: %+v", turns)
		}
	})
}

func less(a, b [2]uint64) bool { return a[0] < b[0] || a[0] == b[0] && a[1] < b[1] }

// run is a simulated run.
type run struct {
	lane *Lane
	ends time.Time
}

// simulate runs the turns of many tenants, each run taking a time, until all
// events have run. It gives when the first event of watched began.
func simulate(turns *Turns, takes func(l *Lane) time.Duration, arrive time.Time, watched *Lane) time.Duration {
	now := time.Unix(1000, 0)
	var running []run
	arrived := false
	for {
		if !arrived && !now.Before(arrive) {
			arrived = true
			turns.Add(watched, 1)
		}
		for l := turns.Next(now); l != nil; l = turns.Next(now) {
			if l == watched {
				return now.Sub(arrive)
			}
			running = append(running, run{l, now.Add(takes(l))})
		}
		next := 0
		for i := range running {
			if running[i].ends.Before(running[next].ends) {
				next = i
			}
		}
		if len(running) == 0 || !arrived && arrive.Before(running[next].ends) {
			now = arrive
			continue
		}
		now = running[next].ends
		turns.Finish(running[next].lane, now)
		running = append(running[:next], running[next+1:]...)
	}
}

// A tenant with a hundred thousand events delays another's one by nothing, even
// if its runs take a quarter of an hour: there is always a place for somebody new.
func TestABacklogDelaysNobody(t *testing.T) {
	for _, takes := range []time.Duration{10 * time.Millisecond, time.Second, 15 * time.Minute} {
		turns := New(256)
		turns.Add(turns.Lane("greedy", "f"), 100000)
		waited := simulate(turns, func(*Lane) time.Duration { return takes }, time.Unix(1003, 0), turns.Lane("modest", "f"))
		if waited != 0 {
			t.Errorf("runs of %v: the other's event waited %v", takes, waited)
		}
	}
}

// Five thousand tenants have a hundred events each, of up to a second, and one
// more comes: it is the next but for those who have not run at all.
func TestOneOfThousandsOfTenants(t *testing.T) {
	for _, limited := range []bool{false, true} {
		turns := New(256)
		for i := range 5000 {
			group := "f"
			if !limited {
				group = fmt.Sprint("f", i%10)
			}
			turns.Add(turns.Lane(fmt.Sprint("tenant ", i), group), 100)
		}
		if limited { // the function has reserved 100
			turns.byGroup["f"].window = newWindow(100)
		}
		n := 0
		takes := func(*Lane) time.Duration { n++; return time.Duration(n%10+1) * 100 * time.Millisecond }
		waited := simulate(turns, takes, time.Unix(1060, 0), turns.Lane("new", "f"))
		if waited > time.Second {
			t.Errorf("limited %v: the new tenant's event waited %v", limited, waited)
		}
	}
}

// Many tenants that take all they get leave each other the same.
func TestEveryoneGetsAsMuch(t *testing.T) {
	now := time.Unix(1000, 0)
	turns := New(100)
	var lanes []*Lane
	for i := range 10 {
		l := turns.Lane(fmt.Sprint(i), "f")
		turns.Add(l, 1000*(i+1))
		lanes = append(lanes, l)
	}
	for turns.Next(now) != nil {
	}
	for i, l := range lanes {
		if n := l.Running(); n < 9 || n > 10 {
			t.Errorf("tenant %d has %d of 100 places", i, n)
		}
	}
	if free := 100 - turns.Running(); free < 1 {
		t.Error("nothing is left for somebody new")
	}
}

// A tenant with ten functions has no more turns than one with one.
func TestATenantIsOnePartyThroughAllItsFunctions(t *testing.T) {
	now := time.Unix(1000, 0)
	turns := New(50)
	for i := range 10 {
		turns.Add(turns.Lane("many", fmt.Sprint(i)), 100)
	}
	one := turns.Lane("one", "x")
	turns.Add(one, 1000)
	for turns.Next(now) != nil {
	}
	if many := turns.Running() - one.Running(); many > one.Running()+1 {
		t.Errorf("ten functions have %d places, one has %d", many, one.Running())
	}
}

// A throttled tenant waits for its own runs, or longer and longer; others do not.
func TestThrottlingOneBlocksNobodyElse(t *testing.T) {
	now := time.Unix(1000, 0)
	turns := New(10)
	a, b := turns.Lane("a", "f"), turns.Lane("b", "f")
	turns.Add(a, 100)
	if turns.Next(now) != a {
		t.Fatal("a does not run")
	}
	turns.Throttled(a, LaneScope, now)
	turns.Add(a, 1)
	turns.Add(b, 1)
	if turns.Next(now) != b || turns.Next(now) != nil {
		t.Fatal("b waits for a")
	}
	turns.Finish(b, now)
	for wait := time.Second; wait <= 10*time.Minute; wait *= 2 {
		at := turns.Wake(now)
		if got, want := at.Sub(now), min(wait, 5*time.Minute); got != want {
			t.Fatalf("it waits %v, want %v", got, want)
		}
		if now = at; turns.Next(now) != a {
			t.Fatal("it does not run after its wait")
		}
		turns.Throttled(a, LaneScope, now)
		turns.Add(a, 1)
		if turns.Next(now) != nil {
			t.Fatal("it does not wait")
		}
	}
	now = turns.Wake(now)
	turns.Next(now)
	turns.Finish(a, now)
	if turns.Next(now) != a {
		t.Fatal("it waits though something has worked")
	}
	turns.Next(now)
	turns.Throttled(a, LaneScope, now)
	turns.Add(a, 1)
	if turns.Next(now) != nil || !turns.Wake(now).IsZero() {
		t.Fatal("it does not wait for its own run")
	}
	turns.Finish(a, now)
	if turns.Next(now) != a {
		t.Fatal("its own run has ended and it does not run")
	}
}

func BenchmarkNext(b *testing.B) {
	now := time.Unix(1000, 0)
	turns := New(256)
	for i := range 10000 {
		turns.Add(turns.Lane(fmt.Sprint(i), fmt.Sprint(i%100)), b.N)
	}
	for b.Loop() {
		if l := turns.Next(now); l != nil {
			turns.Finish(l, now)
		}
	}
}
