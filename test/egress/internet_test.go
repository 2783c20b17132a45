package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
)

// Addresses of the world, beyond what servers are at.
const (
	node4, world4 = "203.0.113.129", "203.0.113.130" // the node's line
	node6, world6 = "2001:470:1::1", "2001:470:1::2"
	nodePublic    = "8.7.6.5" // the node's own, too
	resolver4     = "9.9.9.9"
)

// worlds are the addresses that something answers at.
var worlds = []string{
	"8.8.8.8", "8.8.4.4", "1.1.1.1", resolver4, "169.254.169.254", "169.254.1.1", "100.100.100.200", "168.63.129.16", "10.1.2.3", "172.16.5.5", "192.168.7.7",
	"100.64.1.1", "198.18.0.5", "192.0.2.53", "192.0.0.192",
	"2606:4700::1111", "fd00:ec2::254", "fd12::5", "64:ff9b::a9fe:a9fe", "64:ff9b::808:808", "2002:a01:203::1", "2001:0:a01:203::1", "64:ff9b:1::1", "2001:470:64::a01:203", "2001:470:64::808:808",
}

// internet is the world: everything that is not the node's machine.
type internet struct {
	ns *os.File

	mu    sync.Mutex
	names map[string][]string // addresses by name, with its dot
	asked []string
}

// newInternet makes the world, and a line from here to there.
func newInternet() (*internet, error) {
	// The network has a translator from IPv6 to IPv4 with a prefix of its own.
	e := &internet{names: map[string][]string{"ipv4only.arpa.": {"2001:470:64::c000:aa", "2001:470:64::c000:ab"}}}
	made := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked, which ends the thread
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			e.ns, err = os.Open("/proc/thread-self/ns/net")
		}
		made <- err
	}()
	if err := <-made; err != nil {
		return nil, err
	}
	here := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), e.ns.Fd())
	if err := ip(
		"link set lo up", "link add node type veth peer name world netns "+here, "addr add "+node4+"/30 dev node", "addr add "+nodePublic+"/32 dev lo",
		"-6 addr add "+node6+"/64 dev node nodad", "link set node up", "route add default via "+world4, "-6 route add default via "+world6+" dev node",
	); err != nil {
		return nil, err
	}
	err := e.in(func() error {
		lines := []string{"link set lo up", "addr add " + world4 + "/30 dev world", "-6 addr add " + world6 + "/64 dev world nodad", "link set world up",
			"route add " + nodePublic + "/32 via " + node4}
		for _, a := range worlds {
			bits := "/32"
			family := ""
			if strings.Contains(a, ":") {
				bits, family = "/128 nodad", "-6 "
			}
			lines = append(lines, family+"addr add "+strings.Replace(bits, "/", a+"/", 1)+" dev lo")
		}
		return ip(lines...)
	})
	if err != nil {
		return nil, err
	}
	return e, e.serve()
}

func (e *internet) close() { e.ns.Close() }

// ip runs iproute2.
func ip(lines ...string) error {
	for _, line := range lines {
		out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip %s: %w: %s", line, err, out)
		}
	}
	return nil
}

// in runs f in the world. The thread comes back, because nodes that it has started
// would end with it (Pdeathsig).
func (e *internet) in(f func() error) error {
	runtime.LockOSThread()
	here, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer here.Close()
	if err = unix.Setns(int(e.ns.Fd()), unix.CLONE_NEWNET); err == nil {
		err = f()
		if back := unix.Setns(int(here.Fd()), unix.CLONE_NEWNET); back != nil {
			panic(back) // what follows would be in the wrong place
		}
	}
	runtime.UnlockOSThread()
	return err
}

// listen listens in the world. The socket stays there.
func (e *internet) listen(addr string) (l net.Listener, err error) {
	err = e.in(func() error {
		l, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
		return err
	})
	return l, err
}

func (e *internet) listenPacket(addr string) (c net.PacketConn, err error) {
	err = e.in(func() error {
		c, err = (&net.ListenConfig{}).ListenPacket(context.Background(), "udp", addr)
		return err
	})
	return c, err
}

// serve has a server at port 80 of every address say what it was connected at, and
// echo what comes; the same for datagrams at port 7; and names at resolver4.
func (e *internet) serve() error {
	web, err := e.listen("[::]:80")
	if err != nil {
		return err
	}
	go accept(web, func(c *net.TCPConn) {
		fmt.Fprintf(c, "%s\n", c.LocalAddr())
		b := make([]byte, 64<<10)
		for {
			n, err := c.Read(b)
			if n > 0 {
				if _, err := c.Write(b[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	})
	for _, a := range worlds {
		p, err := e.listenPacket(net.JoinHostPort(a, "7"))
		if err != nil {
			return err
		}
		go echo(p)
	}
	dns, err := e.listenPacket(resolver4 + ":53")
	if err != nil {
		return err
	}
	go e.answer(dns)
	return nil
}

func accept(l net.Listener, serve func(c *net.TCPConn)) {
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
}

func echo(p net.PacketConn) {
	b := make([]byte, 64<<10)
	for {
		n, from, err := p.ReadFrom(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			p.WriteTo(b[:n], from)
		}
	}
}

// name has a name lead to addresses.
func (e *internet) name(name string, addrs ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.names[name+"."] = addrs
}

// questions are the names that the world was asked for since the last call.
func (e *internet) questions() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	asked := e.asked
	e.asked = nil
	return asked
}

// answer is the server of names. TTLs are zero: each question is a new one.
func (e *internet) answer(p net.PacketConn) {
	b := make([]byte, 4096)
	for {
		n, from, err := p.ReadFrom(b)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(b[:n]) != nil || len(m.Questions) != 1 {
			continue
		}
		q := m.Questions[0]
		m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
		name := strings.ToLower(q.Name.String())
		e.mu.Lock()
		if name != "ipv4only.arpa." { // which the node asks for itself
			e.asked = append(e.asked, name)
		}
		addrs, ok := e.names[name]
		e.mu.Unlock()
		if !ok {
			m.RCode = dnsmessage.RCodeNameError
		}
		h := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}
		for _, text := range addrs {
			a := netip.MustParseAddr(text)
			switch {
			case q.Type == dnsmessage.TypeA && a.Is4():
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: a.As4()}})
			case q.Type == dnsmessage.TypeAAAA && a.Is6():
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
			}
		}
		if out, err := m.Pack(); err == nil {
			p.WriteTo(out, from)
		}
	}
}
