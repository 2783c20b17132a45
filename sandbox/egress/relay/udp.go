package relay

import (
	"bytes"
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
	if n.sessions.Add(1) > maxSessions {
		n.sessions.Add(-1)
		return true
	}
	f := &udpFlow{network: n, to: to, stop: make(chan struct{})}
	ep, err := req.CreateEndpoint(&f.queue) // which takes the datagrams meanwhile
	if err != nil {
		n.sessions.Add(-1)
		return true
	}
	f.ep = ep
	n.flows.Add(1)
	go func() {
		defer n.flows.Add(-1)
		defer n.sessions.Add(-1)
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

	last atomic.Int64 // when something moved, in nanoseconds
	once sync.Once
	stop chan struct{}
}

func (f *udpFlow) abort() {
	f.once.Do(func() {
		close(f.stop)
		if f.host != nil {
			f.host.Close()
		}
		f.ep.Close()
	})
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
	f.last.Store(time.Now().UnixNano())
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
		case <-f.stop:
			return nil, 0, false
		case <-f.network.link.gone:
			return nil, 0, false
		case <-idle:
			if time.Since(time.Unix(0, f.last.Load())) >= sessionIdle {
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
		f.last.Store(time.Now().UnixNano())
		f.network.link.counter.Out.Add(uint64(n))
		// That nobody is there, which the host is told by ICMP, is an error of a
		// later write: it is passed on by a later datagram finding no session.
		_, err := f.host.Write(b[:n])
		buffers.Put(b)
		if err != nil {
			f.network.refuse(f.to)
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
		b, n, err := readInto(raw)
		if err != nil {
			f.network.refuse(f.to)
			return
		}
		if l.pay(max(n, smallPacket)) == nil {
			f.last.Store(time.Now().UnixNano())
			l.counter.In.Add(uint64(n))
			g := l.group.Load()
			l.relay.gate.enter(g)
			_, _ = f.ep.Write(bytes.NewReader(b[:n]), tcpip.WriteOptions{}) // what does not fit is lost, as ever
			l.relay.gate.leave()
		}
		buffers.Put(b)
	}
}
