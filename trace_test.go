package alcove

import (
	"strings"
	"testing"
)

func TestLineageCountsEachFunctionOfAChain(t *testing.T) {
	const root = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
	header := root
	for i := 1; i <= 3; i++ {
		var runs int
		if header, runs = ParseTrace(header).Enter("a"); runs != i {
			t.Fatalf("run %d of a is counted as %d: %s", i, runs, header)
		}
		if header, runs = ParseTrace(header).Enter("b"); runs != i {
			t.Fatalf("run %d of b is counted as %d: %s", i, runs, header)
		}
	}
	if want := root + ";Lineage=" + lineageName("a") + ":3|" + lineageName("b") + ":3"; header != want {
		t.Errorf("header %q, want %q", header, want)
	}
}

func TestTraceKeepsWhatItDoesNotKnow(t *testing.T) {
	h := ParseTrace("Root=1-2-3; Self=x;Lineage=nonsense|12345678:4|1:2:3;junk;Other=a\x01").fields
	if strings.Join(h, ";") != "Root=1-2-3;Self=x" {
		t.Errorf("fields %q", h)
	}
	if got, _ := ParseTrace("Lineage=12345678:4").Enter("f"); got != "Lineage=12345678:4|"+lineageName("f")+":1" {
		t.Errorf("header %q", got)
	}
	if ParseTrace("").Rooted() || !ParseTrace("").Root("1-a-b", "c").Rooted() {
		t.Error("rooted")
	}
}

func FuzzTrace(f *testing.F) {
	f.Add("Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1;Lineage=12345678:4|87654321:1")
	f.Add(strings.Repeat("|12345678:4", 90))
	f.Fuzz(func(t *testing.T, s string) {
		h, runs := ParseTrace(s).Enter("id")
		if runs < 1 || len(h) > 2*maxTrace || !printable(h) {
			t.Fatalf("%q, %d runs", h, runs)
		}
		if _, again := ParseTrace(h).Enter("id"); len(h) <= maxTrace && again != runs+1 {
			t.Fatalf("%q: %d runs, then %d", h, runs, again)
		}
	})
}
