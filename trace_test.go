package alcove

import (
	"strings"
	"testing"
	"time"
)

const (
	traceRoot   = "Root=1-5759e988-bd862e3fe1be46a994272793"
	traceID     = "5759e988bd862e3fe1be46a994272793"
	traceParent = "00-" + traceID + "-53995c3f42cd8ad8-01"
)

func TestLineageCountsEachFunctionOfAChain(t *testing.T) {
	const root = traceRoot + ";Parent=53995c3f42cd8ad8;Sampled=1"
	header := root
	for i := 1; i <= 3; i++ {
		for _, name := range []string{"a", "b"} {
			tr := ParseTrace(header)
			if runs := tr.Enter(name); runs != i {
				t.Fatalf("run %d of %s is counted as %d: %s", i, name, runs, header)
			}
			header = tr.Header()
		}
	}
	if want := root + ";Lineage=" + lineageName("a") + ":3|" + lineageName("b") + ":3"; header != want {
		t.Errorf("header %q, want %q", header, want)
	}
}

func TestTraceKeepsWhatItDoesNotKnow(t *testing.T) {
	for in, want := range map[string]string{
		traceRoot + "; Self=x;Lineage=nonsense|12345678:4|1:2:3;junk;Other=a\x01": traceRoot + ";Self=x;Lineage=12345678:4",
		"Root=1-2-3;Parent=53995c3f42cd8ad8;Self=x":                               "Self=x", // of no trace
		traceRoot + ";Sampled=?;Parent=X":                                         traceRoot,
		traceRoot + ";Sampled=0":                                                  traceRoot + ";Sampled=0",
		"Lineage=12345678:4":                                                      "Lineage=12345678:4",
		strings.Repeat("a=b;", 300):                                               "",
		"":                                                                        "",
	} {
		tr := ParseTrace(in)
		if got := tr.Header(); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestReadTrace(t *testing.T) {
	for _, c := range []struct{ header, traceparent, state, want, w3c string }{
		{"", traceParent, "a=1", traceRoot + ";Parent=53995c3f42cd8ad8;Sampled=1", traceParent},
		// The same trace: the parent is who asked just now.
		{traceRoot + ";Parent=1111111111111111;Sampled=0;Lineage=12345678:4", traceParent, "", traceRoot + ";Parent=53995c3f42cd8ad8;Sampled=1;Lineage=12345678:4", traceParent},
		// Another: X-Ray's counts.
		{"Root=1-00000000-bd862e3fe1be46a994272793;Sampled=0", traceParent, "a=1", "Root=1-00000000-bd862e3fe1be46a994272793;Sampled=0", ""},
		{"Lineage=12345678:4", "00-" + traceID + "-53995c3f42cd8ad8-00", "", traceRoot + ";Parent=53995c3f42cd8ad8;Sampled=0;Lineage=12345678:4", "00-" + traceID + "-53995c3f42cd8ad8-00"},
		// A version to come may say more.
		{"", "01-" + traceID + "-53995c3f42cd8ad8-01-what", "", traceRoot + ";Parent=53995c3f42cd8ad8;Sampled=1", traceParent},
		{"", "00-" + traceID + "-53995c3f42cd8ad8-01-what", "", "", ""},
		{"", "ff-" + traceID + "-53995c3f42cd8ad8-01", "", "", ""},
		{"", "00-" + strings.ToUpper(traceID) + "-53995c3f42cd8ad8-01", "", "", ""},
		{"", "00-" + strings.Repeat("0", 32) + "-53995c3f42cd8ad8-01", "", "", ""},
		{"", "00-" + traceID + "-0000000000000000-01", "", "", ""},
	} {
		tr := ReadTrace(c.header, c.traceparent, c.state)
		if tr.Header() != c.want || tr.Traceparent() != c.w3c || c.w3c != "" && tr.State != c.state {
			t.Errorf("%q, %q: %q, %q, %q", c.header, c.traceparent, tr.Header(), tr.Traceparent(), tr.State)
		}
		if again := ReadTraceText(tr.Text()); again.Header() != tr.Header() || again.Traceparent() != tr.Traceparent() || again.State != tr.State {
			t.Errorf("%q is read as %q", tr.Text(), again.Text())
		}
	}
	if tr := ReadTrace("", traceParent, "a=\x01"); tr.State != "" || !tr.W3C {
		t.Errorf("state %q", tr.State)
	}
	if id := NewTraceID(time.Unix(0x5759e988, 0)); !strings.HasPrefix(id.Root(), "1-5759e988-") || len(id.Root()) != 35 {
		t.Errorf("root %q", id.Root())
	}
}

func FuzzTrace(f *testing.F) {
	f.Add(traceRoot+";Sampled=1;Lineage=12345678:4|87654321:1", traceParent, "v=1")
	f.Add(strings.Repeat("|12345678:4", 90), "", "")
	f.Fuzz(func(t *testing.T, header, traceparent, state string) {
		tr := ReadTrace(header, traceparent, state)
		runs := tr.Enter("id")
		h := tr.Header()
		if runs < 1 || len(h) > 2*maxTrace || !printable(h) || !printable(tr.State) || len(tr.State) > maxState {
			t.Fatalf("%q, %d runs", h, runs)
		}
		if p := tr.Traceparent(); p != "" {
			if id, parent, sampled, ok := parseTraceparent(p); !ok || id != tr.ID || parent != tr.Parent || sampled != tr.Sampled {
				t.Fatalf("traceparent %q of %q", p, traceparent)
			}
		}
		if again := ReadTraceText(tr.Text()); len(h) <= maxTrace && (again.Text() != tr.Text() || again.Enter("id") != runs+1) {
			t.Fatalf("%q is read as %q", tr.Text(), again.Text())
		}
	})
}

// A function that drops the header, or sends another, stays in its chain.
func TestTraceAfter(t *testing.T) {
	const root, other = "Root=1-5759e988-bd862e3fe1be46a994272793", "Root=1-67891233-abcdef012345678912345678"
	before := ParseTrace(root)
	for range MaxRecursion {
		before.Enter("a")
	}
	for _, sent := range []string{"", other, "Lineage=" + lineageName("a") + ":1", other + ";Lineage=12345678:2", strings.Repeat("x=y;", 1000), other + ";" + strings.Repeat("x=y;", 100)} {
		after := ParseTrace(sent).After(before)
		next := ParseTrace(after.Header())
		if runs := next.Enter("a"); runs != MaxRecursion+1 || len(next.Header()) > maxTrace {
			t.Errorf("%.40q: %d runs, %s", sent, runs, next.Header())
		}
		if want := strings.HasPrefix(sent, other); strings.HasPrefix(after.Header(), other) != want || !after.Rooted() {
			t.Errorf("%.40q: %s", sent, after.Header())
		}
		if runs := before.Enter("b"); runs > len(sent)+10 || ParseTrace(before.Header()).lineage[0].count != MaxRecursion {
			t.Errorf("%.40q: the trace before is now %s", sent, before.Header())
		}
	}
}

// Whatever else a header has, there is room for the lineage.
func TestTraceKeepsItsLineage(t *testing.T) {
	header := "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1;" + strings.Repeat("x=y;", 200)
	for i := 1; i <= 5; i++ {
		next := ParseTrace(header)
		for f := range maxLineage - 1 {
			next.Enter(strings.Repeat("f", f+2))
		}
		if runs := next.Enter("a"); runs != i {
			t.Fatalf("run %d is counted as %d", i, runs)
		}
		if header = next.Header(); len(header) > maxTrace {
			t.Fatalf("%d bytes", len(header))
		}
	}
}
