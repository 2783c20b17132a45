package egress

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/alcove-run/alcove/sandbox/egress/policy"
)

// serve answers questions by UDP with what reply makes of each, and gives the
// server's address.
func serve(t *testing.T, reply func(m *dnsmessage.Message) [][]byte) netip.AddrPort {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 4096)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(b[:n]) == nil {
				for _, p := range reply(&m) {
					c.WriteTo(p, from)
				}
			}
		}
	}()
	return netip.MustParseAddrPort(c.LocalAddr().String())
}

func packed(t *testing.T, m dnsmessage.Message) []byte {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Error(err)
	}
	return b
}

func a(name string, last byte) dnsmessage.Resource {
	return dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET},
		Body: &dnsmessage.AResource{A: [4]byte{8, 8, 8, last}}}
}

func alias(name, to string) dnsmessage.Resource {
	return dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Type: dnsmessage.TypeCNAME, Class: dnsmessage.ClassINET},
		Body: &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(to)}}
}

// TestForgedAnswersAreNoAnswers: what is not of the question's number and name is
// waited past, and records of other names are left out.
func TestForgedAnswersAreNoAnswers(t *testing.T) {
	server := serve(t, func(m *dnsmessage.Message) [][]byte {
		forged := dnsmessage.Message{Header: m.Header, Questions: m.Questions, Answers: []dnsmessage.Resource{a("www.example.com.", 66)}}
		forged.Response = true
		forged.ID++
		number := packed(t, forged)
		forged.ID = m.ID
		forged.Questions = []dnsmessage.Question{{Name: dnsmessage.MustNewName("evil.example."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}
		name := packed(t, forged)
		good := dnsmessage.Message{Header: m.Header, Questions: m.Questions, Answers: []dnsmessage.Resource{
			a("b.example.net.", 1), alias("a.example.net.", "b.example.net."), alias("www.example.com.", "a.example.net."), a("bank.example.", 99),
		}}
		good.Response = true
		return [][]byte{[]byte("nonsense"), number, name, packed(t, good)}
	})
	r := &resolver{fixed: []netip.AddrPort{server}}
	got, err := r.ask(t.Context(), "www.example.com", dnsmessage.TypeA)
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, rec := range got.records {
		text += fmt.Sprintf("%v %v; ", rec.Header.Name, addressOf(rec))
	}
	if want := "b.example.net. 8.8.8.1; a.example.net. invalid IP; www.example.com. invalid IP; "; text != want {
		t.Errorf("the answer has %q, want %q", text, want)
	}
}

func TestServersAreAskedInTurn(t *testing.T) {
	failing := serve(t, func(m *dnsmessage.Message) [][]byte {
		m.Response, m.RCode, m.Additionals = true, dnsmessage.RCodeServerFailure, nil
		return [][]byte{packed(t, *m)}
	})
	knowing := serve(t, func(m *dnsmessage.Message) [][]byte {
		m.Response, m.RCode, m.Additionals = true, dnsmessage.RCodeNameError, nil
		return [][]byte{packed(t, *m)}
	})
	r := &resolver{fixed: []netip.AddrPort{failing, knowing}}
	if got, err := r.ask(t.Context(), "x.example", dnsmessage.TypeA); err != nil || got.rcode != dnsmessage.RCodeNameError {
		t.Errorf("%+v, %v", got, err)
	}
	r.fixed = r.fixed[:1]
	if got, err := r.ask(t.Context(), "x.example", dnsmessage.TypeA); err == nil {
		t.Errorf("of a server that fails: %+v", got)
	}
	if got, err := r.ask(t.Context(), "x.example", dnsmessage.TypeALL); err != nil || len(got.records) > 0 {
		t.Errorf("of a type that is not passed on: %+v, %v", got, err)
	}
}

func TestResolvConfIsRead(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "[127.0.0.1:53]",
		"# none\nsearch a b\n":       "[127.0.0.1:53]",
		"nameserver 10.0.0.53\n":     "[10.0.0.53:53]",
		"nameserver fe80::1%eth0\n":  "[[fe80::1%eth0]:53]",
		"nameserver x\nnameserver\n": "[127.0.0.1:53]",
		"nameserver 1.1.1.1\n\tnameserver 2.2.2.2 \nnameserver 3.3.3.3\nnameserver 4.4.4.4": "[1.1.1.1:53 2.2.2.2:53 3.3.3.3:53]",
	} {
		if got := fmt.Sprint(parseResolvConf([]byte(text))); got != want {
			t.Errorf("%q names %s, want %s", text, got, want)
		}
	}
}

// TestPinsCountForATime: an address is a name's for its TTL, within bounds, and
// then one to ask for again.
func TestPinsCountForATime(t *testing.T) {
	var p pins
	now := time.Unix(1000, 0)
	addr := netip.MustParseAddr("8.8.8.8")
	p.add("a.example", addr, 0, now)
	p.add("b.example", addr, 10*time.Hour, now)
	for _, c := range []struct {
		after        time.Duration
		fresh, stale string
	}{{0, "[a.example b.example]", "[]"}, {59 * time.Second, "[a.example b.example]", "[]"}, {time.Minute, "[b.example]", "[a.example]"}, {time.Hour, "[]", "[a.example b.example]"}} {
		fresh, stale := p.names(addr, now.Add(c.after))
		if fmt.Sprint(fresh) != c.fresh || fmt.Sprint(stale) != c.stale {
			t.Errorf("after %v: %v, and %v to ask for; want %s, %s", c.after, fresh, stale, c.fresh, c.stale)
		}
	}
	for i := range 3 * maxPins {
		at := netip.AddrFrom4([4]byte{9, 9, byte(i >> 8), byte(i)})
		p.add("c.example", at, time.Hour, now.Add(time.Duration(i)*time.Second))
		for j := range 2 * pinNames {
			p.add(fmt.Sprint(j), at, time.Hour, now)
		}
	}
	if len(p.list) > maxPins {
		t.Errorf("%d addresses are kept", len(p.list))
	}
	for at, it := range p.list {
		if len(it.names) > pinNames {
			t.Errorf("%d names of %s are kept", len(it.names), at)
		}
	}
	if fresh, stale := p.names(netip.MustParseAddr("1.2.3.4"), now); fresh != nil || stale != nil {
		t.Error("an address that nobody was told has names")
	}
}

// FuzzAnswer has a server answer anything at all.
func FuzzAnswer(f *testing.F) {
	q, err := question("www.example.com", dnsmessage.TypeA)
	if err != nil {
		f.Fatal(err)
	}
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: 7, Response: true}, Questions: []dnsmessage.Question{q},
		Answers: []dnsmessage.Resource{alias("www.example.com.", "b.example."), a("b.example.", 1)}}
	b, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, ok := parseAnswer(b, q, 7)
		if !ok {
			return
		}
		records := relevant(q, m.Answers)
		if out := pack(q, m.RCode, records); len(out) > 0 {
			var again dnsmessage.Message
			if err := again.Unpack(out); err != nil {
				t.Errorf("what is passed on cannot be read: %v", err)
			}
		}
		for _, r := range records {
			if addr := addressOf(r); addr.IsValid() {
				_ = policy.Rules{}.Untold(addr, nil)
			}
		}
	})
}

func FuzzResolvConf(f *testing.F) {
	f.Add([]byte("nameserver 1.1.1.1\noptions edns0\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n := len(parseResolvConf(b)); n < 1 || n > maxServers {
			t.Errorf("%d servers", n)
		}
	})
}
