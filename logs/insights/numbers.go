package insights

import (
	"encoding/hex"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"
)

// toInt gives whole numbers of 32 bits.
func toInt(n float64) float64 {
	if n = math.Trunc(n); n < math.MinInt32 || n > math.MaxInt32 {
		return math.NaN()
	}
	return n
}

// numbered is a function of a number whose result is none.
func numbered(f func(float64) Value) function {
	return function{1, 1, func(a []Value) Value {
		n, ok := a[0].number()
		if !ok {
			return Value{}
		}
		return f(n)
	}, nil, false}
}

// hexToDec takes hexadecimal digits, with or without 0x.
func hexToDec(s string) Value {
	s, negative := strings.CutPrefix(strings.ToLower(strings.TrimSpace(s)), "-")
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "0x"), 16, 63)
	if err != nil {
		return Value{}
	}
	if negative {
		return numberValue(-float64(n))
	}
	return numberValue(float64(n))
}

func decToHex(n float64) Value {
	n = math.Trunc(n)
	switch {
	case math.Abs(n) >= 1<<63:
		return Value{}
	case n < 0:
		return textValue("-0x" + strconv.FormatUint(uint64(-n), 16))
	}
	return textValue("0x" + strconv.FormatUint(uint64(n), 16))
}

func hexToASCII(s string) Value {
	b, err := hex.DecodeString(strings.TrimPrefix(s, "0x"))
	if err != nil || !utf8.Valid(b) {
		return Value{}
	}
	return textValue(string(b))
}

// earth is its mean radius in kilometres.
const earth = 6371.0

// haversine is the way over the ground between two places, in kilometres.
func haversine(a []Value) Value {
	var at [4]float64
	for i, v := range a {
		n, ok := v.number()
		if !ok {
			return Value{}
		}
		at[i] = n * math.Pi / 180
	}
	half := func(d float64) float64 { return math.Pow(math.Sin(d/2), 2) }
	h := half(at[2]-at[0]) + math.Cos(at[0])*math.Cos(at[2])*half(at[3]-at[1])
	return numberValue(2 * earth * math.Asin(math.Sqrt(min(1, max(0, h)))))
}

func ipv4ToNumber(s string) Value {
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is4() {
		return Value{}
	}
	n := 0.0
	for _, b := range a.As4() {
		n = n*256 + float64(b)
	}
	return numberValue(n)
}

// reservedRanges are those of IANA's registries of special addresses that are for no
// host's use in the internet, private ones aside.
var reservedRanges = prefixes("0.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15",
	"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "::/128", "::1/128", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "fe80::/10", "ff00::/8")

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func isReserved(a netip.Addr) bool {
	a = a.Unmap()
	for _, p := range reservedRanges {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
