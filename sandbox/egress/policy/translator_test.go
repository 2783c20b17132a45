package policy

import (
	"net/netip"
	"slices"
	"testing"
)

// TestTranslatedAddressesAreDecidedAbout, with prefixes of all lengths that a
// network's translator may have: the examples of RFC 6052, with other prefixes.
func TestTranslatedAddressesAreDecidedAbout(t *testing.T) {
	for _, c := range []struct{ known, private, public string }{
		{"2600:db8:c000:aa::", "2600:db8:a01:203::", "2600:db8:808:808::"},
		{"2600:db8:1c0:0:aa::", "2600:db8:10a:102:3::", "2600:db8:108:808:8::"},
		{"2600:db8:122:c000:0:aa00::", "2600:db8:122:a01:2:300::", "2600:db8:122:808:8:800::"},
		{"2600:db8:122:3c0:0:aa::", "2600:db8:122:30a:1:203::", "2600:db8:122:308:8:808::"},
		{"2600:db8:122:344:c0:0:aa00:0", "2600:db8:122:344:a:102:300:0", "2600:db8:122:344:8:808:800:0"},
		{"2600:db8:122:344::192.0.0.170", "2600:db8:122:344::10.1.2.3", "2600:db8:122:344::8.8.8.8"},
	} {
		via := Translator(netip.MustParseAddr(c.known))
		if len(via) != 1 {
			t.Errorf("%s: %v", c.known, via)
		}
		private, public := netip.MustParseAddr(c.private), netip.MustParseAddr(c.public)
		if v := (Rules{}).Dial(Dial{Proto: TCP, Addr: private, Port: 80, Via: via}); v.Rule != "always: private range" {
			t.Errorf("%s by %v: %+v", private, via, v)
		}
		if v := (Rules{}).Dial(Dial{Proto: TCP, Addr: public, Port: 80, Via: via}); !v.OK {
			t.Errorf("%s by %v: %+v", public, via, v)
		}
		if why := (Rules{}).Untold(private, via); why != "private range" {
			t.Errorf("%s by %v is told: %q", private, via, why)
		}
		if v := (Rules{}).Dial(Dial{Proto: TCP, Addr: private, Port: 80}); !v.OK {
			t.Errorf("%s without a translator: %+v", private, v)
		}
		if !slices.Contains(Forms(private, via), netip.MustParseAddr("10.1.2.3")) {
			t.Errorf("%s by %v has the forms %v", private, via, Forms(private, via))
		}
	}
	if via := Translator(netip.MustParseAddr("2600::1")); via != nil {
		t.Errorf("an address that no translator has made is one of %v", via)
	}
}
