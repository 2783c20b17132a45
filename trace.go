package alcove

import (
	"strconv"
	"strings"
)

// MaxRecursion is how often a function may run in one chain of invocations
// (developer guide, "Use Lambda recursive loop detection").
const MaxRecursion = 16

// Bounds of a trace header: what is longer, or knows of more functions, loses what
// is least in it.
const (
	maxTrace   = 1 << 10
	maxLineage = 32
)

// Trace is an X-Amzn-Trace-Id header, as far as alcove looks into it. SDKs send on,
// from within a function, the one that the function was invoked with; its Lineage
// says which functions ran in the chain, and how often.
type Trace struct {
	fields  []string // key=value, but for the lineage, in their order
	lineage []ancestor
}

// ancestor is one function of a chain.
type ancestor struct {
	name  string // eight hexadecimal digits
	count int
}

// ParseTrace reads a header. What it cannot read is left out.
func ParseTrace(header string) Trace {
	var t Trace
	if len(header) > maxTrace {
		return t
	}
	for field := range strings.SplitSeq(header, ";") {
		field = strings.TrimSpace(field)
		k, v, ok := strings.Cut(field, "=")
		switch {
		case !ok || !printable(field):
		case k == "Lineage":
			t.lineage = parseLineage(v)
		default:
			t.fields = append(t.fields, field)
		}
	}
	return t
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func parseLineage(s string) []ancestor {
	var list []ancestor
	for one := range strings.SplitSeq(s, "|") {
		name, count, _ := strings.Cut(one, ":")
		n, err := strconv.Atoi(count)
		if err != nil || n < 1 || n > 1<<15 || len(name) != 8 || strings.Trim(name, "0123456789abcdef") != "" || len(list) == maxLineage {
			continue
		}
		list = append(list, ancestor{name, n})
	}
	return list
}

// Rooted says whether the header names the trace that it belongs to.
func (t Trace) Rooted() bool {
	for _, f := range t.fields {
		if strings.HasPrefix(f, "Root=") {
			return true
		}
	}
	return false
}

// Root makes a header that has none one of a trace.
func (t Trace) Root(root, parent string) Trace {
	t.fields = append([]string{"Root=" + root, "Parent=" + parent, "Sampled=0"}, t.fields...)
	return t
}

// Enter counts one more run of a function, by its id, and gives the header that it
// runs with and how often it has now run in the chain.
func (t Trace) Enter(functionID string) (header string, runs int) {
	name := lineageName(functionID)
	list := make([]ancestor, 0, len(t.lineage)+1)
	runs = 1
	for _, a := range t.lineage {
		if a.name == name {
			runs += a.count
			continue
		}
		list = append(list, a)
	}
	if len(list) == maxLineage {
		list = list[1:]
	}
	list = append(list, ancestor{name, runs}) // whoever ran last is last
	var b strings.Builder
	for _, f := range t.fields {
		b.WriteString(f)
		b.WriteByte(';')
	}
	b.WriteString("Lineage=")
	for i, a := range list {
		if i > 0 {
			b.WriteByte('|')
		}
		b.WriteString(a.name)
		b.WriteByte(':')
		b.WriteString(strconv.Itoa(a.count))
	}
	return b.String(), runs
}

// lineageName is what a function is called in a lineage: a hash of its id (FNV-1a),
// which nobody has to be able to turn back.
func lineageName(id string) string {
	h := uint32(2166136261)
	for i := range len(id) {
		h = (h ^ uint32(id[i])) * 16777619
	}
	const digits = "0123456789abcdef"
	var b [8]byte
	for i := range b {
		b[7-i] = digits[h&15]
		h >>= 4
	}
	return string(b[:])
}
