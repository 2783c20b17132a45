package relay

import (
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

const nic tcpip.NICID = 1

// Bounds of one link.
const (
	// maxDials is how many connections of TCP can be in the making.
	maxDials = 128
	// maxSessions is how many sessions of UDP there are at a time, and again as many
	// to the resolver, and maxAskers how many connections of TCP to it: the node
	// counts none of these.
	maxSessions, maxAskers = 256, 32
	// smallBuffer is what a connection of TCP has for a buffer each way, in bytes, if
	// it is none of the first ones of its link (sizes). The peer is the next process,
	// so little is under way.
	smallBuffer = 16 << 10
)

// A size is one of buffers that is larger, and for how many connections: the first
// ones of a link, of one group, of all. A larger one is for fewer wakes, of the
// relay and of the sandbox, for the same bytes: packets have up to 64 KB, so that a
// buffer of 256 KB is full after four.
type size struct {
	bytes             int64
	first, group, all int64
}

// sizes are tried in this order. All together are 128 MB, both ways.
var sizes = [...]size{
	{1 << 20, 4, 4, 16},
	{256 << 10, 48, 64, 192},
}

const (
	// largest is the size of the first.
	largest = 1 << 20
	// firstWindow is what a sandbox may send before it has heard anything, of every
	// connection. It also says in what units windows are told: of up to 512 KB.
	firstWindow = 256 << 10
)

// network is the network stack at the end of a link: every address in the world
// is its own, and what it accepts is connected to there by the node.
type network struct {
	link     *link
	stack    *stack.Stack
	endpoint *endpoint
	used     atomic.Bool  // since rest has looked
	flows    atomic.Int64 // under way, those that are being asked for included
	askers   atomic.Int64 // of the resolver by TCP among them

	sessions  sessions // of UDP among them
	questions sessions // of the resolver by UDP among them

	mu sync.Mutex
	// refused are peers of UDP that the node refused of late: the sandbox is
	// told when it tries again.
	refused map[netip.AddrPort]time.Time
}

func newNetwork(l *link) (*network, error) {
	n := &network{link: l, endpoint: &endpoint{link: l}, refused: map[netip.AddrPort]time.Time{}}
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
	})
	n.stack = s
	sack, recovery := tcpip.TCPSACKEnabled(true), tcpip.TCPRACKLossDetection
	send := tcpip.TCPSendBufferSizeRangeOption{Min: 4 << 10, Default: smallBuffer, Max: largest}
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: 4 << 10, Default: smallBuffer, Max: largest}
	moderate := tcpip.TCPModerateReceiveBufferOption(false)
	// There is one host on the link, which begins every connection and takes care
	// of what it has ended.
	wait := tcpip.TCPTimeWaitTimeoutOption(time.Second)
	for _, o := range []tcpip.SettableTransportProtocolOption{&sack, &recovery, &send, &receive, &moderate, &wait} {
		if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			return nil, n.fail(err)
		}
	}
	if err := s.CreateNIC(nic, n.endpoint); err != nil {
		return nil, n.fail(err)
	}
	// Any address is answered for, in either direction.
	if err := s.SetPromiscuousMode(nic, true); err != nil {
		return nil, n.fail(err)
	}
	if err := s.SetSpoofing(nic, true); err != nil {
		return nil, n.fail(err)
	}
	s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nic}, {Destination: header.IPv6EmptySubnet, NIC: nic}})
	s.SetTransportProtocolHandler(tcp.ProtocolNumber, tcp.NewForwarder(s, firstWindow, maxDials, n.acceptTCP).HandlePacket)
	s.SetTransportProtocolHandler(udp.ProtocolNumber, udp.NewForwarder(s, n.acceptUDP).HandlePacket)
	return n, nil
}

func (n *network) fail(err tcpip.Error) error {
	n.stack.Destroy()
	return errors.New(err.String())
}

// deliver takes a packet that wanted has looked at.
func (n *network) deliver(p []byte) {
	proto := ipv4.ProtocolNumber
	if p[0]>>4 == 6 {
		proto = ipv6.ProtocolNumber
	}
	d := n.endpoint.attached()
	if d == nil {
		return
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(p)})
	pkt.RXChecksumValidated = true
	d.DeliverNetworkPacket(proto, pkt)
	pkt.DecRef()
}

// close ends everything. Flows find out by their link, or have ended.
func (n *network) close() { go n.stack.Destroy() }

// peer is whom a sandbox wants to talk to.
func peer(id stack.TransportEndpointID) netip.AddrPort {
	a, _ := netip.AddrFromSlice(id.LocalAddress.AsSlice())
	return netip.AddrPortFrom(a, id.LocalPort)
}

// resolver tells whether that is the node's resolver.
func resolver(to netip.AddrPort) bool {
	return to.Port() == 53 && (to.Addr() == gate4 || to.Addr() == gate6)
}
