// Package turn decides whose event runs next. It is pure: no clock, no goroutine,
// no I/O; every moment is an argument.
//
// Events wait in lanes: one for each function, qualifier and tenant. A lane
// belongs to a party, for whom the node is fair (a tenant, through however many
// functions; a function without tenants), and to a group, which has a limit of its
// own (a function). The rules:
//
//   - The party with the fewest runs under way comes first, and of several the one
//     whose turn was longest ago. A backlog of whatever length counts as one party.
//   - A party may have at most four times as many runs as there are places free
//     (Choudhury and Hahne's dynamic threshold): one that is alone has four fifths
//     of all places, and there is always room for somebody new.
//   - Whoever is throttled is tried again when one of its own runs has ended, since
//     that is what makes room; only if none is under way does it wait a time, from
//     one second on, doubling. Meanwhile nobody else waits for it.
package turn

import (
	"container/heap"
	"math"
	"time"
)

// Bounds of what a throttled lane, group and node wait when nothing of theirs
// runs. What others share is asked for more often.
const (
	firstPause = time.Second
	lanePause  = 5 * time.Minute
	groupPause = time.Minute
	nodePause  = 5 * time.Second
)

// share is how many times the free places a party may have under way.
const share = 4

// endless is a window that does not bind.
const endless = 1 << 20

// Scope says whose limit a throttled run met.
type Scope int

// The scopes.
const (
	LaneScope Scope = iota
	GroupScope
	NodeScope
)

// window is how many runs of something may be under way. It shrinks to what was
// possible when a limit is met, and grows by one for as many runs as it holds.
type window struct {
	most    float64 // what it starts with and never exceeds
	size    float64
	running int
	until   time.Time // it waits until then
	again   int       // how often it has waited since something worked
}

func newWindow(most int) window { return window{most: float64(most), size: float64(most)} }

// free is how many more may begin.
func (w *window) free(now time.Time) int {
	if now.Before(w.until) {
		return 0
	}
	return int(math.Floor(w.size)) - w.running
}

// throttled notes a limit that was met. The run is not counted any more.
func (w *window) throttled(now time.Time, longest time.Duration) {
	w.size = math.Max(1, math.Min(w.size, float64(w.running)))
	if w.running == 0 {
		w.until = now.Add(backoff(w.again, longest))
		w.again++
	}
}

func (w *window) worked() {
	w.again = 0
	w.until = time.Time{}
	if w.size < w.most {
		w.size = math.Min(w.most, w.size+1/w.size)
		if w.size > 4096 {
			w.size = w.most
		}
	}
}

// backoff is the wait after n others: a second, doubled each time.
func backoff(n int, longest time.Duration) time.Duration {
	if n > 20 {
		return longest
	}
	return min(firstPause<<n, longest)
}

// Backoff is how long something waits that has failed n times before, from one
// second on to five minutes.
func Backoff(n int) time.Duration { return backoff(n, lanePause) }

type state int

const (
	idle    state = iota // nothing to run
	ready                // in its party's list
	queued               // in its group's heap: the group has no place
	held                 // its own window is full; it comes back when a run of its ends
	waiting              // for a time, in Turns.timers
)

// Lane is where events of one function, qualifier and tenant wait.
type Lane struct {
	// Tag is the caller's own.
	Tag    uint32
	party  *party
	group  *group
	window window
	events int // that are ready to run
	state  state
	served uint64
	at     int // in the group's heap, or in timers
	until  time.Time
}

// Events is how many wait, Running how many are under way.
func (l *Lane) Events() int { return l.events }

// Running is how many runs are under way.
func (l *Lane) Running() int { return l.window.running }

type party struct {
	key     string
	lanes   []*Lane // ready ones, whose turn is first first
	all     int     // lanes that there are
	running int
	served  uint64
	at      int // in Turns.parties, or -1
}

type group struct {
	key    string
	window window
	queue  laneHeap
	all    int
}

// Turns is the state of all lanes. It is for one goroutine at a time.
type Turns struct {
	node    window
	clock   uint64
	parties partyHeap
	byParty map[string]*party
	byGroup map[string]*group
	timers  timerHeap
	// paused are groups that wait for a time, crowded those with lanes in their
	// queue.
	paused  map[*group]struct{}
	crowded map[*group]struct{}
}

// New makes the state of a node on which places runs may be under way.
func New(places int) *Turns {
	return &Turns{node: newWindow(places), byParty: map[string]*party{}, byGroup: map[string]*group{},
		paused: map[*group]struct{}{}, crowded: map[*group]struct{}{}}
}

// Lane makes a lane. It has to be dropped when it is not needed.
func (t *Turns) Lane(partyKey, groupKey string) *Lane {
	p := t.byParty[partyKey]
	if p == nil {
		p = &party{key: partyKey, at: -1}
		t.byParty[partyKey] = p
	}
	g := t.byGroup[groupKey]
	if g == nil {
		g = &group{key: groupKey, window: newWindow(endless)}
		t.byGroup[groupKey] = g
	}
	p.all++
	g.all++
	return &Lane{party: p, group: g, window: newWindow(endless), at: -1}
}

// Quiet says that a lane has nothing to run and nothing to remember.
func (t *Turns) Quiet(l *Lane, now time.Time) bool {
	return l.events == 0 && l.window.running == 0 && l.state == idle &&
		(l.window.again == 0 || now.After(l.window.until.Add(lanePause)))
}

// Drop takes a lane away that is quiet.
func (t *Turns) Drop(l *Lane) {
	if l.party.all--; l.party.all == 0 {
		delete(t.byParty, l.party.key)
	}
	if l.group.all--; l.group.all == 0 {
		delete(t.byGroup, l.group.key)
		delete(t.paused, l.group)
		delete(t.crowded, l.group)
	}
}

// Add says that n more events of l are ready.
func (t *Turns) Add(l *Lane, n int) {
	l.events += n
	if l.state == idle && l.events > 0 {
		t.ready(l)
	}
}

// Remove says that n events of l are gone without having run.
func (t *Turns) Remove(l *Lane, n int) {
	l.events -= n
	if l.events == 0 {
		t.withdraw(l)
	}
}

// withdraw takes l from wherever it stands for its turn; one that has to wait
// goes on waiting.
func (t *Turns) withdraw(l *Lane) {
	switch l.state {
	case ready:
		t.unready(l)
	case queued:
		heap.Remove(&l.group.queue, l.at)
		t.uncrowd(l.group)
	default:
		return
	}
	l.state = idle
}

// ready puts l into its party's list.
func (t *Turns) ready(l *Lane) {
	l.state = ready
	p := l.party
	p.lanes = append(p.lanes, l)
	if p.at < 0 {
		heap.Push(&t.parties, p)
	}
}

// unready takes it out again.
func (t *Turns) unready(l *Lane) {
	p := l.party
	for i, o := range p.lanes {
		if o == l {
			p.lanes = append(p.lanes[:i], p.lanes[i+1:]...)
			break
		}
	}
	if len(p.lanes) == 0 && p.at >= 0 {
		heap.Remove(&t.parties, p.at)
	}
}

// Next gives the lane whose event runs now, or nil if none may.
func (t *Turns) Next(now time.Time) *Lane {
	t.wake(now)
	free := t.node.free(now)
	for free > 0 {
		if len(t.parties) == 0 || t.parties[0].running >= share*free {
			// It has the fewest of all that are ready; those that queue for a group
			// which has room may have fewer.
			if !t.admitAll(now) {
				return nil
			}
			continue
		}
		p := t.parties[0]
		l := p.lanes[0]
		switch room := l.group.window.free(now); {
		case l.window.free(now) <= 0:
			t.unready(l)
			t.hold(l, now)
		case room <= 0 || l.window.running >= share*room:
			t.unready(l)
			l.state = queued
			heap.Push(&l.group.queue, l)
			t.crowded[l.group] = struct{}{}
			t.pause(l.group, now)
		default:
			t.begin(l)
			return l
		}
	}
	return nil
}

// hold has l wait for its own window.
func (t *Turns) hold(l *Lane, now time.Time) {
	if now.Before(l.window.until) {
		l.state, l.until = waiting, l.window.until
		heap.Push(&t.timers, l)
		return
	}
	l.state = held
}

// pause remembers a group that waits for a time.
func (t *Turns) pause(g *group, now time.Time) {
	if now.Before(g.window.until) {
		t.paused[g] = struct{}{}
	}
}

// begin counts a run of l.
func (t *Turns) begin(l *Lane) {
	t.clock++
	p, g := l.party, l.group
	l.events--
	l.served, p.served = t.clock, t.clock
	l.window.running++
	g.window.running++
	p.running++
	t.node.running++
	t.unready(l)
	l.state = idle
	if l.events > 0 {
		t.ready(l) // behind the others of its party
	}
	if p.at >= 0 {
		heap.Fix(&t.parties, p.at)
	}
}

// Take begins a run of an event of l whose turn it is not.
func (t *Turns) Take(l *Lane) {
	if l.state == held || l.state == waiting {
		l.events--
		l.window.running++
		l.group.window.running++
		l.party.running++
		t.node.running++
		if l.party.at >= 0 {
			heap.Fix(&t.parties, l.party.at)
		}
		return
	}
	t.withdraw(l)
	t.ready(l)
	t.begin(l)
}

// Left says that a run of l has ended of which the function saw nothing.
func (t *Turns) Left(l *Lane, now time.Time) {
	t.end(l)
	t.settle(l, now)
}

// Finish says that a run of l has ended, and that the function saw it.
func (t *Turns) Finish(l *Lane, now time.Time) {
	t.end(l)
	l.window.worked()
	l.group.window.worked()
	t.node.worked()
	t.settle(l, now)
}

// Throttled says that a run of l met a limit of a scope. Its event is ready again
// if the caller adds it.
func (t *Turns) Throttled(l *Lane, s Scope, now time.Time) {
	t.end(l)
	switch s {
	case LaneScope:
		l.window.throttled(now, lanePause)
	case GroupScope:
		l.group.window.throttled(now, groupPause)
	case NodeScope:
		t.node.throttled(now, nodePause)
	}
	t.settle(l, now)
}

// Failed says that a run of l did not begin or end for the platform's fault. The
// lane waits, longer each time; runs that fail together count as one.
func (t *Turns) Failed(l *Lane, now time.Time) {
	t.end(l)
	if !now.Before(l.window.until) {
		l.window.until = now.Add(backoff(l.window.again, lanePause))
		l.window.again++
	}
	t.settle(l, now)
}

func (t *Turns) end(l *Lane) {
	l.window.running--
	l.group.window.running--
	l.party.running--
	t.node.running--
	if l.party.at >= 0 {
		heap.Fix(&t.parties, l.party.at)
	}
	if l.state == queued {
		heap.Fix(&l.group.queue, l.at)
	}
}

// settle puts l, and those of its group that there is room for again, where they
// belong.
func (t *Turns) settle(l *Lane, now time.Time) {
	if l.state == held || l.state == waiting && !now.Before(l.window.until) {
		if l.state == waiting {
			heap.Remove(&t.timers, l.at)
		}
		t.back(l)
	}
	t.admit(l.group, now)
}

// back is a lane that has waited.
func (t *Turns) back(l *Lane) {
	l.state = idle
	if l.events > 0 {
		t.ready(l)
	}
}

// admit gives lanes of a group back to their parties, as many as it has places
// for, and says whether it gave any.
func (t *Turns) admit(g *group, now time.Time) (some bool) {
	if len(g.queue) == 0 {
		return false
	}
	t.pause(g, now)
	free := g.window.free(now)
	for n := 0; n < free && len(g.queue) > 0 && g.queue[0].window.running < share*free; n++ {
		t.ready(heap.Pop(&g.queue).(*Lane))
		some = true
	}
	t.uncrowd(g)
	return some
}

// admitAll is admit for every group.
func (t *Turns) admitAll(now time.Time) (some bool) {
	for g := range t.crowded {
		some = t.admit(g, now) || some
	}
	return some
}

func (t *Turns) uncrowd(g *group) {
	if len(g.queue) == 0 {
		delete(t.crowded, g)
	}
}

// wake brings back what has waited until now.
func (t *Turns) wake(now time.Time) {
	for len(t.timers) > 0 && !now.Before(t.timers[0].until) {
		t.back(heap.Pop(&t.timers).(*Lane))
	}
	for g := range t.paused {
		if !now.Before(g.window.until) {
			delete(t.paused, g)
			t.admit(g, now)
		}
	}
}

// Wake is when Next, which has given nil, has to be asked again though nothing has
// happened; zero is never.
func (t *Turns) Wake(now time.Time) time.Time {
	var at time.Time
	sooner := func(u time.Time) {
		if now.Before(u) && (at.IsZero() || u.Before(at)) {
			at = u
		}
	}
	if len(t.timers) > 0 {
		sooner(t.timers[0].until)
	}
	for g := range t.paused {
		sooner(g.window.until)
	}
	if len(t.parties)+len(t.crowded) > 0 {
		sooner(t.node.until)
	}
	return at
}

// Running is how many runs are under way on the node.
func (t *Turns) Running() int { return t.node.running }
