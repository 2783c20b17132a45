package egress

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/egress/policy"
	"github.com/alcove-run/alcove/sandbox/egress/wire"
)

// lookupMax bounds how long a name is looked for.
const lookupMax = 10 * time.Second

// asked answers a question of a sandbox.
func (n *Network) asked(p *process, m *wire.Message) {
	n.mu.Lock()
	l := n.links[m.Link]
	label := ""
	if l != nil {
		n.relabel(l)
		label = l.label.name
	}
	n.mu.Unlock()
	id, kind, name := m.ID, dnsmessage.Type(m.Number), string(m.Data)
	if l == nil {
		n.answer(p, id, nil)
		return
	}
	select {
	case l.queries <- struct{}{}:
	default: // the answer is that there was an error
		n.answer(p, id, nil)
		return
	}
	ctx, cancel := context.WithTimeout(n.ctx, lookupMax)
	place := n.making.Take(label, cancel)
	if place == nil {
		cancel()
		<-l.queries
		l.refused(Refusal{Proto: "dns", Name: policy.CanonicalName(name), Rule: ruleMaking})
		n.answer(p, id, nil)
		return
	}
	n.wg.Go(func() {
		defer func() { <-l.queries }()
		defer cancel()
		defer place.Leave()
		n.answer(p, id, n.resolve(ctx, l, name, kind))
	})
}

// answer gives the relay a message for the sandbox; none says that there was an
// error.
func (n *Network) answer(p *process, id uint64, message []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p.send(&wire.Message{Kind: wire.Answer, ID: id, Data: message}, -1)
}

// resolve makes the answer to a question, or nil.
func (n *Network) resolve(ctx context.Context, l *link, name string, kind dnsmessage.Type) []byte {
	q, err := question(name, kind)
	if err != nil {
		return nil
	}
	canonical := policy.CanonicalName(name)
	if canonical == HostName {
		return pack(q, dnsmessage.RCodeSuccess, hostRecords(q))
	}
	rules := l.owner.Rules()
	if v := rules.Resolve(canonical); !v.OK {
		l.refused(Refusal{Proto: "dns", Name: canonical, Rule: v.Rule})
		return pack(q, dnsmessage.RCodeRefused, nil)
	}
	a, err := n.lookup(ctx, l, rules, canonical, kind)
	if err != nil {
		return nil
	}
	return pack(q, a.rcode, a.records)
}

// lookup asks the host's servers for a name that is allowed, and remembers the
// addresses for the sandbox. Those that it could not reach in any case are left
// out.
func (n *Network) lookup(ctx context.Context, l *link, rules policy.Rules, name string, kind dnsmessage.Type) (answer, error) {
	a, err := n.resolver.ask(ctx, name, kind)
	if err != nil {
		return a, err
	}
	var via []netip.Prefix
	if kind == dnsmessage.TypeAAAA {
		via = n.translatorsOf(ctx)
	}
	now := time.Now()
	kept := a.records[:0]
	var left string
	for _, r := range a.records {
		addr := addressOf(r)
		if addr.IsValid() {
			if why := rules.Untold(addr, via); why != "" {
				left = why
				continue
			}
			l.pins.add(name, addr, time.Duration(r.Header.TTL)*time.Second, now)
		}
		kept = append(kept, r)
	}
	a.records = kept
	if left != "" {
		l.refused(Refusal{Proto: "dns", Name: name, Rule: "always: it leads to " + left})
	}
	return a, nil
}

func question(name string, kind dnsmessage.Type) (dnsmessage.Question, error) {
	if name == "" || name[len(name)-1] != '.' {
		name += "."
	}
	full, err := dnsmessage.NewName(name)
	if err == nil && len(name) > 254 {
		err = errors.New("too long")
	}
	return dnsmessage.Question{Name: full, Type: kind, Class: dnsmessage.ClassINET}, err
}

// hostRecords are those of HostName.
func hostRecords(q dnsmessage.Question) []dnsmessage.Resource {
	if q.Type != dnsmessage.TypeA {
		return nil
	}
	h := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 60}
	return []dnsmessage.Resource{{Header: h, Body: &dnsmessage.AResource{A: netip.MustParseAddr(sandbox.GatewayAddr4).As4()}}}
}

// pack makes a message without a number, no longer than fits into a wire.Message.
func pack(q dnsmessage.Question, rcode dnsmessage.RCode, records []dnsmessage.Resource) []byte {
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{Response: true, RecursionDesired: true, RecursionAvailable: true, RCode: rcode},
		Questions: []dnsmessage.Question{q}, Answers: records,
	}
	for {
		b, err := m.Pack()
		if err != nil {
			return nil
		}
		if len(b) <= wire.MaxData {
			return b
		}
		m.Answers, m.Truncated = m.Answers[:len(m.Answers)/2], true
	}
}

// addressOf is the address that a record gives, if it does.
func addressOf(r dnsmessage.Resource) netip.Addr {
	switch b := r.Body.(type) {
	case *dnsmessage.AResource:
		return netip.AddrFrom4(b.A)
	case *dnsmessage.AAAAResource:
		return netip.AddrFrom16(b.AAAA).Unmap()
	}
	return netip.Addr{}
}

// typeOf is the type of records that give such an address.
func typeOf(a netip.Addr) dnsmessage.Type {
	if a.Is4() {
		return dnsmessage.TypeA
	}
	return dnsmessage.TypeAAAA
}
