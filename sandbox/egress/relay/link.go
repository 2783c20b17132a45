package relay

import (
	"context"
	"io"
	"maps"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"

	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/egress/wire"
)

// maxPacket is more than any packet: what goes over a link at a time.
const maxPacket = 64 << 10

// smallPacket is what a packet costs at least, in bytes of its rate: the work is
// in the packet more than in its bytes.
const smallPacket = 1024

// idleAfter is how long a link's network stack is kept while nothing uses it.
const idleAfter = 30 * time.Second

// buffers are of maxPacket bytes. Nobody holds one while it waits for a peer, but
// to write what is in it.
var buffers = sync.Pool{New: func() any { return new([maxPacket]byte) }}

// A link is one sandbox's.
type link struct {
	relay   *Relay
	number  uint32
	file    *os.File
	raw     syscall.RawConn
	framed  bool // a header of Ethernet's stands before each packet
	counter *wire.Counter
	group   atomic.Pointer[group]
	rate    atomic.Pointer[rate.Limiter]
	ctx     context.Context
	gone    <-chan struct{} // of ctx
	cancel  context.CancelFunc

	mu     sync.Mutex
	net    *network // nil while there is nothing to do
	flows  map[flow]bool
	closed bool
}

func newLink(r *Relay, number uint32, f *os.File) (*link, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, err
	}
	l := &link{relay: r, number: number, file: f, raw: raw, counter: r.counters.Of(number)}
	_ = raw.Control(func(fd uintptr) {
		domain, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN)
		l.framed = err == nil && domain == unix.AF_PACKET
	})
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.gone = l.ctx.Done()
	return l, nil
}

// join makes the link one of a group's. Callers hold Relay.mu.
func (l *link) join(g *group) { l.group.Store(g) }

func (l *link) setRate(own, group uint64) {
	l.rate.Store(limiter(own))
	l.group.Load().rate.Store(limiter(group))
}

// pay waits until n bytes may pass, or for the end of what wants to pass them.
func (l *link) pay(ctx context.Context, n int) error {
	return pay(ctx, n, l.rate.Load(), l.group.Load().rate.Load())
}

// close ends the link and what goes over it.
func (l *link) close() {
	l.cancel()
	l.file.Close() // ends read
	l.mu.Lock()
	l.closed = true
	n := l.net
	l.net = nil
	flows := slices.Collect(maps.Keys(l.flows))
	l.mu.Unlock()
	for _, f := range flows {
		f.abort()
	}
	if n != nil {
		n.close()
	}
}

// begun makes f the flow id, which the node can close. It returns false if it is
// not to begin, because everything ends.
func (l *link) begun(id uint64, f flow) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || !l.relay.begun(id, f) {
		return false
	}
	if l.flows == nil {
		l.flows = map[flow]bool{}
	}
	l.flows[f] = true
	return true
}

func (l *link) finished(f flow) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.flows, f)
}

// read takes packets until the link is closed, from either end.
func (l *link) read() {
	for {
		b, n, err := l.readPacket()
		if err != nil {
			l.relay.detach(l.number)
			return
		}
		if wanted(b[:n]) && l.pay(l.ctx, max(n, smallPacket)) == nil {
			if net := l.network(); net != nil {
				l.turn(func() { net.deliver(b[:n]) })
			}
		}
		buffers.Put(b)
	}
}

// turn does something in a turn of the link's group. All work that takes the
// processor for bytes is done in one, so that there is nothing else that the
// goroutines of many connections could keep others from.
func (l *link) turn(work func()) {
	l.relay.gate.enter(l.group.Load())
	defer l.relay.gate.leave()
	work()
}

// readPacket waits for a packet. The buffer is the caller's to give back if there is
// no error.
func (l *link) readPacket() (b *[maxPacket]byte, n int, err error) {
	if !l.framed {
		if b, n, err = l.readWith(l.raw, unix.Read); err == nil && n == 0 {
			buffers.Put(b)
			err = io.EOF
		}
		return b, n, err
	}
	var head [len(sandbox.LinkFrame)]byte
	b, n, err = l.readWith(l.raw, func(fd int, b []byte) (int, error) { return unix.Readv(fd, [][]byte{head[:], b}) })
	return b, max(n-len(head), 0), err
}

// readInto is readWith of bytes.
func (l *link) readInto(raw syscall.RawConn) (b *[maxPacket]byte, n int, err error) {
	return l.readWith(raw, unix.Read)
}

// readWith waits for something to read and only then takes a buffer, which is the
// caller's to give back if there is no error.
func (l *link) readWith(raw syscall.RawConn, read func(fd int, b []byte) (int, error)) (b *[maxPacket]byte, n int, err error) {
	var rerr error
	err = raw.Read(func(fd uintptr) bool {
		l.turn(func() {
			b = buffers.Get().(*[maxPacket]byte)
			for {
				if n, rerr = read(int(fd), b[:]); rerr != unix.EINTR {
					break
				}
			}
		})
		if rerr == nil {
			return true
		}
		buffers.Put(b)
		b = nil
		return rerr != unix.EAGAIN
	})
	if err == nil {
		err = rerr
	}
	if err != nil && b != nil {
		buffers.Put(b)
	}
	return b, max(n, 0), err
}

// writeAll writes to a connection of the host's, which may make it wait.
func (l *link) writeAll(raw syscall.RawConn, b []byte) error {
	var werr error
	err := raw.Write(func(fd uintptr) bool {
		for len(b) > 0 {
			n := 0
			l.turn(func() { n, werr = unix.Write(int(fd), b) })
			switch {
			case werr == nil:
				b = b[n:]
			case werr == unix.EAGAIN:
				return false
			case werr != unix.EINTR:
				return true
			}
		}
		werr = nil
		return true
	})
	if err == nil {
		err = werr
	}
	return err
}

// network is the link's network stack, which is made if there is none.
func (l *link) network() *network {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	if l.net == nil {
		n, err := newNetwork(l)
		if err != nil {
			return nil // the packet is lost, and comes again
		}
		l.net = n
		l.rest(n)
	}
	l.net.used.Store(true)
	return l.net
}

// rest drops the network stack once nothing uses it.
func (l *link) rest(n *network) {
	time.AfterFunc(idleAfter, func() {
		l.mu.Lock()
		if l.net != n {
			l.mu.Unlock()
			return
		}
		if n.used.Swap(false) || n.flows.Load() > 0 {
			l.mu.Unlock()
			l.rest(n)
			return
		}
		l.net = nil
		l.mu.Unlock()
		n.close()
	})
}

var (
	own4    = netip.MustParseAddr(sandbox.LinkAddr4)
	own6    = netip.MustParseAddr(sandbox.LinkAddr6)
	gate4   = netip.MustParseAddr(sandbox.GatewayAddr4)
	gate6   = netip.MustParseAddr(sandbox.GatewayAddr6)
	headers = [...]int{4: 20, 6: 40}
)

// wanted tells whether a packet is one that anything comes of: whole, from the
// sandbox's own address, of TCP or UDP, to one host. Neighbour discovery, routers
// and groups have no place on a link with two ends, and nobody pings.
func wanted(p []byte) bool {
	if len(p) < 20 {
		return false
	}
	switch p[0] >> 4 {
	case 4:
		length := int(p[2])<<8 | int(p[3])
		fragment := p[6]&0x3f != 0 || p[7] != 0
		if p[0] != 0x45 || length > len(p) || length < headers[4] || fragment || !transport(p[9]) {
			return false
		}
		src, dst := netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20]))
		return src == own4 && dst != own4 && unicast(dst)
	case 6:
		if len(p) < headers[6] || int(p[4])<<8|int(p[5]) > len(p)-headers[6] || !transport(p[6]) {
			return false
		}
		src, dst := netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40]))
		return src == own6 && dst != own6 && unicast(dst)
	}
	return false
}

func transport(proto byte) bool { return proto == unix.IPPROTO_TCP || proto == unix.IPPROTO_UDP }

func unicast(a netip.Addr) bool {
	return !a.IsMulticast() && !a.IsUnspecified() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}
