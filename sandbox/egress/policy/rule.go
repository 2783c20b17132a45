package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Proto is a transport protocol; the zero Proto is any.
type Proto uint8

// The protocols that there are.
const (
	TCP Proto = 6
	UDP Proto = 17
)

// String is the protocol's name.
func (p Proto) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	}
	return "any"
}

// A Rule names destinations. Its text is [tcp://|udp://]WHERE[:PORT[-PORT]],
// where WHERE is a name, *.name for all names below it, an address or a CIDR
// prefix; those of IPv6 are in brackets if a port follows.
type Rule struct {
	Proto Proto
	// Name is a name in lower case, without the dot at its end, or empty; Below
	// says that the names below it are meant, and not it.
	Name  string
	Below bool
	// Prefix is where, if there is no name.
	Prefix netip.Prefix
	// First and Last are the ports; zero is all.
	First, Last uint16
}

// ParseRule reads a rule.
func ParseRule(text string) (Rule, error) {
	r, err := parseRule(text)
	if err != nil {
		return Rule{}, fmt.Errorf("rule %.300q: %w", text, err)
	}
	return r, nil
}

func parseRule(text string) (r Rule, err error) {
	rest := text
	if proto, after, ok := strings.Cut(text, "://"); ok {
		switch proto {
		case "tcp":
			r.Proto = TCP
		case "udp":
			r.Proto = UDP
		default:
			return r, fmt.Errorf("%q is no protocol that can be named: give tcp:// or udp://, or neither; a path or https:// has no meaning here", proto)
		}
		rest = after
	}
	where, ports, hasPorts, err := splitPorts(rest)
	if err != nil {
		return r, err
	}
	if hasPorts {
		if r.First, r.Last, err = parsePorts(ports); err != nil {
			return r, err
		}
	}
	if looksLikeAddress(CanonicalName(strings.TrimPrefix(where, "*."))) {
		r.Prefix, err = parsePrefix(where)
		return r, err
	}
	r.Name, r.Below = strings.CutPrefix(where, "*.")
	r.Name = CanonicalName(r.Name)
	if r.Below && strings.Count(r.Name, ".") == 0 {
		return r, fmt.Errorf("*.%s is a whole top-level domain: name what is below it", r.Name)
	}
	return r, checkName(r.Name)
}

// splitPorts takes the ports off the end.
func splitPorts(s string) (where, ports string, has bool, err error) {
	if after, ok := strings.CutPrefix(s, "["); ok {
		where, rest, ok := strings.Cut(after, "]")
		if !ok {
			return "", "", false, errors.New("a bracket is not closed")
		}
		if rest == "" {
			return where, "", false, nil
		}
		ports, ok := strings.CutPrefix(rest, ":")
		if !ok {
			return "", "", false, fmt.Errorf("%q follows the bracket: only a colon and ports can", rest)
		}
		return where, ports, true, nil
	}
	if strings.Count(s, ":") > 1 { // IPv6 without brackets, and so without ports
		return s, "", false, nil
	}
	where, ports, has = strings.Cut(s, ":")
	return where, ports, has, nil
}

func parsePorts(s string) (first, last uint16, err error) {
	low, high, isRange := strings.Cut(s, "-")
	if !isRange {
		high = low
	}
	for i, text := range []string{low, high} {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 || strconv.FormatUint(n, 10) != text {
			return 0, 0, fmt.Errorf("%q is no port: give 1 to 65535, or two of them with a dash", s)
		}
		if i == 0 {
			first = uint16(n)
		} else {
			last = uint16(n)
		}
	}
	if first > last {
		return 0, 0, fmt.Errorf("ports %q go downwards", s)
	}
	return first, last, nil
}

// looksLikeAddress: names do not end in a number (RFC 3696), have no slash and no
// colon.
func looksLikeAddress(s string) bool {
	if strings.ContainsAny(s, "/:") {
		return true
	}
	label := s[strings.LastIndexByte(s, '.')+1:]
	return label != "" && strings.Trim(label, "0123456789") == ""
}

func parsePrefix(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, errors.New("no IP address")
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return netip.Prefix{}, errors.New("no CIDR prefix, as 192.0.2.0/24 or 2001:db8::/32")
	case p.Addr().Is4In6():
		return netip.Prefix{}, errors.New("a prefix of IPv4 in IPv6: give it as IPv4's")
	case p != p.Masked():
		return netip.Prefix{}, fmt.Errorf("bits are set behind the prefix: %s is meant, or %s/%d", p.Masked(), p.Addr(), p.Addr().BitLen())
	}
	return p, nil
}

// CanonicalName is a name as rules have it.
func CanonicalName(s string) string {
	return strings.ToLower(strings.TrimSuffix(s, "."))
}

// checkName refuses what cannot be a host's name. Names in other scripts are
// given in their form for DNS, xn--.
func checkName(s string) error {
	if s == "" {
		return errors.New("neither a name nor an address")
	}
	if len(s) > 253 {
		return errors.New("the name is longer than 253 characters")
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return fmt.Errorf("%q is no label of a name", label)
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return fmt.Errorf("%q cannot be in a name (* stands alone, in front: *.example.com)", c)
			}
		}
	}
	return nil
}

// String is the rule's text.
func (r Rule) String() string {
	var b strings.Builder
	if r.Proto != 0 {
		b.WriteString(r.Proto.String() + "://")
	}
	ports := ""
	switch {
	case r.First != 0 && r.First == r.Last:
		ports = fmt.Sprintf(":%d", r.First)
	case r.First != 0:
		ports = fmt.Sprintf(":%d-%d", r.First, r.Last)
	}
	switch {
	case r.Name != "" && r.Below:
		b.WriteString("*." + r.Name)
	case r.Name != "":
		b.WriteString(r.Name)
	default:
		where := r.Prefix.String()
		if r.Prefix.IsSingleIP() {
			where = r.Prefix.Addr().String()
		}
		if ports != "" && r.Prefix.Addr().Is6() {
			where = "[" + where + "]"
		}
		b.WriteString(where)
	}
	return b.String() + ports
}

// MarshalText implements encoding.TextMarshaler.
func (r Rule) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Rule) UnmarshalText(b []byte) (err error) {
	*r, err = ParseRule(string(b))
	return err
}

// matches tells whether the rule names a destination, which has names that the
// environment was told for it.
func (r Rule) matches(proto Proto, a netip.Addr, port uint16, names []string) bool {
	if r.Proto != 0 && r.Proto != proto || r.First != 0 && (port < r.First || port > r.Last) {
		return false
	}
	if r.Name != "" {
		return slices.ContainsFunc(names, r.matchesName)
	}
	return r.Prefix.Contains(a)
}

// matchesName expects a canonical name.
func (r Rule) matchesName(name string) bool {
	if !r.Below {
		return name == r.Name
	}
	front, ok := strings.CutSuffix(name, r.Name)
	return ok && len(front) > 1 && front[len(front)-1] == '.'
}
