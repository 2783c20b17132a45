package logsapi

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// operand is the right side of a comparison: an expression, a number, or text
// in which * stands for any characters.
type operand struct {
	re       *expression
	text     string
	quoted   bool
	number   float64
	isNumber bool
}

// matchMessage says whether a message is JSON that satisfies the condition.
func (c *condition) matchMessage(message []byte) bool {
	message = bytes.TrimSpace(message)
	if len(message) == 0 || message[0] != '{' && message[0] != '[' || !c.possible(message) {
		return false
	}
	var document any
	if json.Unmarshal(message, &document) != nil {
		return false
	}
	return c.match(document)
}

// possible is a quick look at the text: false means that the message does not
// satisfy the condition.
func (c *condition) possible(message []byte) bool {
	switch c.kind {
	case kindAnd:
		return c.left.possible(message) && c.right.possible(message)
	case kindOr:
		return c.left.possible(message) || c.right.possible(message)
	case kindEqual:
		text, ok := c.value.literal()
		// With a backslash in it, the message may spell the text in another way.
		return !ok || bytes.Contains(message, []byte(text)) || bytes.IndexByte(message, '\\') >= 0
	}
	return true
}

// literal is the one string that an operand is equal to, if there is only one.
func (o *operand) literal() (string, bool) {
	return o.text, o.re == nil && !o.isNumber && !strings.Contains(o.text, "*") && strings.Trim(o.text, jsonSafe) == ""
}

// jsonSafe are the characters that JSON spells in one way, escapes aside.
const jsonSafe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ._:=+-@"

// match says whether a document satisfies the condition. A comparison with a
// member that is not there is not satisfied, an inequality neither.
func (c *condition) match(document any) bool {
	switch c.kind {
	case kindAnd:
		return c.left.match(document) && c.right.match(document)
	case kindOr:
		return c.left.match(document) || c.right.match(document)
	}
	if c.kind == kindNotExists {
		return !find(document, c.path, func(any) bool { return true })
	}
	return find(document, c.path, c.matchValue)
}

// matchValue says whether a value that is there satisfies a comparison.
func (c *condition) matchValue(value any) bool {
	switch c.kind {
	case kindIsNull:
		return value == nil
	case kindIsTrue:
		return value == true
	case kindIsFalse:
		return value == false
	case kindEqual:
		return c.value.equal(value)
	case kindUnequal:
		return scalar(value) && !c.value.equal(value)
	}
	n, ok := value.(float64)
	return ok && c.compares(n)
}

// compares says whether a number satisfies a comparison by size.
func (c *condition) compares(n float64) bool {
	switch c.kind {
	case kindLess:
		return n < c.value.number
	case kindLessEqual:
		return n <= c.value.number
	case kindGreater:
		return n > c.value.number
	default:
		return n >= c.value.number
	}
}

// find follows a selector, and says whether one of the values that it leads to is
// good.
func find(value any, path []step, good func(any) bool) bool {
	for i, s := range path {
		switch v := value.(type) {
		case map[string]any:
			member, ok := v[s.name]
			if s.array || !ok {
				return false
			}
			value = member
		case []any:
			if s.any {
				return slices.ContainsFunc(v, func(e any) bool { return find(e, path[i+1:], good) })
			}
			if !s.array || s.place >= len(v) {
				return false
			}
			value = v[s.place]
		default:
			return false
		}
	}
	return good(value)
}

func scalar(value any) bool {
	switch value.(type) {
	case map[string]any, []any:
		return false
	}
	return true
}

// equal compares with a value of a document. Numbers equal numbers; quoted text
// equals strings; text without quotes equals strings and what numbers and truth
// values look like, so that 4* and true mean what one expects.
func (o *operand) equal(value any) bool {
	var text string
	switch v := value.(type) {
	case string:
		if o.isNumber {
			return false
		}
		text = v
	case float64:
		if o.isNumber {
			return v == o.number
		}
		if o.quoted {
			return false
		}
		text = strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		if o.quoted || o.isNumber {
			return false
		}
		text = strconv.FormatBool(v)
	default:
		return false
	}
	if o.re != nil {
		return o.re.in(text)
	}
	return wildcard(o.text, text)
}

// wildcard compares text with a pattern in which * stands for any characters.
func wildcard(pattern, text string) bool {
	first, rest, any := strings.Cut(pattern, "*")
	if !any {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, first)
	if !ok {
		return false
	}
	parts := strings.Split(rest, "*")
	last := parts[len(parts)-1]
	for _, part := range parts[:len(parts)-1] {
		i := strings.Index(text, part)
		if i < 0 {
			return false
		}
		text = text[i+len(part):]
	}
	return strings.HasSuffix(text, last)
}

// maxTenants bounds the tenants that a query is narrowed to.
const maxTenants = 16

// tenants is explained at pattern.tenants.
func (c *condition) tenants() ([]string, bool) {
	switch c.kind {
	case kindAnd:
		left, ok := c.left.tenants()
		if ok {
			return left, true
		}
		return c.right.tenants()
	case kindOr:
		left, ok1 := c.left.tenants()
		right, ok2 := c.right.tenants()
		list := slices.Concat(left, right)
		slices.Sort(list)
		list = slices.Compact(list)
		return list, ok1 && ok2 && len(list) <= maxTenants
	case kindEqual:
		if c.namesTenant() && c.value.re == nil && !c.value.isNumber && !strings.Contains(c.value.text, "*") {
			return []string{c.value.text}, true
		}
	}
	return nil, false
}

// namesTenant says whether the selector is one of the two places where records
// have the tenant id.
func (c *condition) namesTenant() bool {
	tenant := step{name: "tenantId"}
	return slices.Equal(c.path, []step{tenant}) || slices.Equal(c.path, []step{{name: "record"}, tenant})
}
