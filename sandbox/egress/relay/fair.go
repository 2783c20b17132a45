package relay

import (
	"context"
	"sync"
	"sync/atomic"

	"golang.org/x/time/rate"
)

// A group is a tenant, or an environment that is nobody's yet.
type group struct {
	number uint64
	links  int // guarded by Relay.mu
	rate   atomic.Pointer[rate.Limiter]
	larger [len(sizes)]atomic.Int64 // connections with buffers of each of the sizes

	waiting []chan struct{} // guarded by gate.mu
}

func newGroup(number uint64) *group { return &group{number: number} }

// limiter is for so many bytes a second; zero is no bound. What goes at once is a
// tenth of a second's, and enough for any packet.
func limiter(bytes uint64) *rate.Limiter {
	if bytes == 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(bytes), int(max(bytes/10, 4*maxPacket)))
}

// pay waits until n bytes may pass both limiters.
func pay(ctx context.Context, n int, limits ...*rate.Limiter) error {
	for _, l := range limits {
		if l != nil {
			if err := l.WaitN(ctx, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// A gate lets as many at a time work as there are processors. Groups that wait
// have turns, one each, however many of their links and connections wait: a tenant
// with a thousand connections has no more of the relay than one with a single one.
type gate struct {
	mu   sync.Mutex
	free int
	// turns are the groups with somebody waiting, next first.
	turns []*group
}

func newGate(n int) *gate { return &gate{free: n} }

// enter waits for a turn. What is done in it is short and waits for nobody.
func (g *gate) enter(of *group) {
	g.mu.Lock()
	if g.free > 0 {
		g.free--
		g.mu.Unlock()
		return
	}
	turn := make(chan struct{})
	if len(of.waiting) == 0 {
		g.turns = append(g.turns, of)
	}
	of.waiting = append(of.waiting, turn)
	g.mu.Unlock()
	<-turn
}

// leave gives the place to whoever is next.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.turns) == 0 {
		g.free++
		return
	}
	of := g.turns[0]
	g.turns = g.turns[1:]
	turn := of.waiting[0]
	of.waiting = of.waiting[1:]
	if len(of.waiting) > 0 {
		g.turns = append(g.turns, of)
	} else {
		of.waiting = nil
	}
	close(turn)
}
