package policy

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// condition is one key of one operator of a Condition.
type condition struct {
	key      key
	negated  bool // the opposite of the comparison
	ifExists bool
	// each is ForAllValues, some is ForAnyValue. Where a key has one value at most,
	// they differ only if it has none.
	each, some bool
	// null is the operator Null: it holds if the key is there, or if it is absent.
	null, absent bool
	values       []comparison
}

// comparison says whether the value of a request is what a policy has.
type comparison func(value string, r *Request) bool

// operators by name without their prefix and suffix.
var operators = map[string]struct {
	negated bool
	compile func(c *compiler, text string) (comparison, error)
}{
	"StringEquals":              {false, texts(false, false)},
	"StringNotEquals":           {true, texts(false, false)},
	"StringEqualsIgnoreCase":    {false, texts(false, true)},
	"StringNotEqualsIgnoreCase": {true, texts(false, true)},
	"StringLike":                {false, texts(true, false)},
	"StringNotLike":             {true, texts(true, false)},
	"ArnEquals":                 {false, arns},
	"ArnLike":                   {false, arns},
	"ArnNotEquals":              {true, arns},
	"ArnNotLike":                {true, arns},
	"IpAddress":                 {false, addresses},
	"NotIpAddress":              {true, addresses},
	"Bool":                      {false, bools},
	"NumericEquals":             {false, numbers(func(n int) bool { return n == 0 })},
	"NumericNotEquals":          {true, numbers(func(n int) bool { return n == 0 })},
	"NumericLessThan":           {false, numbers(func(n int) bool { return n < 0 })},
	"NumericLessThanEquals":     {false, numbers(func(n int) bool { return n <= 0 })},
	"NumericGreaterThan":        {false, numbers(func(n int) bool { return n > 0 })},
	"NumericGreaterThanEquals":  {false, numbers(func(n int) bool { return n >= 0 })},
	"DateEquals":                {false, dates(func(n int) bool { return n == 0 })},
	"DateNotEquals":             {true, dates(func(n int) bool { return n == 0 })},
	"DateLessThan":              {false, dates(func(n int) bool { return n < 0 })},
	"DateLessThanEquals":        {false, dates(func(n int) bool { return n <= 0 })},
	"DateGreaterThan":           {false, dates(func(n int) bool { return n > 0 })},
	"DateGreaterThanEquals":     {false, dates(func(n int) bool { return n >= 0 })},
}

// condition compiles one key of an operator.
func (c *compiler) condition(operator, name string, texts []string) (condition, error) {
	k, err := c.key(name)
	if err != nil {
		return condition{}, err
	}
	out := condition{key: k}
	base := operator
	if rest, ok := strings.CutPrefix(base, "ForAllValues:"); ok {
		base, out.each = rest, true
	} else if rest, ok := strings.CutPrefix(base, "ForAnyValue:"); ok {
		base, out.some = rest, true
	}
	if base == "Null" && base == operator {
		text := strings.ToLower(texts[0])
		if len(texts) > 1 || text != "true" && text != "false" {
			return condition{}, malformed("The Null condition of %s has to be true or false.", name)
		}
		out.null, out.absent = true, text == "true"
		return out, nil
	}
	base, out.ifExists = strings.CutSuffix(base, "IfExists")
	op, ok := operators[base]
	if !ok {
		return condition{}, malformed("Invalid Condition type : %s.", operator)
	}
	out.negated = op.negated
	for _, text := range texts {
		compare, err := op.compile(c, text)
		if err != nil {
			return condition{}, err
		}
		out.values = append(out.values, compare)
	}
	return out, nil
}

// holds says whether a request satisfies the condition.
func (c *condition) holds(r *Request) bool {
	if c.key.id.many() {
		return c.holdsFor(r.all(&c.key), r)
	}
	value, ok := r.value(&c.key)
	if c.null {
		return ok != c.absent
	}
	if !ok {
		return c.holdsWithout()
	}
	return c.any(value, r) != c.negated
}

// holdsWithout says whether it holds for a request that has no value of its key.
func (c *condition) holdsWithout() bool {
	switch {
	case c.some:
		return c.ifExists
	case c.each, c.ifExists:
		return true
	}
	return c.negated
}

// holdsFor says whether it holds for the values of a key that may have many. An
// operator that says not for how many of them is true of one, and its opposite of
// none.
func (c *condition) holdsFor(values []string, r *Request) bool {
	switch {
	case c.null:
		return len(values) > 0 != c.absent
	case len(values) == 0:
		return c.holdsWithout()
	}
	matching := 0
	for _, v := range values {
		if c.any(v, r) {
			matching++
		}
	}
	switch {
	case c.each && c.negated:
		return matching == 0
	case c.each:
		return matching == len(values)
	case c.some && c.negated:
		return matching < len(values)
	}
	return matching > 0 != c.negated
}

func (c *condition) any(value string, r *Request) bool {
	for _, compare := range c.values {
		if compare(value, r) {
			return true
		}
	}
	return false
}

func texts(wildcards, fold bool) func(*compiler, string) (comparison, error) {
	return func(c *compiler, text string) (comparison, error) {
		p, err := c.pattern(text, wildcards)
		if err != nil {
			return nil, err
		}
		if !wildcards && !fold && !p.variables && !strings.Contains(text, "${") {
			return func(value string, _ *Request) bool { return value == text }, nil
		}
		return func(value string, r *Request) bool { return p.match(value, r, fold) }, nil
	}
}

func arns(c *compiler, text string) (comparison, error) {
	a, ok, err := c.arn(text)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, malformed("The value %s of an ARN condition has to be in ARN format or \"*\".", text)
	}
	return a.match, nil
}

func addresses(_ *compiler, text string) (comparison, error) {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" {
			return nil, malformed("Invalid IP address or range: %s", text)
		}
		prefix = netip.PrefixFrom(addr, addr.BitLen())
	}
	if a := prefix.Addr(); a.Is4In6() { // as requests are compared
		if prefix.Bits() < 96 {
			return nil, malformed("Invalid IP address or range: %s", text)
		}
		prefix = netip.PrefixFrom(a.Unmap(), prefix.Bits()-96)
	}
	return func(value string, _ *Request) bool {
		addr, err := netip.ParseAddr(value)
		return err == nil && prefix.Contains(addr.Unmap())
	}, nil
}

func bools(_ *compiler, text string) (comparison, error) {
	if !strings.EqualFold(text, "true") && !strings.EqualFold(text, "false") {
		return nil, malformed("The value %s of a Bool condition has to be true or false.", text)
	}
	return func(value string, _ *Request) bool { return strings.EqualFold(value, text) }, nil
}

func numbers(holds func(order int) bool) func(*compiler, string) (comparison, error) {
	return func(_ *compiler, text string) (comparison, error) {
		want, err := strconv.ParseFloat(text, 64)
		if err != nil || want != want {
			return nil, malformed("The value %s of a numeric condition is no number.", text)
		}
		return func(value string, _ *Request) bool {
			is, err := strconv.ParseFloat(value, 64)
			if err != nil || is != is {
				return false
			}
			switch {
			case is < want:
				return holds(-1)
			case is > want:
				return holds(1)
			}
			return holds(0)
		}, nil
	}
}

func dates(holds func(order int) bool) func(*compiler, string) (comparison, error) {
	return func(_ *compiler, text string) (comparison, error) {
		want, ok := moment(text)
		if !ok {
			return nil, malformed("The value %s of a date condition is no date of ISO 8601 and no number of seconds.", text)
		}
		return func(value string, _ *Request) bool {
			is, ok := moment(value)
			return ok && holds(is.Compare(want))
		}, nil
	}
}

// moment reads a date: one of W3C's forms of ISO 8601, or seconds since 1970.
func moment(text string) (time.Time, bool) {
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil && len(text) > 4 {
		return time.Unix(seconds, 0), true
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02", "2006-01", "2006"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
