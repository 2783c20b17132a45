package egress

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"pgregory.net/rapid"

	"github.com/alcove-run/alcove/internal/slow"
	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/egress/policy"
	"github.com/alcove-run/alcove/sandbox/egress/wire"
)

// naive is what policies mean, in the plainest way: texts and loops.
type naive struct {
	node, function, tenant *policy.Policy
	told                   map[netip.Addr][]string
}

func (k *naive) rule(r policy.Rule, to target, names bool) bool {
	text := r.String()
	if proto, rest, ok := strings.Cut(text, "://"); ok {
		if proto != map[policy.Proto]string{policy.TCP: "tcp", policy.UDP: "udp"}[to.proto] {
			return false
		}
		text = rest
	}
	where, ports, ok := strings.Cut(text, ":")
	if ok {
		first, last, isRange := strings.Cut(ports, "-")
		if !isRange {
			last = first
		}
		low, _ := strconv.Atoi(first)
		high, _ := strconv.Atoi(last)
		if p := int(to.at.Port()); p < low || p > high {
			return false
		}
	}
	if prefix, err := netip.ParsePrefix(where); err == nil {
		return prefix.Contains(to.at.Addr())
	}
	if where == to.at.Addr().String() {
		return true
	}
	for _, name := range k.told[to.at.Addr()] {
		if suffix, below := strings.CutPrefix(where, "*"); names && (name == where || below && strings.HasSuffix(name, suffix)) {
			return true
		}
	}
	return false
}

func (k *naive) policy(p *policy.Policy, to target) bool {
	if p.Mode != policy.List {
		return p.Mode == policy.Open
	}
	for _, r := range p.Allow {
		if k.rule(r, to, true) {
			return true
		}
	}
	return false
}

// allows is for loopback addresses, which have to be named one by one.
func (k *naive) allows(to target) bool {
	opened := false
	for _, r := range k.node.Private {
		isPrefix := strings.Contains(strings.ReplaceAll(r.String(), "://", ""), "/")
		opened = opened || !isPrefix && k.rule(r, to, false)
	}
	if !opened {
		return false
	}
	base := k.function
	if base == nil {
		base = k.node
	}
	if k.tenant == nil {
		return k.policy(base, to)
	}
	return k.policy(k.tenant, to) && (k.node.Widen || k.policy(base, to))
}

func (k *naive) asks(name string) bool {
	may := func(p *policy.Policy) bool {
		if p.Mode != policy.List {
			return p.Mode == policy.Open
		}
		for _, r := range p.Allow {
			if suffix, below := strings.CutPrefix(r.Name, "*"); r.Name != "" && (name == r.Name && !r.Below || (below || r.Below) && strings.HasSuffix(name, "."+strings.TrimPrefix(suffix, "."))) {
				return true
			}
		}
		return false
	}
	base := k.function
	if base == nil {
		base = k.node
	}
	if k.tenant == nil {
		return may(base)
	}
	return may(k.tenant) && (k.node.Widen || may(base))
}

// names of the world under test, and where they lead.
var leadTo = map[string]string{"two.test.": "127.0.0.2", "a.below.test.": "127.0.0.3", "b.below.test.": "127.0.0.2", "below.test.": "127.0.0.4"}

// TestPoliciesHoldAtEveryMoment compares the node's side with a plain reading of
// policies: what is connected, which names are answered, and what goes on after a
// change, with connections under way. Changes are of any policy, of the tenant that
// a sandbox is, and while connections are being made.
func TestPoliciesHoldAtEveryMoment(t *testing.T) {
	server := serve(t, func(m *dnsmessage.Message) [][]byte {
		q := m.Questions[0]
		m.Response, m.Additionals = true, nil
		if to, ok := leadTo[strings.ToLower(q.Name.String())]; ok {
			m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 300},
				Body: &dnsmessage.AResource{A: netip.MustParseAddr(to).As4()}}}
		}
		return [][]byte{packed(t, *m)}
	})
	var ports []uint16
	for range 2 {
		l, err := net.Listen("tcp4", "0.0.0.0:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, uint16(l.Addr().(*net.TCPAddr).Port))
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() { io.Copy(io.Discard, c); c.Close() }()
			}
		}()
	}
	rapid.Check(t, func(rt *rapid.T) {
		var where []string
		for _, a := range []string{"127.0.0.2", "127.0.0.3", "127.0.0.4"} {
			where = append(where, a, fmt.Sprintf("%s:%d", a, ports[0]), fmt.Sprintf("tcp://%s:%d", a, ports[1]), "udp://"+a)
		}
		addresses := rapid.SliceOfDistinct(rapid.SampledFrom(append(where, "127.0.0.0/29", "127.0.0.2/31")), func(s string) string { return s })
		rule := rapid.SampledFrom(append(where, "127.0.0.0/29", "two.test", "*.below.test", "below.test", fmt.Sprintf("b.below.test:%d", ports[0]), "udp://a.below.test"))
		somePolicy := func(scope policy.Scope) *policy.Policy {
			p := &policy.Policy{Mode: rapid.SampledFrom([]policy.Mode{policy.Open, policy.List, policy.None}).Draw(rt, "mode")}
			var texts []string
			if p.Mode == policy.List {
				texts = rapid.SliceOfNDistinct(rule, 1, 5, func(s string) string { return s }).Draw(rt, "allow")
			}
			p.Allow = parsed(rt, texts)
			if scope == policy.Node {
				p.Private = parsed(rt, addresses.Draw(rt, "private"))
				p.Widen = rapid.Bool().Draw(rt, "widen")
			}
			if err := p.Check(scope); err != nil {
				rt.Fatal(err)
			}
			return p
		}
		var mu sync.Mutex
		node, function := somePolicy(policy.Node), map[string]*policy.Policy{}
		tenant := map[string]*policy.Policy{}
		n, r := openFake(rt, Config{Servers: []netip.AddrPort{server}})
		defer r.close()
		type box struct {
			id, function, tenant string
			number               uint32
			told                 map[netip.Addr][]string
		}
		var boxes []*box
		model := func(b *box) *naive {
			return &naive{node: node, function: function[b.function], tenant: tenant[b.tenant], told: b.told}
		}
		for i := range 3 {
			b := &box{id: fmt.Sprint(i), function: []string{"f", "g", "f"}[i], told: map[netip.Addr][]string{}}
			b.number = attach(rt, n, b.id, &someone{
				rules: func() policy.Rules {
					mu.Lock()
					defer mu.Unlock()
					return policy.Rules{Node: node, Function: function[b.function], Tenant: tenant[b.tenant]}
				},
				label: func() string { mu.Lock(); defer mu.Unlock(); return "tenant " + b.tenant },
			})
			boxes = append(boxes, b)
		}
		type dialled struct {
			id uint64
			b  *box
			to target
		}
		var flows []dialled
		someTarget := func() target {
			a := rapid.SampledFrom([]string{"127.0.0.2", "127.0.0.3", "127.0.0.4"}).Draw(rt, "address")
			return target{rapid.SampledFrom([]policy.Proto{policy.TCP, policy.UDP}).Draw(rt, "proto"), netip.AddrPortFrom(netip.MustParseAddr(a), rapid.SampledFrom(ports).Draw(rt, "port"))}
		}
		someBox := func() *box { return boxes[rapid.IntRange(0, len(boxes)-1).Draw(rt, "box")] }
		// check looks at what is open once the relay has heard everything.
		check := func(when string) {
			rt.Helper()
			for _, f := range flows {
				r.answer(f.id)
			}
			r.barrier()
			r.mu.Lock()
			defer r.mu.Unlock()
			for _, f := range flows {
				_, open := r.open[f.id]
				if allowed := model(f.b).allows(f.to); open && !allowed {
					rt.Fatalf("%s: %v of sandbox %s is open, and is not allowed", when, f.to, f.b.id)
				} else if !open && allowed && !r.closed[f.id] && r.answers[f.id].Code == wire.OK {
					rt.Fatalf("%s: %v of sandbox %s is not open", when, f.to, f.b.id)
				}
			}
			flows = slices.DeleteFunc(flows, func(f dialled) bool { _, open := r.open[f.id]; return !open })
		}
		for range rapid.IntRange(5, 40).Draw(rt, "steps") {
			switch rapid.IntRange(0, 9).Draw(rt, "step") {
			default: // a connection
				b, to := someBox(), someTarget()
				id := r.dial(b.number, to)
				want := uint8(wire.Refused)
				if model(b).allows(to) {
					want = wire.OK
				}
				if got := r.answer(id).Code; got != want {
					rt.Fatalf("%v of sandbox %s, told %v: code %d, want %d (node %+v, function %+v, tenant %+v)", to, b.id, b.told, got, want, node, function[b.function], tenant[b.tenant])
				}
				flows = append(flows, dialled{id, b, to})
			case 0, 1: // a name
				b := someBox()
				name := rapid.SampledFrom([]string{"two.test", "a.below.test", "b.below.test", "below.test", "x.test"}).Draw(rt, "name")
				addrs, rcode := r.resolve(b.number, name+".")
				if may := model(b).asks(name); may != (rcode != dnsmessage.RCodeRefused) {
					rt.Fatalf("%s of sandbox %s is answered with %v, and it may ask: %v", name, b.id, rcode, may)
				}
				for _, a := range addrs {
					if leadTo[name+"."] != a.String() {
						rt.Fatalf("%s leads to %s", name, a)
					}
					b.told[a] = append(b.told[a], name)
				}
			case 2: // a change, with others under way
				for range rapid.IntRange(0, 3).Draw(rt, "under way") {
					b, to := someBox(), someTarget()
					flows = append(flows, dialled{r.dial(b.number, to), b, to})
				}
				p := somePolicy(policy.Node)
				mu.Lock()
				node = p
				mu.Unlock()
				n.Recheck()
				check("after a change of the node's")
			case 3:
				f, set := rapid.SampledFrom([]string{"f", "g"}).Draw(rt, "function"), rapid.Bool().Draw(rt, "set")
				var p *policy.Policy
				if set {
					p = somePolicy(policy.Function)
				}
				mu.Lock()
				function[f] = p
				mu.Unlock()
				n.Recheck()
				check("after a change of a function's")
			case 4:
				who, set := rapid.SampledFrom([]string{"ann", "bob"}).Draw(rt, "tenant"), rapid.Bool().Draw(rt, "set")
				var p *policy.Policy
				if set {
					p = somePolicy(policy.Tenant)
				}
				mu.Lock()
				tenant[who] = p
				mu.Unlock()
				n.Recheck()
				check("after a change of a tenant's")
			case 5: // it becomes somebody's
				b := someBox()
				mu.Lock()
				if b.tenant == "" {
					b.tenant = rapid.SampledFrom([]string{"ann", "bob"}).Draw(rt, "whose")
				}
				mu.Unlock()
				n.RecheckOne(b.id)
				check("after it has been bound")
			}
		}
		for _, b := range boxes {
			n.Detach(b.id)
		}
		r.until("every flow to end", func() bool { return len(r.open) == 0 })
		left := func() (what string) {
			n.mu.Lock()
			defer n.mu.Unlock()
			if len(n.labels)+n.making.Taken()+n.places.Taken() > 0 {
				what = fmt.Sprintf("labels %v, %d in the making, %d flows", n.labels, n.making.Taken(), n.places.Taken())
			}
			return what
		}
		for end := time.Now().Add(slow.Patience(30 * time.Second)); left() != ""; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				rt.Fatalf("left: %s", left())
			}
		}
	})
}

func parsed(t tester, texts []string) (out []policy.Rule) {
	for _, text := range texts {
		r, err := policy.ParseRule(text)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

// everything allows loopback addresses to whoever asks.
func everything() policy.Rules {
	p := &policy.Policy{Mode: policy.Open}
	for i := range 10 {
		p.Private = append(p.Private, policy.Rule{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 0, 0, byte(1 + i)}), 32)})
	}
	return policy.Rules{Node: p}
}

// TestARelayThatDoesNotObeyIsEnded: what is not allowed any more has ended within a
// second, whatever the relay does.
func TestARelayThatDoesNotObeyIsEnded(t *testing.T) {
	n, r := openFake(t, Config{})
	defer r.close()
	r.obeys = false
	var mu sync.Mutex
	rules := everything()
	box := attach(t, n, "a", &someone{rules: func() policy.Rules { mu.Lock(); defer mu.Unlock(); return rules }, label: func() string { return "" }})
	if code := r.answer(r.dial(box, target{policy.UDP, netip.MustParseAddrPort("127.0.0.1:9")})).Code; code != wire.OK {
		t.Fatalf("code %d", code)
	}
	mu.Lock()
	rules = policy.Rules{Node: &policy.Policy{Mode: policy.None}}
	mu.Unlock()
	n.Recheck()
	<-r.done // its connection is closed, after its process was killed
	n.mu.Lock()
	n.closed = true // another relay is not this test's
	n.mu.Unlock()
}

// TestARelayCannotHideAConnection: what it says has ended while it was being made
// is not handed over, and no number is used twice.
func TestARelayCannotHideAConnection(t *testing.T) {
	began, goOn := make(chan struct{}), make(chan struct{})
	n, r := openFake(t, Config{Inside: func(context.Context, string, string) (net.Conn, error) {
		close(began)
		<-goOn
		return net.Dial("udp", "127.0.0.1:9")
	}})
	defer r.close()
	box := attach(t, n, "a", &someone{rules: everything, label: func() string { return "" }})
	id := r.dial(box, target{policy.TCP, netip.AddrPortFrom(netip.MustParseAddr(sandbox.GatewayAddr4), InsidePort)})
	<-began
	if err := r.conn.Send(&wire.Message{Kind: wire.Gone, ID: id}, -1); err != nil {
		t.Fatal(err)
	}
	r.barrier()
	close(goOn)
	if m := r.answer(id); m.Code == wire.OK {
		t.Error("it is handed over, and nobody counts it")
	}
	if s := n.Status(); s.Connections != 0 {
		t.Errorf("%d are counted", s.Connections)
	}
}
