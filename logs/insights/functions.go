package insights

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"math"
	"net/netip"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/alcove-run/alcove/internal/search"
)

// function is a function of values, with so many arguments.
type function struct {
	least, most int
	run         func(args []Value) Value
	// of is set instead where the result is of the run; pattern says that the second
	// argument is a regular expression.
	of      func(o *Options) Value
	pattern bool
}

const (
	maxArgs = 100
	// maxText bounds the text that a function makes, in bytes: what would be longer
	// is missing.
	maxText = 1 << 20
)

// functions are all but bin and its like and those of stats, by their names in lower
// case.
var functions = map[string]function{
	"abs": numeric(math.Abs), "ceil": numeric(math.Ceil), "floor": numeric(math.Floor), "log": numeric(math.Log), "sqrt": numeric(math.Sqrt),
	"round": {1, 2, round, nil, false}, "greatest": {1, maxArgs, extreme(1), nil, false}, "least": {1, maxArgs, extreme(-1), nil, false},
	"tonumber": numeric(same), "todouble": numeric(same), "toint": numeric(toInt), "tolong": numeric(math.Trunc),
	"frommillis": {1, 1, fromMillis, nil, false}, "tomillis": {1, 1, toMillis, nil, false},
	"now":            {0, 0, nil, func(o *Options) Value { return numberValue(float64(o.Now.Unix())) }, false},
	"querystarttime": {0, 0, nil, func(o *Options) Value { return numberValue(float64(o.Since.UnixMilli())) }, false},
	"queryendtime":   {0, 0, nil, func(o *Options) Value { return numberValue(float64(o.Until.UnixMilli())) }, false},
	"querytimerange": {0, 0, nil, func(o *Options) Value { return numberValue(float64(o.Until.Sub(o.Since).Milliseconds())) }, false},

	"ispresent": {1, 1, func(a []Value) Value { return truthValue(a[0].kind != missing) }, nil, false},
	"isempty":   {1, 1, func(a []Value) Value { return truthValue(a[0].string() == "") }, nil, false},
	"isblank":   {1, 1, func(a []Value) Value { return truthValue(strings.TrimSpace(a[0].string()) == "") }, nil, false},
	"isnumeric": {1, 1, func(a []Value) Value { _, ok := a[0].number(); return truthValue(ok) }, nil, false},
	"coalesce":  {1, maxArgs, coalesce, nil, false},
	"if":        {3, 3, func(a []Value) Value { return choose(a) }, nil, false},
	"case":      {2, 21, choose, nil, false},

	"concat":  {1, maxArgs, concat, nil, false},
	"strlen":  ofText(func(s string) Value { return numberValue(float64(utf8.RuneCountInString(s))) }),
	"toupper": ofText(func(s string) Value { return bounded(strings.ToUpper(s)) }), "tolower": ofText(func(s string) Value { return bounded(strings.ToLower(s)) }),
	"trim": trimmer(strings.TrimSpace, strings.Trim), "ltrim": trimmer(trimLeft, strings.TrimLeft), "rtrim": trimmer(trimRight, strings.TrimRight),
	"substr": {2, 3, substr, nil, false}, "replace": {3, 3, replace, nil, false}, "regexreplace": {3, 3, nil, nil, true},
	"strcontains": {2, 3, contains, nil, false}, "startswith": ofTwo(strings.HasPrefix), "endswith": ofTwo(strings.HasSuffix),
	"urlencode":    ofText(func(s string) Value { return bounded(url.QueryEscape(s)) }),
	"urldecode":    ofText(func(s string) Value { return decoded(url.QueryUnescape(s)) }),
	"base64encode": ofText(func(s string) Value { return bounded(base64.StdEncoding.EncodeToString([]byte(s))) }),
	"base64decode": ofText(base64decode),
	"md5":          ofText(func(s string) Value { sum := md5.Sum([]byte(s)); return textValue(hex.EncodeToString(sum[:])) }),
	"sha256":       ofText(func(s string) Value { sum := sha256.Sum256([]byte(s)); return textValue(hex.EncodeToString(sum[:])) }),
	"messagesize":  ofText(func(s string) Value { return numberValue(float64(len(s))) }),

	"jsonparse": {1, 1, jsonParse, nil, false}, "jsonstringify": {1, 1, jsonStringify, nil, false},
	"jsonarraysize": {1, 1, jsonArraySize, nil, false}, "jsonarraycontains": {2, 2, jsonArrayContains, nil, false}, "split": {2, 2, split, nil, false},
	"hextoascii": ofText(hexToASCII), "hextodec": ofText(hexToDec), "dectohex": numbered(decToHex), "haversine": {4, 4, haversine, nil, false},

	"ipv4tonumber":   ofText(ipv4ToNumber),
	"ispublicip":     ofAddress(func(a netip.Addr) bool { return !isReserved(a) && !a.Unmap().IsPrivate() }),
	"isreservedip":   ofAddress(isReserved),
	"isvalidip":      ofAddress(func(netip.Addr) bool { return true }),
	"isvalidipv4":    ofAddress(netip.Addr.Is4),
	"isvalidipv6":    ofAddress(netip.Addr.Is6),
	"isprivateip":    ofAddress(netip.Addr.IsPrivate),
	"isipinsubnet":   ofSubnet(func(netip.Addr) bool { return true }),
	"isipv4insubnet": ofSubnet(netip.Addr.Is4),
	"isipv6insubnet": ofSubnet(netip.Addr.Is6),
}

// makesStructures are the functions whose results are maps or lists, choosing those
// that give one of their arguments.
var (
	makesStructures = map[string]bool{"jsonparse": true, "split": true}
	choosing        = map[string]bool{"if": true, "case": true, "coalesce": true}
)

func same(n float64) float64 { return n }

func numeric(f func(float64) float64) function {
	return function{1, 1, func(a []Value) Value {
		n, ok := a[0].number()
		if !ok {
			return Value{}
		}
		return numberValue(f(n))
	}, nil, false}
}

func ofText(f func(string) Value) function {
	return function{1, 1, func(a []Value) Value {
		s, ok := a[0].Text()
		if !ok {
			return Value{}
		}
		return f(s)
	}, nil, false}
}

// ofTwo is a question about two texts, which are 1 and 0 on AWS.
func ofTwo(f func(s, t string) bool) function {
	return function{2, 2, func(a []Value) Value { return truthValue(a[0].kind != missing && f(a[0].string(), a[1].string())) }, nil, false}
}

func bounded(s string) Value {
	if len(s) > maxText {
		return Value{}
	}
	return textValue(s)
}

func decoded(s string, err error) Value {
	if err != nil || !utf8.ValidString(s) {
		return Value{}
	}
	return textValue(s)
}

func base64decode(s string) Value {
	b, err := base64.StdEncoding.DecodeString(s)
	return decoded(string(b), err)
}

// round rounds half away from zero, to some decimals.
func round(a []Value) Value {
	n, ok := a[0].number()
	if !ok {
		return Value{}
	}
	scale := 1.0
	if len(a) > 1 {
		d, ok := a[1].number()
		if !ok || math.Abs(d) > 15 {
			return Value{}
		}
		scale = math.Pow(10, math.Trunc(d))
	}
	return numberValue(math.Round(n*scale) / scale)
}

// extreme is the greatest, or the least, of the numbers among its arguments.
func extreme(sign float64) func([]Value) Value {
	return func(a []Value) (best Value) {
		for _, v := range a {
			if n, ok := v.number(); ok && (best.kind == missing || sign*n > sign*best.n) {
				best = numberValue(n)
			}
		}
		return best
	}
}

func fromMillis(a []Value) Value {
	n, ok := a[0].number()
	if !ok || math.Abs(n) > maxMoment {
		return Value{}
	}
	return momentValue(int64(n))
}

// toMillis takes a time, or text that is one.
func toMillis(a []Value) Value {
	if n, ok := a[0].number(); ok {
		return numberValue(n)
	}
	if ms, ok := parseMoment(a[0].s); ok && a[0].kind == text {
		return numberValue(float64(ms))
	}
	return Value{}
}

func coalesce(a []Value) Value {
	for _, v := range a {
		if v.kind != missing {
			return v
		}
	}
	return Value{}
}

// choose gives the value behind the first condition that holds, or the last argument
// if it has no condition.
func choose(a []Value) Value {
	for len(a) > 1 {
		if a[0].true() {
			return a[1]
		}
		a = a[2:]
	}
	if len(a) == 1 {
		return a[0]
	}
	return Value{}
}

// concat joins what is there.
func concat(a []Value) Value {
	var b strings.Builder
	for _, v := range a {
		s, _ := v.Text()
		if b.Len()+len(s) > maxText {
			return Value{}
		}
		b.WriteString(s)
	}
	return textValue(b.String())
}

func trimLeft(s string) string  { return strings.TrimLeftFunc(s, unicode.IsSpace) }
func trimRight(s string) string { return strings.TrimRightFunc(s, unicode.IsSpace) }

func trimmer(space func(string) string, chars func(s, cutset string) string) function {
	return function{1, 2, func(a []Value) Value {
		s, ok := a[0].Text()
		switch {
		case !ok:
			return Value{}
		case len(a) == 1:
			return textValue(space(s))
		}
		return textValue(chars(s, a[1].string()))
	}, nil, false}
}

// substr counts characters from zero.
func substr(a []Value) Value {
	s, ok := a[0].Text()
	from, ok1 := a[1].number()
	if !ok || !ok1 {
		return Value{}
	}
	count := math.Inf(1)
	if len(a) > 2 {
		if count, ok = a[2].number(); !ok {
			return Value{}
		}
	}
	from, count = max(math.Trunc(from), 0), math.Trunc(count)
	start, end, n := len(s), len(s), 0.0
	for i := range s {
		if n == from {
			start = i
		}
		if n >= from+count {
			end = i
			break
		}
		n++
	}
	return textValue(s[min(start, end):end])
}

func replace(a []Value) Value {
	s, ok := a[0].Text()
	old, with := a[1].string(), a[2].string()
	if !ok || old == "" {
		return a[0]
	}
	if n := strings.Count(s, old); len(s)+n*(len(with)-len(old)) > maxText {
		return Value{}
	}
	return textValue(strings.ReplaceAll(s, old, with))
}

// maxReplacing bounds what a replacement may cost: it cannot pause.
const maxReplacing = 32 * search.Step

// regexReplace replaces what an expression finds. In the replacement, $1 is a group.
func regexReplace(re *search.Regexp, of, with Value) Value {
	s, ok := of.Text()
	if !ok || re.Cost(len(s)) > maxReplacing {
		return Value{}
	}
	var out []byte
	last := 0
	for _, at := range re.FindAllStringSubmatchIndex(s, -1) {
		out = append(out, s[last:at[0]]...)
		out = re.ExpandString(out, with.string(), s, at)
		if last = at[1]; len(out) > maxText {
			return Value{}
		}
	}
	return bounded(string(append(out, s[last:]...)))
}

func contains(a []Value) Value {
	s, part := a[0].string(), a[1].string()
	if len(a) > 2 && a[2].true() {
		s, part = strings.ToLower(s), strings.ToLower(part)
	}
	return truthValue(a[0].kind != missing && strings.Contains(s, part))
}

func ofAddress(f func(netip.Addr) bool) function {
	return function{1, 1, func(a []Value) Value {
		addr, err := netip.ParseAddr(a[0].string())
		return truthValue(err == nil && addr.Zone() == "" && f(addr))
	}, nil, false}
}

func ofSubnet(f func(netip.Addr) bool) function {
	return function{2, 2, func(a []Value) Value {
		addr, err1 := netip.ParseAddr(a[0].string())
		prefix, err2 := netip.ParsePrefix(a[1].string())
		return truthValue(err1 == nil && err2 == nil && f(addr) && prefix.Contains(addr))
	}, nil, false}
}

// calculate does arithmetic as floating-point numbers do it.
func calculate(op byte, x, y float64) float64 {
	switch op {
	case '+':
		return x + y
	case '-':
		return x - y
	case '*':
		return x * y
	case '/':
		return x / y
	case '%':
		return math.Mod(x, y)
	}
	return math.Pow(x, y)
}
