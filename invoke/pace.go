package invoke

import (
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/alcove-run/alcove"
)

// To begin an invocation costs the node and a sandbox some tenths of a
// millisecond of processor. A tenant that sends many at once would have all
// processors until all of them have begun, and who comes meanwhile waits behind
// them. So while others are about, only few of a tenant's invocations are
// beginning at a time; the rest wait for their turn, each tenant's for their own.
// A tenant that is alone waits for nothing.
const (
	// abreastEach is how many of a tenant's invocations are beginning at a time, for
	// each processor.
	abreastEach = 2
	// beginTime is how long an invocation is beginning if it is not answered before:
	// those that take longer wait for something else, or are alone on a processor.
	beginTime = 2 * time.Millisecond
	// about is how long ago another's last invocation was if others are about.
	about = 100 * time.Millisecond
)

// paced is whose invocations wait for one another: a tenant's, or those of a
// function without tenants.
type paced struct {
	tenant   alcove.Tenant
	function string
}

func pacedBy(v *alcove.Version, tenant alcove.Tenant) paced {
	if tenant != "" {
		return paced{tenant: tenant}
	}
	return paced{function: v.FunctionID}
}

// pace has invocations begin.
type pace struct {
	abreast int

	mu sync.Mutex
	// Guarded by mu.
	lanes map[paced]*lane
	last  paced     // who came last
	at    time.Time // when
	other time.Time // when somebody else came last
}

// lane is those of one tenant.
type lane struct {
	here      int     // invocations that are not answered yet
	beginning []*turn // oldest first
	waiting   []*turn // in the order of their arrival
	timer     *time.Timer
}

// turn is one invocation.
type turn struct {
	since time.Time     // when it began
	begun chan struct{} // closed then; nil if it did not wait
}

func newPace() *pace {
	return &pace{abreast: abreastEach * runtime.GOMAXPROCS(0), lanes: make(map[paced]*lane)}
}

// begin waits until who may begin one more. It tells how many who has at the time
// that are not answered yet, this one included, and gives back what is to be called
// when this one is.
func (p *pace) begin(who paced) (here int, answered func()) {
	t, l, here := p.enter(who)
	if t.begun != nil {
		<-t.begun
	}
	return here, func() { p.leave(who, l, t) }
}

func (p *pace) enter(who paced) (*turn, *lane, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	l := p.lanes[who]
	if l == nil {
		l = &lane{}
		p.lanes[who] = l
	}
	l.here++
	l.expire(now)
	t := &turn{since: now}
	if len(l.waiting) == 0 && (len(l.beginning) < p.abreast || !p.crowded(who, now)) {
		l.beginning = append(l.beginning, t)
	} else {
		t.begun = make(chan struct{})
		l.waiting = append(l.waiting, t)
		p.advance(who, l, now)
	}
	if p.last != who {
		p.last, p.other = who, p.at
	}
	p.at = now
	return t, l, l.here
}

// crowded tells whether others than who are about.
//
// Preconditions: p.mu is held.
func (p *pace) crowded(who paced, now time.Time) bool {
	if p.last != who {
		return now.Sub(p.at) < about
	}
	return now.Sub(p.other) < about
}

// leave is an invocation that has been answered.
func (p *pace) leave(who paced, l *lane, t *turn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.here--
	if i := slices.Index(l.beginning, t); i >= 0 {
		l.beginning = slices.Delete(l.beginning, i, i+1)
	}
	p.advance(who, l, time.Now())
}

// advance begins what may, has the rest looked at when the oldest counts no more,
// and forgets a lane in which nothing is.
//
// Preconditions: p.mu is held.
func (p *pace) advance(who paced, l *lane, now time.Time) {
	l.expire(now)
	for len(l.waiting) > 0 && len(l.beginning) < p.abreast {
		t := l.waiting[0]
		l.waiting = slices.Delete(l.waiting, 0, 1)
		t.since = now
		l.beginning = append(l.beginning, t)
		close(t.begun)
	}
	switch {
	case len(l.waiting) > 0:
		p.wake(who, l, l.beginning[0].since.Add(beginTime).Sub(now))
	case l.here == 0 && p.lanes[who] == l:
		delete(p.lanes, who)
	}
}

// wake has l looked at again.
//
// Preconditions: p.mu is held.
func (p *pace) wake(who paced, l *lane, in time.Duration) {
	if l.timer != nil {
		l.timer.Reset(in)
		return
	}
	l.timer = time.AfterFunc(in, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.advance(who, l, time.Now())
	})
}

// expire has those count no more that have been beginning for long enough.
func (l *lane) expire(now time.Time) {
	n := 0
	for n < len(l.beginning) && now.Sub(l.beginning[n].since) >= beginTime {
		n++
	}
	l.beginning = slices.Delete(l.beginning, 0, n)
}
