package main

import (
	"compress/gzip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove/pool/policy"
)

const sample = "testdata/azure2019-500.json.gz"

// quiet is the sample without the functions that are invoked more often.
func quiet(t *testing.T, most int) *trace {
	t.Helper()
	tr, err := readTrace(sample)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(tr.Source, "CC-BY 4.0") {
		t.Errorf("the trace has lost its attribution: %q", tr.Source)
	}
	all := len(tr.Functions)
	tr.Functions = slices.DeleteFunc(tr.Functions, func(f function) bool {
		n := 0
		for _, c := range f.Counts {
			n += c
		}
		return n > most
	})
	if all != 500 || len(tr.Functions) < 400 {
		t.Fatalf("%d of %d functions are left", len(tr.Functions), all)
	}
	return tr
}

// TestTheRuleIsBetterThanTenMinutes holds what docs/benchmarks.md says, on all but
// the busiest functions, which any rule keeps warm: fewer cold starts for less
// memory.
func TestTheRuleIsBetterThanTenMinutes(t *testing.T) {
	tr := quiet(t, 20_000)
	byRule, fixed := replay(tr, rule{keeps: byHabit(policy.DefaultKeepAlive)}), replay(tr, rule{keeps: fixed(10 * time.Minute)})
	if byRule.invocations != fixed.invocations || fixed.cold == 0 {
		t.Fatalf("%+v and %+v are not of the same trace", byRule, fixed)
	}
	if byRule.cold > fixed.cold*9/10 || byRule.idleMemory > fixed.idleMemory*0.97 || byRule.idle > fixed.idle {
		t.Errorf("by habit %d cold starts for %.1f GB h, fixed %d for %.1f GB h: want a tenth fewer for less",
			byRule.cold, byRule.idleMemory/1000, fixed.cold, fixed.idleMemory/1000)
	}
}

func made(took time.Duration, counts map[string]int) *trace {
	f := function{ID: 1, Trigger: "timer", Counts: counts}
	f.Took.Average = float64(took / time.Millisecond)
	f.Memory.Average = 100
	return &trace{Functions: []function{f}}
}

func TestReplayByHand(t *testing.T) {
	// One call in minutes 0, 5 and 30, each at the same second of its minute, of a
	// second each; the trace ends with minute 60.
	tr := made(time.Second, map[string]int{"0": 1, "5": 1, "30": 1, "59": 0})
	phase := tr.Functions[0].arrivals()[0]
	if all := tr.Functions[0].arrivals(); len(all) != 3 || all[1]-phase != 5*time.Minute || all[2]-phase != 30*time.Minute {
		t.Fatalf("arrivals at %v", all)
	}
	o := replay(tr, rule{keeps: fixed(10 * time.Minute)})
	// 0 is cold, 5 warm, 30 cold; idle until 5, for ten minutes, for ten minutes,
	// give or take the steps in which it looks.
	want := 5*time.Minute - time.Second + 20*time.Minute
	if o.invocations != 3 || o.cold != 2 || o.idle < want || o.idle > want+20*time.Second {
		t.Errorf("%+v, want 2 of 3 cold, idle for %s", o, want)
	}
	if o.quantile(0.5) != 2.0/3 || o.share() != 2.0/3 {
		t.Errorf("cold shares %v, together %v", o.shares, o.share())
	}
	if o := replay(tr, rule{keeps: fixed(time.Hour)}); o.cold != 1 {
		t.Errorf("kept for an hour: %d cold", o.cold)
	}
	// What runs at once needs as many; what is idle serves the next.
	tr = made(10*time.Second, map[string]int{"0": 60, "59": 0})
	o = replay(tr, rule{keeps: fixed(10 * time.Minute)})
	if o.cold != 11 && o.cold != 10 { // one a second, of ten each
		t.Errorf("%d cold of 60 in a minute of 10 s each", o.cold)
	}
}

func TestArrivalsAreWhatTheTraceCounts(t *testing.T) {
	tr, err := readTrace(sample)
	if err != nil {
		t.Fatal(err)
	}
	end := tr.end()
	for _, f := range tr.Functions[400:] {
		counts := map[int]int{}
		n := 0
		last := time.Duration(0)
		for _, at := range f.arrivals() {
			if at < last || at >= end {
				t.Fatalf("function %d: %s after %s", f.ID, at, last)
			}
			last = at
			counts[int(at/time.Minute)]++
			n++
		}
		want := 0
		for _, c := range f.Counts {
			want += c
		}
		if n != want || len(counts) > len(f.Counts) {
			t.Errorf("function %d has %d arrivals in %d minutes, want %d in %d", f.ID, n, len(counts), want, len(f.Counts))
		}
		if again := f.arrivals(); again[len(again)-1] != last {
			t.Errorf("function %d arrives otherwise in another run", f.ID)
		}
	}
}

func TestReadTraceRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"minute":   `{"functions":[{"fn":1,"counts":{"noon":1}}]}`,
		"count":    `{"functions":[{"fn":1,"counts":{"1":-1}}]}`,
		"not JSON": `]`,
	} {
		path := filepath.Join(t.TempDir(), "trace.json.gz")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		z := gzip.NewWriter(f)
		if _, err := z.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := readTrace(path); err == nil {
			t.Errorf("%s: %s was read", name, text)
		}
	}
	if _, err := readTrace("replay.go"); err == nil {
		t.Error("what is not compressed was read")
	}
}
