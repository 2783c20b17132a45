package egress

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/egress/policy"
	"github.com/alcove-run/alcove/sandbox/egress/wire"
)

// TestOneTenantsConnectionsLeaveOthersTheirs: an environment has its bound, a label
// its own, and whoever is beyond it is told so, once for many.
func TestOneTenantsConnectionsLeaveOthersTheirs(t *testing.T) {
	n, r := openFake(t, Config{Limits: Limits{Connections: 10, LabelConnections: 15, AllConnections: 1000}})
	defer r.close()
	var mu sync.Mutex
	refused := map[string][]Refusal{}
	box := func(id, label string) uint32 {
		return attach(t, n, id, &someone{rules: everything, label: func() string { return label }, refused: func(r Refusal) {
			mu.Lock()
			defer mu.Unlock()
			refused[label] = append(refused[label], r)
		}})
	}
	to := target{policy.UDP, netip.MustParseAddrPort("127.0.0.1:9")}
	many := func(number uint32, count, want int) {
		t.Helper()
		var ids []uint64
		for range count {
			ids = append(ids, r.dial(number, to))
		}
		got := 0
		for _, id := range ids {
			if r.answer(id).Code == wire.OK {
				got++
			}
		}
		if got != want {
			t.Errorf("of %d connections there are %d, want %d", count, got, want)
		}
	}
	a, b, c := box("a", "ann"), box("b", "ann"), box("c", "bob")
	many(a, 3000, 10)
	many(b, 3000, 5)
	many(c, 3000, 10)
	mu.Lock()
	defer mu.Unlock()
	for label, all := range refused {
		total := int64(0)
		for _, one := range all {
			total += 1 + one.More
			if one.Rule != "limit: connections" || one.Destination() != "127.0.0.1:9" || one.Proto != "udp" {
				t.Errorf("%s's record is %+v", label, one)
			}
		}
		if len(all) < 10 || len(all) > 200 || total > 6000 {
			t.Errorf("%s has %d records of %d refusals", label, len(all), total)
		}
	}
}

// TestWhoeverWaitsForNobodyGoesOn: a tenant's connections to where nobody answers,
// and names that nobody answers, hold no places that another tenant needs.
func TestWhoeverWaitsForNobodyGoesOn(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0") // a server of names that says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	hang := make(chan struct{})
	defer close(hang)
	n, r := openFake(t, Config{Servers: []netip.AddrPort{netip.MustParseAddrPort(silent.LocalAddr().String())}, Limits: Limits{Making: 20},
		Inside: func(ctx context.Context, _, label string) (net.Conn, error) {
			if label == "ann" { // as a host that does not answer
				select {
				case <-ctx.Done():
				case <-hang:
				}
				return nil, context.Cause(ctx)
			}
			return net.Dial("tcp", l.Addr().String())
		}})
	defer r.close()
	refused := make(chan Refusal, 1000)
	ann := attach(t, n, "a", &someone{rules: everything, label: func() string { return "ann" }, refused: func(r Refusal) { refused <- r }})
	bob := attach(t, n, "b", &someone{rules: everything, label: func() string { return "bob" }})
	inside := target{policy.TCP, netip.AddrPortFrom(netip.MustParseAddr(sandbox.GatewayAddr4), InsidePort)}
	var ids []uint64
	for range 10 {
		ids = append(ids, r.dial(ann, inside))
		r.ask(ann, wire.Message{Kind: wire.Query, Number: uint64(dnsmessage.TypeA), Data: []byte("x.test.")})
	}
	for n.making.Taken() < 20 {
		time.Sleep(time.Millisecond)
	}
	if code := r.answer(r.dial(ann, inside)).Code; code != wire.Refused {
		t.Errorf("one more of the same tenant's: %d", code)
	}
	if one := <-refused; one.Rule != ruleMaking {
		t.Errorf("the record is %+v", one)
	}
	for range 5 {
		if code := r.answer(r.dial(bob, inside)).Code; code != wire.OK {
			t.Errorf("another tenant's: %d", code)
		}
	}
	if code := r.answer(ids[0]).Code; code != wire.Refused {
		t.Errorf("the oldest of who had all: %d", code)
	}
}
