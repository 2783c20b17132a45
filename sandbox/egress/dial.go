package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

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
	d.Own = n.own.has(policy.Forms(d.Addr))
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
	f := &flow{link: l, label: l.label, want: d, inside: inside}
	var stale []string
	f.want.Names, stale = l.pins.names(d.Addr, time.Now())
	v := f.judge(l.owner.Rules())
	if !v.OK && len(stale) == 0 || !n.room(l) {
		if v.OK {
			v.Rule = "limit: connections"
		}
		n.refuse(l, f.want, v.Rule)
		n.reply(p, m.ID, wire.Refused, -1)
		return nil
	}
	p.flows[m.ID], l.flows[m.ID] = f, f
	l.label.flows++
	n.flows++
	id := m.ID
	n.wg.Go(func() {
		if !v.OK {
			n.renew(f, stale)
		}
		n.connect(p, id, f)
	})
	return nil
}

// room tells whether there may be one more connection of a link. Callers hold n.mu.
func (n *Network) room(l *link) bool {
	m := n.conf.Limits
	below := func(have, most int) bool { return most == 0 || have < most }
	return below(len(l.flows), m.Connections) && below(l.label.flows, m.LabelConnections) && below(n.flows, m.AllConnections)
}

func (n *Network) reply(p *process, id uint64, code uint8, fd int) {
	p.send(&wire.Message{Kind: wire.Answer, ID: id, Code: code}, fd)
}

// renew asks again for names of which the sandbox was told the address, too long
// ago to count.
func (n *Network) renew(f *flow, names []string) {
	ctx, cancel := context.WithTimeout(n.ctx, dialMax)
	defer cancel()
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
func (n *Network) connect(p *process, id uint64, f *flow) {
	code := uint8(wire.Refused)
	ctx, cancel := context.WithTimeout(n.ctx, dialMax)
	defer cancel()
	c, err := n.dial(ctx, f)
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
		} else if f.ended {
			err = errRefused
		}
	}
	if err != nil {
		n.gone(p, id)
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
		return n.conf.Inside(ctx, f.link.id)
	}
	n.mu.Lock()
	v := f.link.owner.Rules().Dial(f.want)
	if !v.OK {
		n.refuse(f.link, f.want, v.Rule)
	}
	n.mu.Unlock()
	if !v.OK {
		return nil, errRefused
	}
	to := netip.AddrPortFrom(f.want.Addr, f.want.Port)
	d := net.Dialer{KeepAlive: time.Minute}
	c, err := d.DialContext(ctx, f.want.Proto.String(), to.String())
	if err != nil {
		return nil, err
	}
	// An address of this machine's own that nobody has listed: both ends are here.
	if host(c.LocalAddr()) == host(c.RemoteAddr()) && !f.want.Own {
		n.mu.Lock()
		f.want.Own = true
		v := f.link.owner.Rules().Dial(f.want)
		if !v.OK {
			n.refuse(f.link, f.want, v.Rule)
		}
		n.mu.Unlock()
		if !v.OK {
			c.Close()
			return nil, errRefused
		}
	}
	return c, nil
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
