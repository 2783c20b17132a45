package alcove

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MaxRecursion is how often a function may run in one chain of invocations
// (developer guide, "Use Lambda recursive loop detection").
const MaxRecursion = 16

// Bounds of what callers say of traces: a header that is longer is not read, a
// lineage that knows of more functions loses what is least in it.
const (
	maxTrace   = 1 << 10
	maxFields  = 300 // bytes of what is not looked into, so that there is room for a lineage
	maxLineage = 32
	maxState   = 512 // W3C Trace Context, 3.3.1.5
)

// TraceID is the id of a trace, as W3C has it. X-Ray writes the same bytes as
// 1-XXXXXXXX-XXXXXXXXXXXXXXXXXXXXXXXX.
type TraceID [16]byte

// SpanID is the id of a span, which X-Ray calls a segment.
type SpanID [8]byte

// String gives the hexadecimal digits.
func (id TraceID) String() string { return hex.EncodeToString(id[:]) }

// Root gives the id as X-Ray writes it.
func (id TraceID) Root() string {
	return "1-" + hex.EncodeToString(id[:4]) + "-" + hex.EncodeToString(id[4:])
}

// NewTraceID makes an id as X-Ray wants it: the time comes first.
func NewTraceID(now time.Time) (id TraceID) {
	rand.Read(id[4:]) // never fails (crypto/rand)
	binary.BigEndian.PutUint32(id[:], uint32(now.Unix()))
	return id
}

// NewSpanID makes an id.
func NewSpanID() (id SpanID) {
	rand.Read(id[:])
	return id
}

// String gives the hexadecimal digits.
func (id SpanID) String() string { return hex.EncodeToString(id[:]) }

// Sampling is whether a trace is recorded.
type Sampling uint8

// What may be known of it.
const (
	Undecided Sampling = iota
	NotSampled
	Sampled
)

// Trace is what an invocation knows of the trace that it is a part of: what its
// caller said, in an X-Amzn-Trace-Id header or as W3C Trace Context, and then what
// its function gets. SDKs send on, from within a function, the header that it was
// invoked with; its lineage says which functions ran in the chain, and how often.
type Trace struct {
	ID      TraceID // zero is none
	Parent  SpanID  // zero is none
	Sampled Sampling
	// W3C says that the caller sent a traceparent: then its function has one too.
	W3C bool
	// State is the caller's tracestate, which alcove hands on and never reads.
	State string

	fields  []string // key=value of the header that are not looked into, in their order
	lineage []ancestor
}

// ancestor is one function of a chain.
type ancestor struct {
	name  string // eight hexadecimal digits
	count int
}

// ReadTrace reads what a caller sent: X-Amzn-Trace-Id, traceparent and tracestate.
// Where the two name different traces the first counts, as it does on AWS; where they
// name the same one, the parent is traceparent's, which programs with OpenTelemetry
// renew for each request. What cannot be read is left out.
func ReadTrace(header, traceparent, tracestate string) Trace {
	t := ParseTrace(header)
	id, parent, sampled, ok := parseTraceparent(traceparent)
	if !ok || t.Rooted() && t.ID != id {
		return t
	}
	t.ID, t.Parent, t.Sampled, t.W3C = id, parent, sampled, true
	if len(tracestate) <= maxState && printable(tracestate) {
		t.State = strings.TrimSpace(tracestate)
	}
	return t
}

// ParseTrace reads an X-Amzn-Trace-Id header. What it cannot read is left out.
func ParseTrace(header string) Trace {
	var t Trace
	if len(header) > maxTrace {
		return t
	}
	size := 0
	for field := range strings.SplitSeq(header, ";") {
		field = strings.TrimSpace(field)
		k, v, ok := strings.Cut(field, "=")
		switch {
		case !ok || !printable(field):
		case k == "Lineage":
			t.lineage = parseLineage(v)
		case k == "Root":
			if id, ok := parseRoot(v); ok {
				t.ID = id
			}
		case k == "Parent":
			unhex(t.Parent[:], v)
		case k == "Sampled":
			t.Sampled = parseSampled(v)
		case size+len(field) < maxFields:
			t.fields = append(t.fields, field)
			size += len(field) + 1
		}
	}
	if !t.Rooted() { // of no trace
		t.Parent = SpanID{}
	}
	return t
}

func parseRoot(s string) (id TraceID, ok bool) {
	// 1-, eight digits, -, and 24 digits.
	if len(s) != 35 || s[:2] != "1-" || s[10] != '-' || !unhex(id[:4], s[2:10]) || !unhex(id[4:], s[11:]) {
		return TraceID{}, false
	}
	return id, id != TraceID{}
}

func parseSampled(s string) Sampling {
	switch s {
	case "1":
		return Sampled
	case "0":
		return NotSampled
	}
	return Undecided // "?" asks for a decision
}

// parseTraceparent reads a traceparent of this version or a later one.
//
// Source: https://www.w3.org/TR/trace-context/#traceparent-header
func parseTraceparent(s string) (id TraceID, parent SpanID, sampled Sampling, ok bool) {
	s = strings.TrimSpace(s)
	var version, flags [1]byte
	if len(s) < 55 || s[2] != '-' || s[35] != '-' || s[52] != '-' || len(s) > 55 && (s[:2] == "00" || s[55] != '-') ||
		!unhex(version[:], s[:2]) || version[0] == 0xff || !unhex(id[:], s[3:35]) || !unhex(parent[:], s[36:52]) || !unhex(flags[:], s[53:55]) ||
		id == (TraceID{}) || parent == (SpanID{}) {
		return TraceID{}, SpanID{}, Undecided, false
	}
	if flags[0]&1 == 1 {
		return id, parent, Sampled, true
	}
	return id, parent, NotSampled, true
}

// unhex reads lower-case digits into dst, all of it or nothing.
func unhex(dst []byte, s string) bool {
	if len(s) != 2*len(dst) || strings.Trim(s, "0123456789abcdef") != "" {
		return false
	}
	_, err := hex.Decode(dst, []byte(s))
	return err == nil
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

// Rooted says whether the caller named the trace that it belongs to.
func (t *Trace) Rooted() bool { return t.ID != TraceID{} }

// Traceparent is the trace as W3C has it, with t.Parent for a parent; empty if the
// caller did not speak that.
func (t *Trace) Traceparent() string {
	if !t.W3C {
		return ""
	}
	flags := "-00"
	if t.Sampled == Sampled {
		flags = "-01"
	}
	return "00-" + t.ID.String() + "-" + t.Parent.String() + flags
}

// Enter counts one more run of a function, by its id, and tells how often it has now
// run in the chain.
func (t *Trace) Enter(functionID string) (runs int) {
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
	t.lineage = append(list, ancestor{name, runs}) // whoever ran last is last
	return runs
}

// After is t as it is sent by a function that runs in the trace before: of both
// lineages the higher counts. A function that does not send on its header, or
// another, is in its chain all the same.
func (t Trace) After(before Trace) Trace {
	if !t.Rooted() {
		lineage := t.lineage
		t = before
		t.lineage = lineage
	}
	list := slices.Clone(before.lineage)
	for _, a := range t.lineage {
		i := slices.IndexFunc(list, func(o ancestor) bool { return o.name == a.name })
		switch {
		case i >= 0:
			list[i].count = max(list[i].count, a.count)
		case len(list) < maxLineage:
			list = append(list, a)
		}
	}
	t.lineage = list
	return t
}

// Header is the trace as an X-Amzn-Trace-Id header; empty if nothing is known.
func (t *Trace) Header() string {
	var b strings.Builder
	add := func(k, v string) {
		if b.Len() > 0 {
			b.WriteByte(';')
		}
		b.WriteString(k)
		b.WriteString(v)
	}
	if t.Rooted() {
		add("Root=", t.ID.Root())
		if t.Parent != (SpanID{}) {
			add("Parent=", t.Parent.String())
		}
		switch t.Sampled {
		case Sampled:
			add("Sampled=", "1")
		case NotSampled:
			add("Sampled=", "0")
		}
	}
	for _, f := range t.fields {
		add("", f)
	}
	for i, a := range t.lineage {
		if i == 0 {
			add("Lineage=", "")
		} else {
			b.WriteByte('|')
		}
		b.WriteString(a.name)
		b.WriteByte(':')
		b.WriteString(strconv.Itoa(a.count))
	}
	return b.String()
}

// Text is the trace in a form that ReadTraceText reads again, for what is kept on
// disk.
func (t *Trace) Text() string {
	h := t.Header()
	if t.W3C {
		h += "\n" + t.State
	}
	return h
}

// ReadTraceText reads what Text wrote.
func ReadTraceText(s string) Trace {
	header, state, w3c := strings.Cut(s, "\n")
	t := ParseTrace(header)
	if w3c && t.Rooted() {
		t.W3C, t.State = true, state
	}
	return t
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
