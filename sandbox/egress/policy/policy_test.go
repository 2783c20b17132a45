package policy

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
)

func rules(t *testing.T, texts ...string) (out []Rule) {
	t.Helper()
	for _, text := range texts {
		r, err := ParseRule(text)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

func list(t *testing.T, texts ...string) *Policy {
	return &Policy{Mode: List, Allow: rules(t, texts...)}
}

func TestRulesAreReadAndWritten(t *testing.T) {
	for text, want := range map[string]string{
		"example.com":                  "example.com",
		"Example.COM.":                 "example.com",
		"*.example.com:443":            "*.example.com:443",
		"tcp://db.example.com:5432":    "tcp://db.example.com:5432",
		"udp://192.0.2.7:53":           "udp://192.0.2.7:53",
		"10.0.0.0/8:8000-8100":         "10.0.0.0/8:8000-8100",
		"2001:db8::/32":                "2001:db8::/32",
		"[2001:db8::/32]:443":          "[2001:db8::/32]:443",
		"[2001:DB8::1]":                "2001:db8::1",
		"::ffff:10.1.2.3":              "10.1.2.3",
		"_dmarc.example.com":           "_dmarc.example.com",
		"example.com:7-7":              "example.com:7",
		"localhost":                    "localhost",
		"xn--bcher-kva.example":        "xn--bcher-kva.example",
		"tcp://[2001:db8::1]:80-65535": "tcp://[2001:db8::1]:80-65535",
	} {
		r, err := ParseRule(text)
		if err != nil {
			t.Errorf("%v", err)
		} else if r.String() != want {
			t.Errorf("%q is written %q, want %q", text, r, want)
		}
	}
}

func TestWrongRulesSayWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "neither a name",
		"https://example.com":    "no protocol",
		"example.com/path":       "CIDR",
		"example.com:0":          "no port",
		"example.com:":           "no port",
		"example.com:080":        "no port",
		"example.com:70000":      "no port",
		"example.com:9-3":        "downwards",
		"*.com":                  "top-level",
		"*":                      "cannot be",
		"a.*.example.com":        "cannot be",
		"exa mple.com":           "cannot be",
		"bücher.example":         "cannot be",
		"-a.example.com":         "no label",
		"a..example.com":         "no label",
		"10.0.0.1/8":             "bits are set",
		"10.0.0.300":             "no IP address",
		"::ffff:10.0.0.0/104":    "as IPv4's",
		"[2001:db8::1":           "not closed",
		"[2001:db8::1]443":       "follows the bracket",
		"fe80::1%eth0":           "no IP address",
		strings.Repeat("a", 300): "longer than 253",
	} {
		if r, err := ParseRule(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: rule %+v, error %v; want one about %q", text, r, err, want)
		}
	}
}

func TestPoliciesAreChecked(t *testing.T) {
	for _, c := range []struct {
		text  string
		scope Scope
		want  string // in the error; empty is none
	}{
		{`{"mode":"open"}`, Tenant, ""},
		{`{"mode":"none"}`, Function, ""},
		{`{"mode":"list","allow":["example.com:443","10.0.0.0/8"]}`, Tenant, ""},
		{`{"mode":"open","private":["10.0.0.0/8:5432"],"widen":true}`, Node, ""},
		{`{"mode":"open","private":["10.0.0.0/8"]}`, Function, "node's policy alone"},
		{`{"mode":"open","widen":true}`, Tenant, "node's policy alone"},
		{`{"mode":"open","private":["db.internal"]}`, Node, "is a name"},
		{`{"mode":"open","allow":["example.com"]}`, Node, `give mode "list"`},
		{`{"mode":"list"}`, Node, `give mode "none"`},
		{`{"mode":"closed"}`, Node, "none of"},
		{`{}`, Node, "mode is missing"},
		{`null`, Node, "null"},
		{`{"mode":"open"} {}`, Node, "something follows"},
		{`{"mode":"open","deny":[]}`, Node, "deny"},
		{`[`, Node, "no JSON object"},
	} {
		_, err := Parse([]byte(c.text), c.scope)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s for %s: %v", c.text, c.scope, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s for %s: %v, want an error about %q", c.text, c.scope, err, c.want)
		}
	}
}

// TestNobodyReaches is the list of what is closed whatever a policy says, in all
// the forms that an address can have.
func TestNobodyReaches(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1": "loopback", "127.8.8.8": "loopback", "::1": "loopback", "::ffff:127.0.0.1": "loopback",
		"0.0.0.0": "this network", "::": "this network", "0.1.2.3": "this network",
		"169.254.169.254": "cloud metadata", "fd00:ec2::254": "cloud metadata", "100.100.100.200": "cloud metadata", "168.63.129.16": "cloud metadata",
		"::ffff:169.254.169.254": "cloud metadata", "64:ff9b::169.254.169.254": "cloud metadata", "2002:a9fe:a9fe::1": "cloud metadata",
		"169.254.0.1": "link-local", "fe80::1": "link-local", "febf::1": "link-local", "fe80::1%lo": "link-local",
		"10.0.0.1": "private range", "172.16.0.1": "private range", "172.31.255.255": "private range", "192.168.1.1": "private range",
		"fc00::1": "private range", "fdff::1": "private range", "64:ff9b::10.0.0.1": "private range", "2002:c0a8:0101::": "private range",
		"100.64.0.1": "carrier-grade NAT", "198.18.0.1": "benchmarking", "198.19.255.255": "benchmarking",
		"192.0.2.1": "documentation", "2001:db8::1": "documentation", "3fff::1": "documentation",
		"192.0.0.1": "protocol assignments", "192.0.0.2": "protocol assignments",
		"224.0.0.1": "multicast", "239.1.1.1": "multicast", "ff02::1": "multicast", "255.255.255.255": "broadcast", "240.0.0.1": "reserved",
		"64:ff9b:1::1": "local-use NAT64", "2001::1": "Teredo", "2001:0:808:808::": "Teredo",
		"::8.8.8.8": "reserved", "::127.0.0.1": "reserved", "100::1": "reserved", "4000::1": "reserved", "5f00::1": "reserved", "fec0::1": "site-local",
		"2600::200:5efe:10.0.0.1": "private range", "2600::5efe:127.0.0.1": "loopback",
	} {
		v := Rules{Node: &Policy{Mode: Open}}.Dial(Dial{Proto: TCP, Addr: netip.MustParseAddr(addr), Port: 80})
		if v.OK || v.Rule != "always: "+want {
			t.Errorf("%s: %+v, want refused as %s", addr, v, want)
		}
		// A list that names it opens nothing.
		name := netip.MustParseAddr(addr).WithZone("").String()
		v = Rules{Node: &Policy{Mode: Open}, Function: list(t, name, "0.0.0.0/0", "::/0")}.Dial(Dial{Proto: TCP, Addr: netip.MustParseAddr(addr), Port: 80})
		if v.OK {
			t.Errorf("%s is reached by a function's list that names it", addr)
		}
	}
	for _, addr := range []string{"8.8.8.8", "1.1.1.1", "2606:4700::1111", "64:ff9b::8.8.8.8", "2002:808:808::1", "172.32.0.1", "100.128.0.1", "192.0.1.1", "::ffff:8.8.8.8"} {
		if v := (Rules{}).Dial(Dial{Proto: UDP, Addr: netip.MustParseAddr(addr), Port: 80}); !v.OK {
			t.Errorf("%s: %+v, want reached", addr, v)
		}
	}
}

func TestTheOperatorOpensWhatIsPrivate(t *testing.T) {
	node := &Policy{Mode: Open, Private: rules(t, "10.0.0.0/8:5432", "tcp://127.0.0.1:6379", "100.64.0.0/10", "10.9.9.9:80")}
	for _, c := range []struct {
		proto Proto
		addr  string
		port  uint16
		own   bool
		ok    bool
	}{
		{TCP, "10.1.2.3", 5432, false, true},
		{TCP, "10.1.2.3", 5433, false, false},
		{TCP, "::ffff:10.1.2.3", 5432, false, true},
		{TCP, "64:ff9b::10.1.2.3", 5432, false, true},
		{TCP, "10.1.2.3", 5432, true, false}, // the node itself is in the range, and not meant
		{TCP, "10.9.9.9", 80, true, true},    // named exactly
		{TCP, "127.0.0.1", 6379, true, true},
		{UDP, "127.0.0.1", 6379, true, false},
		{TCP, "127.0.0.2", 6379, true, false},
		{TCP, "100.64.1.1", 80, false, true},
		{TCP, "100.100.100.200", 80, false, false}, // metadata in a range is not meant
		{TCP, "192.168.0.1", 5432, false, false},
	} {
		v := Rules{Node: node}.Dial(Dial{Proto: c.proto, Addr: netip.MustParseAddr(c.addr), Port: c.port, Own: c.own})
		if v.OK != c.ok {
			t.Errorf("%+v: %+v", c, v)
		}
	}
	// What the operator has opened is still the function's to allow.
	v := Rules{Node: node, Function: list(t, "example.com")}.Dial(Dial{Proto: TCP, Addr: netip.MustParseAddr("10.1.2.3"), Port: 5432})
	if v.OK || v.Rule != "function: not in the list" {
		t.Errorf("%+v", v)
	}
	if v := (Rules{Node: node}).Dial(Dial{Proto: TCP, Addr: netip.MustParseAddr("8.8.8.8"), Port: 80, Own: true}); v.OK || v.Rule != "always: the node's own address" {
		t.Errorf("a public address of the node's: %+v", v)
	}
}

// TestTheMostSpecificPolicyDecides: a tenant's policy takes away, and gives only
// if the operator says so.
func TestTheMostSpecificPolicyDecides(t *testing.T) {
	open, none := &Policy{Mode: Open}, &Policy{Mode: None}
	a, b, both := list(t, "8.8.8.8"), list(t, "9.9.9.9"), list(t, "8.8.8.8", "9.9.9.9")
	widen := &Policy{Mode: None, Widen: true}
	for i, c := range []struct {
		r    Rules
		want string // which of 8.8.8.8 and 9.9.9.9 are reached
		why  string // of refusing 8.8.8.8
	}{
		{Rules{}, "89", ""},
		{Rules{Node: open}, "89", ""},
		{Rules{Node: none}, "", "node: no network"},
		{Rules{Node: none, Function: open}, "89", ""},
		{Rules{Node: open, Function: none}, "", "function: no network"},
		{Rules{Node: none, Function: a}, "8", ""},
		{Rules{Node: open, Function: both, Tenant: a}, "8", ""},
		{Rules{Node: open, Function: both, Tenant: none}, "", "tenant: no network"},
		{Rules{Node: open, Function: a, Tenant: b}, "", "tenant: not in the list"},
		{Rules{Node: open, Function: b, Tenant: open}, "9", "function: not in the list"},
		{Rules{Node: none, Tenant: open}, "", "node: no network"},
		{Rules{Node: open, Tenant: b}, "9", "tenant: not in the list"},
		{Rules{Node: widen, Function: none, Tenant: a}, "8", ""},
		{Rules{Node: widen, Tenant: open}, "89", ""},
		{Rules{Node: widen, Function: none}, "", "function: no network"},
	} {
		got, why := "", ""
		for addr, name := range map[string]string{"8.8.8.8": "8", "9.9.9.9": "9"} {
			v := c.r.Dial(Dial{Proto: TCP, Addr: netip.MustParseAddr(addr), Port: 443})
			switch {
			case v.OK && name == "8":
				got = name + got
			case v.OK:
				got += name
			case name == "8":
				why = v.Rule
			}
		}
		if got != c.want || why != c.why {
			t.Errorf("%d: reaches %q, 8 refused by %q; want %q, %q", i, got, why, c.want, c.why)
		}
	}
	for _, c := range []struct {
		r      Rules
		silent bool
	}{{Rules{}, false}, {Rules{Node: none}, true}, {Rules{Node: none, Function: a}, false}, {Rules{Function: open, Tenant: none}, true}} {
		if c.r.Silent() != c.silent {
			t.Errorf("%+v: silent %v", c.r, !c.silent)
		}
	}
}

// TestNamesAreAllowedByTheirAddresses: an address counts as a name's only if the
// environment was told so.
func TestNamesAreAllowedByTheirAddresses(t *testing.T) {
	r := Rules{Function: list(t, "*.example.com:443", "api.example.org", "udp://time.example.net:123")}
	for name, ok := range map[string]bool{
		"a.example.com": true, "a.b.EXAMPLE.com.": true, "example.com": false, "xexample.com": false, ".example.com": false,
		"api.example.org": true, "b.api.example.org": false, "time.example.net": true, "": false, "evil.org": false,
	} {
		if v := r.Resolve(name); v.OK != ok {
			t.Errorf("%q may be asked for: %+v", name, v)
		}
	}
	for _, c := range []struct {
		proto Proto
		port  uint16
		names []string
		ok    bool
	}{
		{TCP, 443, []string{"a.example.com"}, true},
		{TCP, 80, []string{"a.example.com"}, false},
		{TCP, 80, []string{"a.example.com", "api.example.org"}, true},
		{TCP, 443, nil, false},
		{TCP, 123, []string{"time.example.net"}, false},
		{UDP, 123, []string{"time.example.net"}, true},
	} {
		v := r.Dial(Dial{Proto: c.proto, Addr: netip.MustParseAddr("8.8.8.8"), Port: c.port, Names: c.names})
		if v.OK != c.ok {
			t.Errorf("%+v: %+v", c, v)
		}
	}
	if v := (Rules{Function: list(t, "8.8.8.0/24")}).Resolve("dns.google"); v.OK {
		t.Error("a list of addresses resolves names")
	}
}

func FuzzParseRule(f *testing.F) {
	for _, s := range []string{"example.com:443", "*.a.b", "[2001:db8::/32]:1-2", "tcp://10.0.0.0/8", "udp://[::1]:5", "::ffff:1.2.3.4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRule(s)
		if err != nil {
			return
		}
		again, err := ParseRule(r.String())
		if err != nil || again != r {
			t.Errorf("%q is read as %+v, written %q, and read as %+v (%v)", s, r, r, again, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"mode":"list","allow":["example.com:443"],"private":["10.0.0.0/8"],"widen":true}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b, Node)
		if err != nil {
			return
		}
		out, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(out, Node)
		var written []byte
		if err == nil {
			written, err = json.Marshal(again)
		}
		if err != nil || !bytes.Equal(out, written) {
			t.Errorf("%q is read as %+v, written %s, and read as %+v (%v)", b, p, out, again, err)
		}
	})
}

// FuzzDial: no form of an address gets around the list of those that nobody
// reaches.
func FuzzDial(f *testing.F) {
	f.Add([]byte{127, 0, 0, 1})
	f.Add([]byte{0x20, 2, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := netip.AddrFromSlice(b)
		if !ok {
			return
		}
		v := Rules{Node: &Policy{Mode: Open}}.Dial(Dial{Proto: TCP, Addr: a, Port: 443})
		std := a.Unmap()
		if v.OK && (std.IsLoopback() || std.IsPrivate() || std.IsLinkLocalUnicast() || std.IsMulticast() || std.IsUnspecified() || !std.IsGlobalUnicast()) {
			t.Errorf("%s is reached", a)
		}
		if v.OK != (Special(a) == "") {
			t.Errorf("%s: dialled %v, special %q", a, v.OK, Special(a))
		}
	})
}
