package relay

import (
	"net"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/alcove-run/alcove/internal/slow"
	"github.com/alcove-run/alcove/sandbox"
)

// TestANewSessionEndsTheIdlest: a sandbox that speaks from ever new sockets is
// answered on each, be it by the resolver or by the world, and what it has at a time
// is bounded.
func TestANewSessionEndsTheIdlest(t *testing.T) {
	n := start(t)
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		for b := make([]byte, 2000); ; {
			size, from, err := server.ReadFrom(b)
			if err != nil {
				return
			}
			server.WriteTo(b[:size], from)
		}
	}()
	n.world("8.8.8.8:123", server.LocalAddr().String())
	g := n.attach(1)
	question, err := (&dnsmessage.Message{Header: dnsmessage.Header{ID: 7}, Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName("a.example."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}).Pack()
	if err != nil {
		t.Fatal(err)
	}
	say := func(to string, b []byte) net.Conn {
		t.Helper()
		c := g.udp(to)
		_ = c.SetReadDeadline(time.Now().Add(slow.Patience(time.Minute)))
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 2000)); err != nil {
			t.Fatalf("%s: %v", to, err)
		}
		return c
	}
	var first, last net.Conn
	for i := range 2*maxSessions + 10 {
		last = say("8.8.8.8:123", []byte("hello"))
		if i == 0 {
			first = last
		}
	}
	n.until("those that were idle to be gone", func() bool { return len(n.gone) >= maxSessions+10 })
	for range 2*maxSessions + 10 {
		say(sandbox.GatewayAddr4+":53", question)
	}
	n.mu.Lock()
	if len(n.gone) != maxSessions+10 {
		t.Errorf("of %d sessions %d have ended: one ends for another, and none for a name", 2*maxSessions+10, len(n.gone))
	}
	n.mu.Unlock()
	// The last goes on, and the first begins anew.
	for _, c := range []net.Conn{last, first} {
		if _, err := c.Write([]byte("again")); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 2000)); err != nil {
			t.Error(err)
		}
	}
}
