package sandboxtest

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/alcove-run/alcove/sandbox"
)

// linkProbe says what there is of a network, then sends a datagram to an address
// of each family.
const linkProbe = `
import errno, socket
def tried(what, *socket_args):
    try:
        socket.socket(*socket_args)
        print(what, 'works')
    except OSError as e:
        print(what, errno.errorcode[e.errno] in ('EPERM', 'EACCES', 'EAFNOSUPPORT', 'EPROTONOSUPPORT', 'ESOCKTNOSUPPORT') and 'refused' or e)
tried('raw', socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
tried('raw6', socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
tried('packet', socket.AF_PACKET, socket.SOCK_RAW, 0)
print([n for _, n in socket.if_nameindex()])
for family, to in (socket.AF_INET, '198.51.100.7'), (socket.AF_INET6, '2001:db8::7'):
    s = socket.socket(family, socket.SOCK_DGRAM)
    try:
        s.connect((to, 4242))
    except OSError as e:
        print(errno.errorcode[e.errno])
        continue
    print(s.getsockname()[0])
    s.send(b'hello')
    try:
        socket.socket(family, socket.SOCK_DGRAM).bind((to, 4242))
        print('spoofs')
    except OSError as e:
        print(errno.errorcode[e.errno])
`

// link is a sandbox's way out: packets, and nothing but those that it sends.
func (s *suite) link(t *T) {
	if !s.hasLinks() {
		t.Fatalf("no sandbox can have a link here: %+v", s.driver.Findings())
	}
	s.run(t.T, "without", func(t *T) {
		got := s.output(t, py(linkProbe))
		if want := "raw refused\nraw6 refused\npacket refused\n['lo']\nENETUNREACH\nENETUNREACH\n"; got != want {
			t.Errorf("inside: %s, want %s", got, want)
		}
	})
	s.run(t.T, "with", s.linked)
	s.run(t.T, "posture", func(t *T) {
		b, p := s.agent(t, func(sp *sandbox.Spec) { sp.TCP = true }, linkOption)
		linkOf(t, b)
		s.postureOf(t, b, p, nil)
	})
	s.run(t.T, "untaken", func(t *T) { // it goes with the sandbox
		b := s.start(t, sh("exit 0"), linkOption)
		b.exit(t)
	})
}

func linkOption(spec *sandbox.Spec) { spec.Link = true }

func (s *suite) hasLinks() bool {
	for _, f := range s.driver.Findings() {
		if f.Name == sandbox.LinkFinding {
			return f.State != sandbox.Missing
		}
	}
	return false
}

// linkOf takes the other end of a sandbox's link.
func linkOf(t *T, b *box) *os.File {
	t.Helper()
	l, ok := b.Sandbox.(sandbox.Linked)
	if !ok {
		t.Fatalf("%T is no sandbox.Linked", b.Sandbox)
	}
	f := l.Link()
	if f == nil {
		t.Fatal("there is no link")
	}
	f.Close()
	// Another descriptor of the same end, as whoever serves it would have it again.
	if f = l.Link(); f == nil {
		t.Fatal("the link cannot be had again")
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// nextPacket reads one, without what stands before it on some links.
func nextPacket(link *os.File) ([]byte, error) {
	p := make([]byte, 1<<17)
	n, err := link.Read(p)
	if err == nil && n > len(sandbox.LinkFrame) && p[0] == sandbox.LinkFrame[0] {
		return p[len(sandbox.LinkFrame):n], nil
	}
	if err == nil && n < 40 && (n < 20 || p[0]>>4 == 6) {
		err = fmt.Errorf("%d bytes, which are no packet", n)
	}
	return p[:n], err
}

func (s *suite) linked(t *T) {
	b := s.start(t, py(linkProbe), linkOption)
	link := linkOf(t, b)
	if err := link.SetReadDeadline(time.Now().Add(t.patience)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		version  byte
		src, dst string
		at       int
	}{{4, sandbox.LinkAddr4, "198.51.100.7", 12}, {6, sandbox.LinkAddr6, "2001:db8::7", 8}} {
		p, err := nextPacket(link)
		for err == nil && (p[0]>>4 == 6 && p[6] == 0 || p[0]>>4 == 4 && p[9] == 2) { // joins a group by itself
			p, err = nextPacket(link)
		}
		if err != nil {
			t.Fatal(err)
		}
		size := netip.MustParseAddr(want.src).BitLen() / 8
		src, _ := netip.AddrFromSlice(p[want.at : want.at+size])
		dst, _ := netip.AddrFromSlice(p[want.at+size : want.at+2*size])
		if p[0]>>4 != want.version || src.String() != want.src || dst.String() != want.dst || !bytes.HasSuffix(p, []byte("hello")) {
			t.Errorf("the first packet of version %d is %x", want.version, p)
		}
	}
	want := fmt.Sprintf("raw refused\nraw6 refused\npacket refused\n['lo', '%s']\n%s\nEADDRNOTAVAIL\n%s\nEADDRNOTAVAIL\n", sandbox.LinkName, sandbox.LinkAddr4, sandbox.LinkAddr6)
	b.exit(t)
	if got := b.stdout.wait(t); got != want {
		t.Errorf("inside: %s, want %s", got, want)
	}
}
