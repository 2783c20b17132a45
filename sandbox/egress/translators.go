package egress

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/alcove-run/alcove/sandbox/egress/policy"
)

// Networks without IPv4 of their own reach it through a translator, which has a
// prefix of IPv6 for it (NAT64, RFC 6052): the one that everybody has, or one of the
// network's. What is behind addresses of such a prefix is decided about as well, so
// the node finds out which its network has, as RFC 7050 says: it asks for the
// addresses of a name that has none in IPv6 but those that a translator makes.

// translatedName is that name.
const translatedName = "ipv4only.arpa"

// translatorsFor is how long it is believed what was found, and askedAgain how soon
// it is asked again if there was no answer.
const translatorsFor, askedAgain = 10 * time.Minute, time.Minute

// translatorsMax is how long a first connection waits for the answer.
const translatorsMax = 2 * time.Second

type translators struct {
	mu    sync.Mutex
	until time.Time       // what is known is believed
	asked <-chan struct{} // closed when the question that is under way is over; nil if none is
	known bool            // there has been an answer, or none
	list  []netip.Prefix
}

// now are those that are known. It waits for nobody.
func (t *translators) now() []netip.Prefix {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.list
}

// translators are those of this machine's network. The first who wants to know waits
// for the answer.
func (n *Network) translatorsOf(ctx context.Context) []netip.Prefix {
	t := &n.translators
	t.mu.Lock()
	if t.asked == nil && time.Now().After(t.until) {
		over := make(chan struct{})
		t.asked = over
		n.wg.Go(func() { n.findTranslators(over) })
	}
	wait := t.asked
	if t.known {
		wait = nil
	}
	t.mu.Unlock()
	if wait != nil {
		ctx, cancel := context.WithTimeout(ctx, translatorsMax)
		defer cancel()
		select {
		case <-wait:
		case <-ctx.Done():
		}
	}
	return t.now()
}

func (n *Network) findTranslators(over chan<- struct{}) {
	ctx, cancel := context.WithTimeout(n.ctx, lookupMax)
	defer cancel()
	a, err := n.resolver.ask(ctx, translatedName, dnsmessage.TypeAAAA)
	t := &n.translators
	t.mu.Lock()
	defer t.mu.Unlock()
	defer close(over)
	t.asked, t.known, t.until = nil, true, time.Now().Add(translatorsFor)
	if err != nil { // what was found before is still believed
		t.until = time.Now().Add(askedAgain)
		return
	}
	t.list = nil
	for _, r := range a.records {
		if addr := addressOf(r); addr.Is6() && len(t.list) < 8 {
			t.list = append(t.list, policy.Translator(addr)...)
		}
	}
}
