package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/internal/places"
	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/egress/policy"
	"github.com/alcove-run/alcove/sandbox/egress/wire"
)

// dialMax bounds a connection in the making. The sandbox's own patience with it is
// its kernel's.
const dialMax = 60 * time.Second

// HostName is what the node's machine is called by sandboxes: its loopback, where
// the operator has opened it.
const HostName = "host.alcove.internal"

// InsidePort is the port of the gateway's address at which a sandbox reaches the
// node itself.
const InsidePort = 4566

var (
	gateways = []netip.Addr{netip.MustParseAddr(sandbox.GatewayAddr4), netip.MustParseAddr(sandbox.GatewayAddr6)}
	loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})
)

// wanted decides about a connection that the relay asks for. It returns an error
// if the relay makes no sense.
func (n *Network) wanted(p *process, m *wire.Message) error {
	d := policy.Dial{Proto: policy.Proto(m.Proto), Addr: m.Addr.Addr().Unmap(), Port: m.Addr.Port()}
	if d.Proto != policy.TCP && d.Proto != policy.UDP || !d.Addr.IsValid() {
		return wire.ErrMessage
	}
	inside := false
	if d.Addr == gateways[0] || d.Addr == gateways[1] {
		inside = d.Proto == policy.TCP && d.Port == InsidePort && n.conf.Inside != nil
		d.Addr = loopback // the machine at the link's other end
	}
	d.Via = n.translators.now()
	d.Own = n.own.has(policy.Forms(d.Addr, d.Via))
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, twice := p.flows[m.ID]; twice {
		return wire.ErrMessage
	}
	l := n.links[m.Link]
	if l == nil {
		n.reply(p, m.ID, wire.Silent, -1)
		return nil
	}
	n.relabel(l)
	f := &flow{link: l, label: l.label, want: d, inside: inside, number: len(l.flows)}
	var stale []string
	f.want.Names, stale = l.pins.names(d.Addr, time.Now())
	v := f.judge(l.owner.Rules())
	id := m.ID
	var place *places.Place
	ctx, cancel := context.WithCancelCause(n.ctx)
	switch {
	case !v.OK && len(stale) == 0:
	case !n.room(l):
		v.Rule = "limit: connections"
	default:
		if place = n.making.Take(l.label.name, func() { cancel(errMaking) }); place == nil {
			v.Rule = ruleMaking
		} else if f.place = n.places.Take(l.label.name, func() { n.lose(id, f) }); f.place == nil {
			place.Leave()
			place, v.Rule = nil, ruleAll
		}
	}
	if place == nil {
		cancel(nil)
		n.refuse(l, f.want, v.Rule)
		n.reply(p, m.ID, wire.Refused, -1)
		return nil
	}
	p.flows[id], l.flows[id] = f, f
	l.label.flows++
	n.wg.Go(func() {
		defer cancel(nil)
		ctx, end := context.WithTimeout(ctx, dialMax)
		defer end()
		if !v.OK {
			n.renew(ctx, f, stale)
		}
		n.connect(ctx, p, id, f, place)
	})
	return nil
}

// ruleAll is why a connection is not made where there are as many as there may be,
// or ends so that another label has one.
const ruleAll = "limit: connections of all"

// lose ends a flow of which the place is another's now. Callers hold n.mu: it is
// called while they take that.
func (n *Network) lose(id uint64, f *flow) {
	n.end(id, f)
	n.refuse(f.link, f.want, ruleAll)
}

// ruleMaking is why a connection is not made where too many are being made, and
// errMaking why one that was being made is given up for another label's.
const ruleMaking = "limit: connections in the making"

var errMaking = errors.New(ruleMaking)

// room tells whether there may be one more connection of a link. Callers hold n.mu.
func (n *Network) room(l *link) bool {
	m := n.conf.Limits
	below := func(have, most int) bool { return most == 0 || have < most }
	return below(len(l.flows), m.Connections) && below(l.label.flows, m.LabelConnections)
}

func (n *Network) reply(p *process, id uint64, code uint8, fd int) {
	p.send(&wire.Message{Kind: wire.Answer, ID: id, Code: code}, fd)
}

// renew asks again for names of which the sandbox was told the address, too long
// ago to count.
func (n *Network) renew(ctx context.Context, f *flow, names []string) {
	rules := f.link.owner.Rules()
	for _, name := range names {
		if rules.Resolve(name).OK {
			_, _ = n.lookup(ctx, f.link, rules, name, typeOf(f.want.Addr))
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	f.want.Names, _ = f.link.pins.names(f.want.Addr, time.Now())
}

// connect makes a connection that has been counted, and gives it to the relay.
func (n *Network) connect(ctx context.Context, p *process, id uint64, f *flow, place *places.Place) {
	code := uint8(wire.Refused)
	c, err := n.dial(ctx, f)
	defer place.Leave() // with the node's descriptor
	if err == nil {
		defer c.Close() // the relay's is another
	} else {
		code = codeOf(err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err == nil {
		// What was asked before may have changed while that took its time.
		if v := f.judge(f.link.owner.Rules()); !v.OK {
			n.refuse(f.link, f.want, v.Rule)
			err = errRefused
		} else if f.ended || p.flows[id] != f { // or the relay has said that it is gone
			err = errRefused
		}
	}
	if err != nil {
		switch {
		case context.Cause(ctx) == errMaking:
			n.refuse(f.link, f.want, ruleMaking)
		case f.inside:
			n.refuse(f.link, f.want, "limit: connections to the node")
		}
		if p.flows[id] == f {
			n.gone(p, id)
		}
		n.reply(p, id, code, -1)
		return
	}
	f.made = true
	f.link.made.Add(1)
	raw, rerr := c.(syscall.Conn).SyscallConn()
	if rerr == nil {
		rerr = raw.Control(func(fd uintptr) { n.reply(p, id, wire.OK, int(fd)) })
	}
	if rerr != nil {
		n.gone(p, id)
		n.reply(p, id, wire.Silent, -1)
	}
}

var errRefused = errors.New("refused")

// dial connects to the address that was checked, if it is allowed.
func (n *Network) dial(ctx context.Context, f *flow) (net.Conn, error) {
	if f.inside {
		return n.conf.Inside(ctx, f.link.id, f.label.name)
	}
	if f.want.Addr.Is6() {
		via := n.translatorsOf(ctx)
		own := n.own.has(policy.Forms(f.want.Addr, via))
		n.mu.Lock()
		f.want.Via, f.want.Own = via, f.want.Own || own
		n.mu.Unlock()
	}
	if !n.permitted(f, slices.ContainsFunc(policy.Forms(f.want.Addr, f.want.Via), n.leadsHere)) {
		return nil, errRefused
	}
	to := netip.AddrPortFrom(f.want.Addr, f.want.Port)
	d := net.Dialer{KeepAlive: time.Minute, Control: f.bound}
	c, err := d.DialContext(ctx, f.want.Proto.String(), to.String())
	if err != nil {
		return nil, err
	}
	// Since a moment, perhaps, it is this machine's own.
	if !n.permitted(f, host(c.LocalAddr()) == host(c.RemoteAddr()) || n.leadsHere(f.want.Addr)) {
		c.Close()
		return nil, errRefused
	}
	return c, nil
}

// permitted tells whether a flow is allowed, to an address that may have turned out
// to be this machine's own.
func (n *Network) permitted(f *flow, own bool) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	f.want.Own = f.want.Own || own
	v := f.link.owner.Rules().Dial(f.want)
	if !v.OK {
		n.refuse(f.link, f.want, v.Rule)
	}
	return v.OK
}

// leadsHere tells whether the kernel has packets to an address be for this machine.
// Where it cannot be asked, they are taken to be.
func (n *Network) leadsHere(a netip.Addr) bool {
	here, err := n.routes.here(a)
	if err != nil {
		n.warned.Do(func() {
			n.conf.Log.Error("the kernel does not say where an address leads: it counts as the node's own", "error", err)
		})
	}
	return here
}

// What the kernel may buffer for a connection, each way, in bytes: as much as the
// host allows for the first of a sandbox, and less for the more that it has. It is
// memory of the whole machine.
const (
	freelyBuffered         = 8
	largeFlows             = 48
	largeBuffer, lowBuffer = 512 << 10, 64 << 10
)

// bound bounds it; it is a net.Dialer's Control. And a socket of UDP, which package
// net lets do that, does not speak to all of a network.
func (f *flow) bound(_, _ string, raw syscall.RawConn) error {
	var err error
	if f.want.Proto == policy.UDP {
		cerr := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 0) })
		if err = errors.Join(err, cerr); err != nil {
			return err
		}
	}
	size := lowBuffer
	switch {
	case f.number < freelyBuffered:
		return nil
	case f.number < largeFlows:
		size = largeBuffer
	}
	cerr := raw.Control(func(fd uintptr) {
		err = errors.Join(unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, size), unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, size))
	})
	return errors.Join(err, cerr)
}

func host(a net.Addr) netip.Addr {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// codeOf says what a sandbox is told of a connection that failed: what the host was
// told, at once if the host was.
func codeOf(err error) uint8 {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return wire.Silent
	}
	return wire.Refused
}

// Own tells whether an address, in any of its forms, is one of this machine's own.
func (n *Network) Own(a netip.Addr) bool {
	forms := policy.Forms(a, n.translators.now())
	return n.own.has(forms) || slices.ContainsFunc(forms, n.leadsHere)
}

// ownFor is how long it is believed that these are the node's addresses.
const ownFor = time.Second

// ownAddresses are the addresses of this machine.
type ownAddresses struct {
	mu   sync.Mutex
	at   time.Time
	list map[netip.Addr]bool
}

// has tells whether one of these is the machine's own.
func (o *ownAddresses) has(forms []netip.Addr) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Since(o.at) > ownFor {
		if all, err := net.InterfaceAddrs(); err == nil {
			o.list, o.at = map[netip.Addr]bool{}, time.Now()
			for _, a := range all {
				if p, err := netip.ParsePrefix(a.String()); err == nil {
					o.list[p.Addr().Unmap().WithZone("")] = true
				}
			}
		}
	}
	for _, a := range forms {
		if o.list[a] || a.IsLoopback() {
			return true
		}
	}
	return false
}
