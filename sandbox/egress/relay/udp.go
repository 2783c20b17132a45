package relay

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/alcove-run/alcove/sandbox/egress/wire"
)

const (
	// sessionIdle is how long there is nothing from either side before a session
	// of UDP is forgotten.
	sessionIdle = time.Minute
	// refusedFor is how long a refusal is told to whoever tries again.
	refusedFor = 3 * time.Second
	// maxRefused bounds how many of them are kept.
	maxRefused = 64
)

// acceptUDP is called for each datagram that belongs to no session. It must not
// wait. If it returns false the sandbox is told that nobody is there.
func (n *network) acceptUDP(req *udp.ForwarderRequest) bool {
	to := peer(req.ID())
	if n.wasRefused(to) {
		return false
	}
	kind, idle := &n.sessions, sessionIdle
	if resolver(to) {
		kind, idle = &n.questions, dnsIdle
	}
	if !kind.enter() {
		return true
	}
	f := &udpFlow{network: n, to: to, kind: kind, idle: idle}
	f.ctx, f.stop = context.WithCancel(n.link.ctx)
	ep, err := req.CreateEndpoint(&f.queue) // which takes the datagrams meanwhile
	if err != nil {
		f.stop()
		kind.leave(f, false)
		return true
	}
	f.ep = ep
	n.flows.Add(1)
	go func() {
		defer n.flows.Add(-1)
		defer func() { kind.leave(f, f.kept) }()
		if resolver(to) {
			f.serveDNS()
		} else {
			f.run()
		}
	}()
	return true
}

func (n *network) wasRefused(to netip.AddrPort) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	at, ok := n.refused[to]
	if ok && time.Since(at) > refusedFor {
		delete(n.refused, to)
		ok = false
	}
	return ok
}

func (n *network) refuse(to netip.AddrPort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.refused) >= maxRefused {
		clear(n.refused)
	}
	n.refused[to] = time.Now()
}

// udpFlow is what is said between one socket in the sandbox and one peer.
type udpFlow struct {
	network *network
	to      netip.AddrPort
	ep      tcpip.Endpoint
	queue   waiter.Queue
	host    net.Conn

	kind *sessions
	idle time.Duration // after which it is forgotten
	kept bool          // it can be ended for another; of its own goroutine
	busy atomic.Bool   // it is not to be ended for another now
	lost atomic.Bool   // it is ended for another
	last atomic.Int64  // when something moved, in nanoseconds
	once sync.Once
	ctx  context.Context // until its end, or the link's
	stop context.CancelFunc
}

func (f *udpFlow) abort() {
	f.once.Do(func() {
		f.stop()
		if f.host != nil {
			f.host.Close()
		}
		f.ep.Close()
	})
}

// keep makes it one that can be ended for another.
func (f *udpFlow) keep() {
	f.kept = true
	f.kind.keep(f)
}

// failed is called when its connection cannot be used any more. The sandbox is told
// when it tries again, unless that would work.
func (f *udpFlow) failed() {
	if !f.lost.Load() {
		f.network.refuse(f.to)
	}
}

func (f *udpFlow) run() {
	l := f.network.link
	host, id, code := l.relay.dial(l, wire.UDP, f.to)
	if code != wire.OK {
		if code == wire.Refused {
			f.network.refuse(f.to)
		}
		f.abort()
		return
	}
	f.host = host
	defer l.relay.ended(id)
	defer f.abort()
	if !l.begun(id, f) {
		return
	}
	defer l.finished(f)
	f.keep()
	go func() {
		defer f.abort()
		f.in()
	}()
	f.out()
}

// datagram waits for one from the sandbox. The buffer is the caller's, unless the
// session is over.
func (f *udpFlow) datagram(ready <-chan struct{}, idle <-chan time.Time) (b *[maxPacket]byte, n int, ok bool) {
	for {
		b = buffers.Get().(*[maxPacket]byte)
		w := tcpip.SliceWriter(b[:])
		res, err := f.ep.Read(&w, tcpip.ReadOptions{})
		if err == nil {
			return b, res.Count, true
		}
		buffers.Put(b)
		if _, wait := err.(*tcpip.ErrWouldBlock); !wait {
			return nil, 0, false
		}
		select {
		case <-ready:
		case <-f.ctx.Done():
			return nil, 0, false
		case <-idle:
			if time.Since(time.Unix(0, f.last.Load())) >= f.idle {
				return nil, 0, false
			}
		}
	}
}

func (f *udpFlow) out() {
	entry, ready := waiter.NewChannelEntry(waiter.ReadableEvents | waiter.EventHUp | waiter.EventErr)
	f.queue.EventRegister(&entry)
	defer f.queue.EventUnregister(&entry)
	idle := time.NewTicker(sessionIdle)
	defer idle.Stop()
	for {
		b, n, ok := f.datagram(ready, idle.C)
		if !ok {
			return
		}
		f.moved()
		f.network.link.counter.Out.Add(uint64(n))
		// That nobody is there, which the host is told by ICMP, is an error of a
		// later write: it is passed on by a later datagram finding no session.
		_, err := f.host.Write(b[:n])
		buffers.Put(b)
		if err != nil {
			f.failed()
			return
		}
	}
}

func (f *udpFlow) in() {
	l := f.network.link
	raw, err := f.host.(*net.UDPConn).SyscallConn()
	if err != nil {
		return
	}
	for {
		b, n, err := l.readInto(raw)
		if err != nil {
			f.failed()
			return
		}
		if l.pay(f.ctx, max(n, smallPacket)) == nil {
			f.moved()
			l.counter.In.Add(uint64(n))
			// What does not fit is lost, as ever.
			l.turn(func() { _, _ = f.ep.Write(bytes.NewReader(b[:n]), tcpip.WriteOptions{}) })
		}
		buffers.Put(b)
	}
}
