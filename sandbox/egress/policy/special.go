package policy

import "net/netip"

// What nobody may reach, whatever a policy says: IANA's registries of special
// addresses, and what clouds have put elsewhere. Of IPv6, what is allowed is the
// one block that addresses are given out of, less what is special in it.

type block struct {
	prefix netip.Prefix
	name   string
}

func blocks(list ...[2]string) (out []block) {
	for _, b := range list {
		out = append(out, block{netip.MustParsePrefix(b[0]), b[1]})
	}
	return out
}

const (
	metadata = "cloud metadata"
	loopback = "loopback"
)

// The first that contains an address names it.
var special4 = blocks(
	[2]string{"169.254.169.254/32", metadata},
	[2]string{"169.254.170.2/32", metadata},
	[2]string{"169.254.170.23/32", metadata},  // of pods on EKS
	[2]string{"100.100.100.200/32", metadata}, // Alibaba
	[2]string{"168.63.129.16/32", metadata},   // Azure's WireServer, on a public address
	[2]string{"192.0.0.192/32", metadata},     // Oracle
	[2]string{"169.254.0.0/16", "link-local"},
	[2]string{"127.0.0.0/8", loopback},
	[2]string{"0.0.0.0/8", "this network"},
	[2]string{"10.0.0.0/8", "private range"},
	[2]string{"172.16.0.0/12", "private range"},
	[2]string{"192.168.0.0/16", "private range"},
	[2]string{"100.64.0.0/10", "carrier-grade NAT"},
	[2]string{"192.0.0.0/24", "protocol assignments"},
	[2]string{"192.0.2.0/24", "documentation"},
	[2]string{"198.51.100.0/24", "documentation"},
	[2]string{"203.0.113.0/24", "documentation"},
	[2]string{"192.88.99.0/24", "6to4 relays"},
	[2]string{"198.18.0.0/15", "benchmarking"},
	[2]string{"224.0.0.0/4", "multicast"},
	[2]string{"255.255.255.255/32", "broadcast"},
	[2]string{"240.0.0.0/4", "reserved"},
)

var special6 = blocks(
	[2]string{"fd00:ec2::/32", metadata}, // Amazon's services on instances
	[2]string{"fd20:ce::254/128", metadata},
	[2]string{"fd00:c1::a9fe:a9fe/128", metadata}, // Oracle
	[2]string{"::1/128", loopback},
	[2]string{"::/128", "this network"},
	[2]string{"fe80::/10", "link-local"},
	[2]string{"fec0::/10", "site-local"},
	[2]string{"fc00::/7", "private range"},
	[2]string{"ff00::/8", "multicast"},
	[2]string{"64:ff9b:1::/48", "local-use NAT64"},
	[2]string{"2001::/32", "Teredo"},
	[2]string{"2001:db8::/32", "documentation"},
	[2]string{"3fff::/20", "documentation"},
	[2]string{"2001::/23", "protocol assignments"},
)

var (
	global6  = netip.MustParsePrefix("2000::/3")
	nat64    = netip.MustParsePrefix("64:ff9b::/96")
	local64  = netip.MustParsePrefix("64:ff9b:1::/48")
	sixToIV  = netip.MustParsePrefix("2002::/16")
	teredo   = netip.MustParsePrefix("2001::/32")
	compat4  = netip.MustParsePrefix("::/96")
	isatapID = [4]byte{0, 0, 0x5e, 0xfe}
)

// class is what makes an address, taken by itself, one that nobody may reach, or
// empty.
func class(a netip.Addr) string {
	list := special4
	if a.Is6() {
		list = special6
	}
	for _, b := range list {
		if b.prefix.Contains(a) {
			return b.name
		}
	}
	if a.Is6() && !global6.Contains(a) && !nat64.Contains(a) {
		return "reserved"
	}
	return ""
}

// Special is why nobody may reach an address in any of its forms unless the
// operator has named it, or empty. It is what an answer of DNS is held to.
func Special(a netip.Addr) string {
	for _, form := range forms(a.Unmap(), nil) {
		if why := class(form); why != "" {
			return why
		}
	}
	return ""
}

// forms are an address and those of IPv4 that are written in it: whoever
// translates it on the way, or at the end of a tunnel, reaches those. via are prefixes
// of translators beyond the one that everybody knows.
func forms(a netip.Addr, via []netip.Prefix) []netip.Addr {
	out := []netip.Addr{a}
	if !a.Is6() {
		return out
	}
	b := a.As16()
	for _, p := range via {
		if at, ok := embedded[p.Bits()]; ok && p.Contains(a) {
			out = append(out, netip.AddrFrom4([4]byte{b[at[0]], b[at[1]], b[at[2]], b[at[3]]}))
		}
	}
	inner := func(x []byte) { out = append(out, netip.AddrFrom4([4]byte(x))) }
	switch {
	case nat64.Contains(a), local64.Contains(a), compat4.Contains(a) && b[12] != 0:
		inner(b[12:16])
	case sixToIV.Contains(a):
		inner(b[2:6])
	case teredo.Contains(a):
		inner(b[4:8])
		out = append(out, netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]}))
	}
	// ISATAP: the lower half is 0000:5efe or 0200:5efe, then the address.
	if [4]byte{b[8] &^ 2, b[9], b[10], b[11]} == isatapID {
		inner(b[12:16])
	}
	return out
}

// Forms are the forms of an address that the node's own are looked for among.
func Forms(a netip.Addr, via []netip.Prefix) []netip.Addr { return forms(a.Unmap().WithZone(""), via) }

// embedded says where a translator with a prefix of so many bits has the bytes of
// an address of IPv4 (RFC 6052).
var embedded = map[int][4]int{96: {12, 13, 14, 15}, 64: {9, 10, 11, 12}, 56: {7, 9, 10, 11}, 48: {6, 7, 9, 10}, 40: {5, 6, 7, 9}, 32: {4, 5, 6, 7}}

// Translator are the prefixes by which a translator may have made this address out
// of one of those that ipv4only.arpa has (RFC 7050).
func Translator(a netip.Addr) (out []netip.Prefix) {
	b := a.As16()
	for bits, at := range embedded {
		if inner := [4]byte{b[at[0]], b[at[1]], b[at[2]], b[at[3]]}; inner == [4]byte{192, 0, 0, 170} || inner == [4]byte{192, 0, 0, 171} {
			out = append(out, netip.PrefixFrom(a, bits).Masked())
		}
	}
	return out
}
