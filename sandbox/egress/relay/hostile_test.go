package relay

import (
	"net/netip"
	"os"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/alcove-run/alcove/sandbox/egress/wire"
)

// TestHostilePacketsAreNothing: what is not from the sandbox to one host comes to
// nothing, and nothing is made for it.
func TestHostilePacketsAreNothing(t *testing.T) {
	v4 := func(change func(p []byte)) []byte {
		p := make([]byte, 40)
		p[0], p[3], p[8], p[9] = 0x45, 40, 64, 6
		copy(p[12:], own4.AsSlice())
		copy(p[16:], []byte{8, 8, 8, 8})
		change(p)
		return p
	}
	v6 := func(change func(p []byte)) []byte {
		p := make([]byte, 60)
		p[0], p[5], p[6], p[7] = 0x60, 20, 6, 64
		copy(p[8:], own6.AsSlice())
		copy(p[24:], netip.MustParseAddr("2606:4700::1111").AsSlice())
		change(p)
		return p
	}
	if !wanted(v4(func([]byte) {})) || !wanted(v6(func([]byte) {})) {
		t.Fatal("good packets are not wanted")
	}
	for what, p := range map[string][]byte{
		"nothing": {}, "too short": v4(func([]byte) {})[:19], "version 5": v4(func(p []byte) { p[0] = 0x55 }),
		"longer than it is": v4(func(p []byte) { p[3] = 41 }), "shorter than its header": v4(func(p []byte) { p[3] = 19 }),
		"IP options": v4(func(p []byte) { p[0] = 0x46 }), "a first fragment": v4(func(p []byte) { p[6] = 0x20 }), "a later fragment": v4(func(p []byte) { p[7] = 1 }),
		"a spoofed source": v4(func(p []byte) { p[15] = 77 }), "ICMP": v4(func(p []byte) { p[9] = 1 }), "SCTP": v4(func(p []byte) { p[9] = 132 }),
		"broadcast": v4(func(p []byte) { copy(p[16:], []byte{255, 255, 255, 255}) }), "multicast": v4(func(p []byte) { p[16] = 224 }),
		"to itself": v4(func(p []byte) { copy(p[16:], own4.AsSlice()) }), "to nowhere": v4(func(p []byte) { copy(p[16:], make([]byte, 4)) }),
		"longer, IPv6": v6(func(p []byte) { p[5] = 21 }), "extension header": v6(func(p []byte) { p[6] = 0 }), "fragment header": v6(func(p []byte) { p[6] = 44 }),
		"neighbour discovery": v6(func(p []byte) { p[6] = 58 }), "spoofed, IPv6": v6(func(p []byte) { p[23] = 77 }), "multicast, IPv6": v6(func(p []byte) { p[24] = 0xff }),
		"link-local source": v6(func(p []byte) { p[8], p[9] = 0xfe, 0x80 }),
	} {
		if wanted(p) {
			t.Errorf("%s is taken", what)
		}
	}
}

// FuzzPackets has a relay read anything at all.
func FuzzPackets(f *testing.F) {
	f.Add([]byte{0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 192, 0, 0, 2, 8, 8, 8, 8, 1, 1, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 255, 255, 0, 0, 0, 0})
	f.Add([]byte{0x45, 0, 0, 30, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 0, 2, 192, 0, 0, 1, 1, 1, 0, 53, 0, 10, 0, 0, 1, 2})
	f.Fuzz(func(t *testing.T, p []byte) {
		if !wanted(p) {
			return
		}
		_, theirs, err := wire.Pair()
		if err != nil {
			t.Skip()
		}
		conn, err := wire.FromFile(theirs)
		if err != nil {
			t.Skip()
		}
		counters, err := wire.NewCounters()
		if err != nil {
			t.Skip()
		}
		defer counters.Close()
		r := &Relay{conn: conn, counters: counters, gate: newGate(1), links: map[uint32]*link{}, groups: map[uint64]*group{}, asks: map[uint64]chan<- answer{}, flows: map[uint64]flow{}}
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			t.Skip()
		}
		l, err := newLink(r, 0, null)
		if err != nil {
			t.Fatal(err)
		}
		l.join(r.groupOf(0))
		net := l.network()
		net.deliver(p)
		net.deliver(p)
		l.close()
		conn.Close()
	})
}

func FuzzQuestion(f *testing.F) {
	f.Add([]byte("\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x07example\x00\x00\x01\x00\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, q, room, rcode, ok := parseQuestion(b)
		if !ok {
			return
		}
		if rcode == dnsmessage.RCodeSuccess && (room < 512 || room > dnsMaxUDP || q.Class != dnsmessage.ClassINET) {
			t.Errorf("%+v has room for %d", q, room)
		}
		if a := emptyAnswer(h, q, rcode, false); len(a) > 0 && (a[2]&0x80 == 0 || len(a) > 512) {
			t.Errorf("the answer is %x", a)
		}
	})
}
