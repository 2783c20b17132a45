package relay

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/egress/wire"
)

// memoryEnv has this program take more memory than it has given itself.
const memoryEnv = "ALCOVE_TEST_RELAY_MEMORY"

func TestMain(m *testing.M) {
	if os.Getenv(memoryEnv) != "" {
		takeMemory()
	}
	os.Exit(m.Run())
}

const memoryUnderTest = 64 << 20

func takeMemory() {
	if err := boundMemory(memoryUnderTest); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	var kept [][]byte
	for range 2048 {
		kept = append(kept, bytes.Repeat([]byte{1}, 1<<20))
		fmt.Println(len(kept))
	}
	os.Exit(0)
}

// TestMemoryHasAnEnd: a relay that takes more than it is given ends, before the
// machine has given it more.
func TestMemoryHasAnEnd(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), memoryEnv+"=1")
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || !strings.Contains(said.String(), "out of memory") && !strings.Contains(said.String(), "failed to allocate") {
		t.Fatalf("it ends with %v, and says %.300s", err, said.String())
	}
	if n := strings.Count(string(out), "\n"); n < memoryUnderTest>>20 || n > (memoryUnderTest+ofGo)>>20 {
		t.Errorf("it had %d MB, of %d", n, memoryUnderTest>>20)
	}
}

// TestGroupsHaveTurns: with one processor, a group with one that waits has its turn
// after one of a group with a hundred, however they came.
func TestGroupsHaveTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1)
		many, few := newGroup(1), newGroup(2)
		g.enter(many) // and works
		var order []*group
		work := func(of *group) {
			g.enter(of)
			order = append(order, of)
			g.leave()
		}
		for range 100 {
			go work(many)
		}
		synctest.Wait()
		for range 3 {
			go work(few)
		}
		synctest.Wait()
		g.leave()
		synctest.Wait()
		if len(order) != 103 || g.free != 1 || len(g.turns) != 0 {
			t.Fatalf("%d had their turn, %d places are free, %d wait", len(order), g.free, len(g.turns))
		}
		for i, of := range order[:6] {
			if want := []*group{many, few}[i%2]; of != want {
				t.Errorf("turn %d is of group %d", i, of.number)
			}
		}
	})
}

// TestRatesAreOfLinksAndGroups: what two links of a group carry is what the group
// may, and what one carries is what it may; another group's is its own.
func TestRatesAreOfLinksAndGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const own, all = 1 << 20, 3 << 19
		newOf := func(g *group) *link {
			l := &link{}
			l.ctx = t.Context()
			l.join(g)
			l.setRate(own, all)
			return l
		}
		ann := newGroup(1)
		a, b, c := newOf(ann), newOf(ann), newOf(newGroup(2))
		var sums [3]atomic.Int64
		for i, l := range []*link{a, b, c} {
			for range 8 {
				go func() {
					for l.pay(l.ctx, 10_000) == nil {
						sums[i].Add(10_000)
					}
				}()
			}
		}
		time.Sleep(100 * time.Second) // of the bubble's
		synctest.Wait()
		ab, alone := sums[0].Load()+sums[1].Load(), sums[2].Load()
		if low, high := int64(all)*95, int64(all)*105; ab < low || ab > high {
			t.Errorf("two links of a group carried %d in 100 s, of %d a second", ab, all)
		}
		if low, high := int64(own)*95, int64(own)*105; alone < low || alone > high {
			t.Errorf("a link by itself carried %d in 100 s, of %d a second", alone, own)
		}
	})
}

// TestAnEndIsCountedUntilItHasArrived: what a sandbox does not take keeps its
// connection counted, also when both sides have ended.
func TestAnEndIsCountedUntilItHasArrived(t *testing.T) {
	n := start(t)
	const size = 100_000
	closed := make(chan struct{}, 1)
	n.world("8.8.8.8:80", listen(t, func(c *net.TCPConn) {
		io.Copy(io.Discard, c) // until the sandbox has ended its side
		c.Write(make([]byte, size))
		c.Close()
		closed <- struct{}{}
	}))
	n.world("8.8.4.4:80", listen(t, func(c *net.TCPConn) {}))
	g := n.attach(1)
	small := tcpip.TCPReceiveBufferSizeRangeOption{Min: 4 << 10, Default: 8 << 10, Max: 8 << 10}
	moderate := tcpip.TCPModerateReceiveBufferOption(false)
	for _, o := range []tcpip.SettableTransportProtocolOption{&small, &moderate} {
		if err := g.SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			t.Fatal(err)
		}
	}
	c, err := g.tcp(t.Context(), "8.8.8.8:80")
	if err != nil {
		t.Fatal(err)
	}
	c.CloseWrite()
	<-closed
	n.until("all to be the relay's", func() bool {
		if n.counters.Of(1).In.Load() < size {
			go func() { n.hear <- struct{}{} }() // there is no news of that
		}
		return n.counters.Of(1).In.Load() == size
	})
	other, err := g.tcp(t.Context(), "8.8.4.4:80")
	if err != nil {
		t.Fatal(err)
	}
	other.Close()
	n.until("the other one to be gone", func() bool { return n.gone[n.ids[1]] })
	n.mu.Lock()
	if n.gone[n.ids[0]] {
		t.Error("it is not counted any more, and the relay has what the sandbox did not take")
	}
	n.mu.Unlock()
	if b, err := io.ReadAll(c); len(b) != size || err != nil {
		t.Errorf("read %d bytes of it, %v", len(b), err)
	}
	n.until("it to be gone", func() bool { return n.gone[n.ids[0]] })
	c.Close()
}

// TestAskersAreFew: connections to the resolver, which nobody else counts.
func TestAskersAreFew(t *testing.T) {
	n := start(t)
	g := n.attach(1)
	var open []net.Conn
	for range maxAskers {
		c, err := g.tcp(t.Context(), sandbox.GatewayAddr4+":53")
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	if c, err := g.tcp(t.Context(), sandbox.GatewayAddr4+":53"); err == nil {
		c.Close()
		t.Error("there is one more")
	}
	for _, c := range open {
		c.Close()
	}
}

// TestTheEndOfAConnectionIsNotLost: a sandbox that takes nothing, and has as much
// waiting for it as it may, is told of the end of a connection when it does.
func TestTheEndOfAConnectionIsNotLost(t *testing.T) {
	e := &endpoint{link: &link{relay: &Relay{}}}
	data, bare := 64<<10, 40
	for e.room(data) {
		e.queue = append(e.queue, nil)
		e.count(data)
	}
	if e.queued < queueMax-data || e.queued > queueMax {
		t.Errorf("%d bytes wait", e.queued)
	}
	n := 0
	for ; e.room(bare); n++ {
		e.queue = append(e.queue, nil)
		e.count(bare)
	}
	if n < 4096 || len(e.queue) > queuePackets {
		t.Errorf("%d ends have room behind %d bytes", n, queueMax)
	}
}

// TestWhatWaitsForItsRateEnds when the node says so, and not when its turn has come.
func TestWhatWaitsForItsRateEnds(t *testing.T) {
	n := start(t)
	n.world("8.8.8.8:80", listen(t, func(c *net.TCPConn) {
		for {
			if _, err := c.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	}))
	g := n.attach(1)
	const count = 20
	var open []net.Conn
	for range count {
		c, err := g.tcp(t.Context(), "8.8.8.8:80")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	// A hundred bytes a second, once what may pass at once has.
	if err := n.conn.Send(&wire.Message{Kind: wire.Limit, Link: 1, Group: 1, Rate: 100, GroupRate: 100}, -1); err != nil {
		t.Fatal(err)
	}
	n.mu.Lock()
	ids := n.ids
	n.mu.Unlock()
	for _, id := range ids {
		if err := n.conn.Send(&wire.Message{Kind: wire.Close, ID: id}, -1); err != nil {
			t.Fatal(err)
		}
	}
	n.until("all to be gone", func() bool { return len(n.gone) == count })
	for _, c := range open {
		if _, err := io.Copy(io.Discard, c); err == nil {
			t.Error("a connection that the node ends comes to its end, and is not reset")
		}
	}
}

// TestLargerBuffersAreForFew: of a link, of a group, and of all together, and they
// come free again.
func TestLargerBuffersAreForFew(t *testing.T) {
	r := &Relay{}
	newOf := func(g *group) *network {
		n := &network{link: &link{relay: r}}
		n.link.join(g)
		return n
	}
	var sum int64
	for _, s := range sizes {
		sum += 2 * s.all * s.bytes
		if s.bytes > largest || s.all < 3*s.group {
			t.Errorf("%+v", s)
		}
	}
	if sum > 128<<20 {
		t.Errorf("all together are %d MB", sum>>20)
	}
	ann, other := newGroup(1), newGroup(2)
	var done []func()
	taken := map[int64]int64{}
	take := func(n *network) int64 {
		n.flows.Add(1)
		bytes, d := n.size()
		taken[bytes]++
		done = append(done, d)
		return bytes
	}
	for range 4 { // links of one group, with many connections each
		for n, i := newOf(ann), 0; i < 60; i++ {
			take(n)
		}
	}
	if taken[sizes[0].bytes] != sizes[0].group || taken[sizes[1].bytes] != sizes[1].group || taken[smallBuffer] != 240-sizes[0].group-sizes[1].group {
		t.Errorf("a group has %v", taken)
	}
	if got := take(newOf(other)); got != sizes[0].bytes {
		t.Errorf("another group's first has %d", got)
	}
	for _, d := range done {
		d()
	}
	for i := range sizes {
		if r.larger[i].Load() != 0 || ann.larger[i].Load() != 0 || other.larger[i].Load() != 0 {
			t.Errorf("of size %d some are counted still", i)
		}
	}
}
