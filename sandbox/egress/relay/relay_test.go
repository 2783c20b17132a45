package relay

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/fdbased"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/alcove-run/alcove/internal/slow"
	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/egress/wire"
)

// node is the other side of a relay: it connects to the servers of a test.
type node struct {
	t        *testing.T
	conn     *wire.Conn
	counters *wire.Counters

	mu    sync.Mutex
	at    map[netip.AddrPort]string // where an address of the world really is; "" is silence
	asked []string
	ids   []uint64
	gone  map[uint64]bool
	hear  chan struct{} // has a token when there is news
}

func start(t *testing.T) *node {
	t.Helper()
	conn, theirs, err := wire.Pair()
	if err != nil {
		t.Fatal(err)
	}
	other, err := wire.FromFile(theirs)
	if err != nil {
		t.Fatal(err)
	}
	counters, err := wire.NewCounters()
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, conn: conn, counters: counters, at: map[netip.AddrPort]string{}, gone: map[uint64]bool{}, hear: make(chan struct{}, 1)}
	served := make(chan error, 1)
	go func() { served <- Serve(other, counters) }()
	answered := make(chan struct{})
	go func() { defer close(answered); n.serve() }()
	t.Cleanup(func() {
		conn.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		<-answered
	})
	return n
}

func (n *node) serve() {
	for {
		var m wire.Message
		if _, err := n.conn.Receive(&m); err != nil {
			return
		}
		n.mu.Lock()
		switch m.Kind {
		case wire.Dial:
			n.asked = append(n.asked, fmt.Sprintf("%d %d %s", m.Link, m.Proto, m.Addr))
			n.ids = append(n.ids, m.ID)
			go n.dial(m, n.at)
		case wire.Query:
			n.asked = append(n.asked, fmt.Sprintf("%d query %d %s", m.Link, m.Number, m.Data))
			go n.answer(m.ID, string(m.Data))
		case wire.Gone:
			n.gone[m.ID] = true
		}
		n.mu.Unlock()
		select {
		case n.hear <- struct{}{}:
		default:
		}
	}
}

func (n *node) dial(m wire.Message, at map[netip.AddrPort]string) {
	n.mu.Lock()
	where, ok := at[m.Addr]
	n.mu.Unlock()
	a := wire.Message{Kind: wire.Answer, ID: m.ID, Code: wire.Refused}
	if ok && where == "" {
		a.Code = wire.Silent
	}
	if where != "" {
		network := "tcp"
		if m.Proto == wire.UDP {
			network = "udp"
		}
		c, err := net.Dial(network, where)
		if err == nil {
			defer c.Close()
			raw, _ := c.(interface{ File() (*os.File, error) }).File()
			defer raw.Close()
			a.Code = wire.OK
			_ = n.conn.Send(&a, int(raw.Fd()))
			return
		}
	}
	_ = n.conn.Send(&a, -1)
}

func (n *node) answer(id uint64, name string) {
	m := dnsmessage.Message{Header: dnsmessage.Header{Response: true, RecursionAvailable: true}}
	q := dnsmessage.Question{Name: dnsmessage.MustNewName(name), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}
	m.Questions = append(m.Questions, q)
	count := 1
	if name == "many.example." {
		count = 100
	}
	for i := range count {
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 60},
			Body: &dnsmessage.AResource{A: [4]byte{8, 8, 8, byte(i)}}})
	}
	b, err := m.Pack()
	if err != nil {
		n.t.Error(err)
	}
	_ = n.conn.Send(&wire.Message{Kind: wire.Answer, ID: id, Data: b}, -1)
}

// until waits for news until cond holds, which may look at n.
func (n *node) until(what string, cond func() bool) {
	n.t.Helper()
	late := time.After(slow.Patience(time.Minute))
	for {
		n.mu.Lock()
		ok := cond()
		n.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-n.hear:
		case <-late:
			n.t.Fatalf("waited for %s in vain", what)
		}
	}
}

// guest is a sandbox: a network stack at the other end of a link.
type guest struct {
	*stack.Stack
	t  *testing.T
	fd int
}

func (n *node) attach(link uint32) *guest {
	n.t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		n.t.Fatal(err)
	}
	if err := n.conn.Send(&wire.Message{Kind: wire.Attach, Link: link, Group: uint64(link)}, pair[0]); err != nil {
		n.t.Fatal(err)
	}
	unix.Close(pair[0])
	ep, err := fdbased.New(&fdbased.Options{FDs: []int{pair[1]}, MTU: sandbox.LinkMTU, PacketDispatchMode: fdbased.RecvMMsg})
	if err != nil {
		n.t.Fatal(err)
	}
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
	})
	if err := s.CreateNIC(1, ep); err != nil {
		n.t.Fatal(err)
	}
	for _, a := range []string{sandbox.LinkAddr4, sandbox.LinkAddr6} {
		addr := netip.MustParseAddr(a)
		proto := ipv4.ProtocolNumber
		if addr.Is6() {
			proto = ipv6.ProtocolNumber
		}
		if err := s.AddProtocolAddress(1, tcpip.ProtocolAddress{Protocol: proto, AddressWithPrefix: tcpip.AddrFromSlice(addr.AsSlice()).WithPrefix()}, stack.AddressProperties{}); err != nil {
			n.t.Fatal(err)
		}
	}
	s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: 1}, {Destination: header.IPv6EmptySubnet, NIC: 1}})
	g := &guest{s, n.t, pair[1]}
	n.t.Cleanup(func() {
		s.RemoveNIC(1)
		s.Destroy()
		unix.Close(pair[1])
	})
	return g
}

func full(to string) (tcpip.FullAddress, tcpip.NetworkProtocolNumber) {
	a := netip.MustParseAddrPort(to)
	proto := ipv4.ProtocolNumber
	if a.Addr().Is6() {
		proto = ipv6.ProtocolNumber
	}
	return tcpip.FullAddress{NIC: 1, Addr: tcpip.AddrFromSlice(a.Addr().AsSlice()), Port: a.Port()}, proto
}

func (g *guest) tcp(ctx context.Context, to string) (*gonet.TCPConn, error) {
	a, proto := full(to)
	return gonet.DialContextTCP(ctx, g.Stack, a, proto)
}

func (g *guest) udp(to string) *gonet.UDPConn {
	g.t.Helper()
	a, proto := full(to)
	c, err := gonet.DialUDP(g.Stack, nil, &a, proto)
	if err != nil {
		g.t.Fatal(err)
	}
	return c
}

// listen serves connections one by one with serve.
func listen(t *testing.T, serve func(c *net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c.(*net.TCPConn))
			}()
		}
	}()
	return l.Addr().String()
}

func (n *node) world(addr, at string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.at[netip.MustParseAddrPort(addr)] = at
}

func TestTCPIsCarriedBothWaysWithItsEnds(t *testing.T) {
	n := start(t)
	// Answers with what came, once all of it has come.
	echo := listen(t, func(c *net.TCPConn) {
		b, err := io.ReadAll(c)
		if err == nil {
			c.Write(b)
		}
	})
	n.world("8.8.8.8:80", echo)
	n.world("[2606:4700::1111]:80", echo)
	g := n.attach(3)
	data := bytes.Repeat([]byte("0123456789abcdef"), 200_000) // more than all buffers
	for _, to := range []string{"8.8.8.8:80", "[2606:4700::1111]:80"} {
		c, err := g.tcp(t.Context(), to)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			c.Write(data)
			c.CloseWrite()
		}()
		got, err := io.ReadAll(c)
		if err != nil || sha256.Sum256(got) != sha256.Sum256(data) {
			t.Fatalf("%s: %d bytes came back (%v), not the %d that were sent", to, len(got), err, len(data))
		}
		c.Close()
	}
	n.until("both to be gone", func() bool { return len(n.gone) == 2 })
	if fmt.Sprint(n.asked) != "[3 6 8.8.8.8:80 3 6 [2606:4700::1111]:80]" {
		t.Errorf("the node was asked for %q", n.asked)
	}
	if c := n.counters.Of(3); c.Out.Load() != uint64(2*len(data)) || c.In.Load() != uint64(2*len(data)) {
		t.Errorf("counted %d out, %d in; %d each were carried", c.Out.Load(), c.In.Load(), 2*len(data))
	}
}

func TestWhatIsRefusedIsRefusedAtOnce(t *testing.T) {
	n := start(t)
	g := n.attach(0)
	if c, err := g.tcp(t.Context(), "8.8.8.8:81"); err == nil {
		c.Close()
		t.Error("connected")
	}
	u := g.udp("8.8.8.8:53")
	defer u.Close()
	// That nobody is there is the result of a later write.
	n.until("a refusal", func() bool {
		_, err := u.Write([]byte("x"))
		go func() { // there is news of every question, but not of a refusal
			time.Sleep(10 * time.Millisecond)
			select {
			case n.hear <- struct{}{}:
			default:
			}
		}()
		return err != nil
	})
}

// TestTheNodeEndsConnections: by its number, by its link, and all.
func TestTheNodeEndsConnections(t *testing.T) {
	n := start(t)
	ended := make(chan error, 10)
	n.world("8.8.8.8:80", listen(t, func(c *net.TCPConn) {
		c.Write([]byte("hello"))
		_, err := io.Copy(io.Discard, c)
		ended <- err
	}))
	g := n.attach(1)
	open := func() *gonet.TCPConn {
		c, err := g.tcp(t.Context(), "8.8.8.8:80")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		return c
	}
	a, b := open(), open()
	n.mu.Lock()
	first := n.ids[0]
	n.mu.Unlock()
	if err := n.conn.Send(&wire.Message{Kind: wire.Close, ID: first}, -1); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("a connection that the node ends reads %v, not a reset", err)
	}
	if err := <-ended; err == nil {
		t.Error("its peer was not reset")
	}
	n.until("it to be gone", func() bool { return n.gone[n.ids[0]] })
	b.Write([]byte("still there"))
	if err := n.conn.Send(&wire.Message{Kind: wire.Detach, Link: 1}, -1); err != nil {
		t.Fatal(err)
	}
	<-ended
	n.until("the other to be gone", func() bool { return n.gone[n.ids[1]] })
	if err := n.conn.Send(&wire.Message{Kind: wire.Close, ID: 12345}, -1); err != nil {
		t.Fatal(err)
	}
	n.until("word of one that never was", func() bool { return n.gone[12345] })
}

func TestResetsArePassedOn(t *testing.T) {
	n := start(t)
	reset := make(chan error, 1)
	n.world("8.8.8.8:80", listen(t, func(c *net.TCPConn) {
		c.CloseWrite() // half closed first: even then it must be noticed
		_, err := io.Copy(io.Discard, c)
		reset <- err
	}))
	n.world("8.8.8.8:81", listen(t, func(c *net.TCPConn) {
		c.Read(make([]byte, 1))
		c.SetLinger(0)
	}))
	g := n.attach(1)
	c, err := g.tcp(t.Context(), "8.8.8.8:80")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("half closed: %v", err)
	}
	g.Stack.RegisteredEndpoints()[0].Abort()
	if err := <-reset; err == nil {
		t.Error("the host's side was closed, not reset")
	}
	if c, err = g.tcp(t.Context(), "8.8.8.8:81"); err != nil {
		t.Fatal(err)
	}
	c.Write([]byte("x"))
	if _, err = c.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("a reset reads %v", err)
	}
	n.until("both to be gone", func() bool { return len(n.gone) == 2 })
}

func TestUDPIsCarriedAsDatagrams(t *testing.T) {
	n := start(t)
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		b := make([]byte, 65536)
		for {
			k, from, err := server.ReadFrom(b)
			if err != nil {
				return
			}
			server.WriteTo(b[:k], from)
		}
	}()
	n.world("8.8.8.8:123", server.LocalAddr().String())
	g := n.attach(1)
	c := g.udp("8.8.8.8:123")
	defer c.Close()
	c.SetDeadline(time.Now().Add(slow.Patience(time.Minute)))
	for _, size := range []int{1, 0, 1400, 9000, 65000} {
		sent := bytes.Repeat([]byte{byte(size)}, size)
		if _, err := c.Write(sent); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 65536)
		k, err := c.Read(got)
		if err != nil || !bytes.Equal(got[:k], sent) {
			t.Errorf("%d bytes come back as %d (%v)", size, k, err)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.asked) != 1 {
		t.Errorf("one session is asked for as %q", n.asked)
	}
}

func TestNamesAreAskedForByBothProtocols(t *testing.T) {
	n := start(t)
	g := n.attach(1)
	ask := func(name string, edns uint16) []byte {
		m := dnsmessage.Message{Header: dnsmessage.Header{ID: 77, RecursionDesired: true},
			Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
		if edns > 0 {
			var h dnsmessage.ResourceHeader
			h.SetEDNS0(int(edns), 0, false)
			m.Additionals = append(m.Additionals, dnsmessage.Resource{Header: h, Body: &dnsmessage.OPTResource{}})
		}
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	u := g.udp(sandbox.GatewayAddr4 + ":53")
	defer u.Close()
	u.SetDeadline(time.Now().Add(slow.Patience(time.Minute)))
	for _, c := range []struct {
		name      string
		edns      uint16
		answers   int
		truncated bool
	}{{"a.example.", 0, 1, false}, {"many.example.", 0, 0, true}, {"many.example.", 4096, 100, false}} {
		u.Write(ask(c.name, c.edns))
		b := make([]byte, 5000)
		k, err := u.Read(b)
		var m dnsmessage.Message
		if err == nil {
			err = m.Unpack(b[:k])
		}
		if err != nil || m.ID != 77 || m.Truncated != c.truncated || len(m.Answers) != c.answers {
			t.Errorf("%+v: %v, %v", c, m.GoString(), err)
		}
	}
	v6 := "[" + sandbox.GatewayAddr6 + "]:53"
	c, err := g.tcp(t.Context(), v6)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	q := ask("many.example.", 0)
	c.Write(append([]byte{0, byte(len(q))}, q...))
	head := make([]byte, 2)
	io.ReadFull(c, head)
	b := make([]byte, int(head[0])<<8|int(head[1]))
	var m dnsmessage.Message
	if _, err := io.ReadFull(c, b); err != nil || m.Unpack(b) != nil || len(m.Answers) != 100 {
		t.Errorf("by TCP: %v, %v", m.GoString(), err)
	}
}
