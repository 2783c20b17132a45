package egress

import (
	"fmt"
	"net"
	"testing"
)

// TestTheNodesOtherAddressesAreClosed: what leads to the node's machine without
// being in a list of its addresses, or not yet. Each is set while the node runs.
func TestTheNodesOtherAddressesAreClosed(t *testing.T) {
	l, err := net.Listen("tcp", "[::]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	reached := make(chan string, 1000)
	go accept(l, func(c *net.TCPConn) { reached <- "tcp " + c.LocalAddr().String() })
	p, err := net.ListenPacket("udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	go func() {
		for b := make([]byte, 100); ; {
			n, from, err := p.ReadFrom(b)
			if err != nil {
				return
			}
			reached <- fmt.Sprintf("udp %s from %s", b[:n], from)
			p.WriteTo(b[:n], from)
		}
	}()
	port := l.Addr().(*net.TCPAddr).Port
	addrs := map[string]string{
		"8.7.7.6": "a second one of a network", "8.7.8.9": "one of a network that leads here", "8.7.7.255": "the broadcast address",
		"2001:470:7::5": "an anycast address", "2001:470:8::5": "one of a network that leads here",
	}
	add := []string{"addr add 8.7.7.6/24 dev node", "route add local 8.7.8.0/24 dev lo src 8.7.7.5", "-6 route add anycast 2001:470:7::5 dev lo", "-6 route add local 2001:470:8::/48 dev lo"}
	del := []string{"-6 route del local 2001:470:8::/48 dev lo", "-6 route del anycast 2001:470:7::5 dev lo", "route del local 8.7.8.0/24 dev lo", "addr del 8.7.7.6/24 dev node"}
	if err := ip("addr add 8.7.7.5/24 brd 8.7.7.255 dev node"); err != nil {
		t.Fatal(err)
	}
	defer ip("addr del 8.7.7.5/24 dev node")
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			n := start(t, d)
			n.function("explorer", explorer, true)
			var got map[string]any
			n.invoke("explorer", "ann", reach{TCP: at(80, "8.8.8.8")}, &got) // the node has looked at its addresses
			if err := ip(add...); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := ip(del...); err != nil {
					t.Error(err)
				}
			}()
			var r reach
			for a := range addrs {
				r.TCP, r.UDP = append(r.TCP, target{a, port}), append(r.UDP, target{a, port})
			}
			n.invoke("explorer", "ann", r, &got)
			for a, what := range addrs {
				for _, proto := range []string{"tcp", "udp"} {
					if how := got[fmt.Sprintf("%s %s %d", proto, a, port)]; how != "ECONNREFUSED" {
						t.Errorf("%s, %s by %s: %v", what, a, proto, how)
					}
				}
			}
			for len(reached) > 0 {
				t.Errorf("the machine is reached: %s", <-reached)
			}
		})
	}
}
