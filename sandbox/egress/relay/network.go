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
	// maxSessions is how many peers of UDP there are at a time.
	maxSessions = 256
	// Buffers of a connection of TCP, each way, in bytes. The peer is the next
	// process, so little is under way; what is buffered is for the host's side.
	// The first connections of a link have large ones, all others small ones.
	largeBuffer, smallBuffer = 256 << 10, 16 << 10
	largeFlows               = 48
)

// network is the network stack at the end of a link: every address in the world
// is its own, and what it accepts is connected to there by the node.
type network struct {
	link     *link
	stack    *stack.Stack
	endpoint *endpoint
	used     atomic.Bool  // since rest has looked
	flows    atomic.Int64 // under way, those that are being asked for included
	sessions atomic.Int64 // of UDP among them

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
	send := tcpip.TCPSendBufferSizeRangeOption{Min: 4 << 10, Default: smallBuffer, Max: largeBuffer}
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: 4 << 10, Default: smallBuffer, Max: largeBuffer}
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
	s.SetTransportProtocolHandler(tcp.ProtocolNumber, tcp.NewForwarder(s, largeBuffer, maxDials, n.acceptTCP).HandlePacket)
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
