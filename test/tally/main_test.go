package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// lines are events as go test writes them, from one a line in short: action, package, test.
func lines(events string) string {
	var in strings.Builder
	for line := range strings.Lines(events) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		in.WriteString(`{"Action":"` + f[0] + `","Package":"` + f[1] + `"`)
		if len(f) > 2 {
			in.WriteString(`,"Test":"` + f[2] + `"`)
		}
		in.WriteString("}\n")
	}
	return in.String()
}

// tallied reads events in short.
func tallied(t *testing.T, events string) (out string, good bool) {
	t.Helper()
	var got strings.Builder
	tl := newTally(&got, regexp.MustCompile(`^p\.TestMay`))
	if err := tl.read(strings.NewReader(lines(events))); err != nil {
		t.Fatal(err)
	}
	good = tl.close()
	lines := strings.Split(strings.TrimSpace(got.String()), "\n")
	return lines[len(lines)-1], good
}

func TestSum(t *testing.T) {
	for _, c := range []struct {
		name, events, sum string
		good              bool
	}{
		{"nothing ran", ``, "0 passed, 0 failed, 0 skipped", false},
		{"no tests", `skip p`, "0 passed, 0 failed, 0 skipped", false},
		{"passed", "run p TestA\npass p TestA\npass p", "1 passed, 0 failed, 0 skipped", true},
		{"subtests count, their parent does not", "run p T\nrun p T/a\nrun p T/b\npass p T/a\npass p T/b\npass p T\npass p", "2 passed, 0 failed, 0 skipped", true},
		{"a name that begins with another", "run p T\nrun p Ta\npass p T\npass p Ta\npass p", "2 passed, 0 failed, 0 skipped", true},
		{"a sibling sorts between parent and subtest", "run p T\nrun p T#1\nrun p T/a\npass p T/a\npass p T\npass p T#1\npass p", "2 passed, 0 failed, 0 skipped", true},
		{"failed", "run p TestA\nfail p TestA\nfail p", "0 passed, 1 failed, 0 skipped", false},
		{"a subtest failed", "run p T\nrun p T/a\nrun p T/b\nfail p T/a\npass p T/b\nfail p T\nfail p", "1 passed, 1 failed, 0 skipped", false},
		{"a parent failed by itself", "run p T\nrun p T/a\npass p T/a\nfail p T\nfail p", "1 passed, 1 failed, 0 skipped", false},
		{"died in a test", "run p TestA\nfail p", "0 passed, 1 failed, 0 skipped", false},
		{"did not build", "fail p", "0 passed, 1 failed, 0 skipped", false},
		{"never ended", "run p TestA\npass p TestA", "0 passed, 1 failed, 0 skipped", false},
		{"may be skipped", "run p TestMay\nskip p TestMay\nrun p B\npass p B\npass p", "1 passed, 0 failed, 1 skipped", true},
		{"may not be skipped", "run p TestA\nskip p TestA\nrun p B\npass p B\npass p", "1 passed, 1 failed, 0 skipped", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if sum, good := tallied(t, c.events); sum != c.sum || good != c.good {
				t.Errorf("got %q, %v; want %q, %v", sum, good, c.sum, c.good)
			}
		})
	}
}

// TestTheEndTellsWhatFailed reads a long run, of whose output only the end is left.
func TestTheEndTellsWhatFailed(t *testing.T) {
	var in, got strings.Builder
	say := func(e event) {
		raw, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		in.Write(append(raw, '\n'))
	}
	test := func(pack, name, end string, output ...string) {
		say(event{Action: "run", Package: pack, Test: name})
		for _, o := range append([]string{"=== RUN   " + name + "\n"}, output...) {
			say(event{Action: "output", Package: pack, Test: name, Output: o})
		}
		say(event{Action: end, Package: pack, Test: name})
	}
	many := []string{"    a_test.go:7: the reason\n"}
	for i := range 500 {
		many = append(many, fmt.Sprintf("        line %d of a node's log %s\n", i, strings.Repeat("x", 2000)))
	}
	test("p", "TestA", "fail", many...)
	test("p", "TestB/one", "fail", "    b_test.go:1: one is wrong\n")
	test("p", "TestB", "fail", "--- FAIL: TestB (0.00s)\n")
	test("p", "TestGood", "pass", "nobody wants to know\n")
	test("p", "TestSkipped", "skip", "    there is no such thing here\n")
	say(event{Action: "fail", Package: "p"})
	dump := []string{"a word before\n", "panic: it dies\n", "\n", "goroutine 7 [running]:\n"}
	for range 1000 {
		dump = append(dump, "goroutine 8 [select]:\n")
	}
	test("q", "TestDies", "output", dump...)
	say(event{Action: "fail", Package: "q"})
	say(event{Action: "build-output", ImportPath: "r", Output: "r/r.go:3: undefined: x\n"})
	say(event{Action: "fail", Package: "r", FailedBuild: "r"})
	for i := range 300 {
		pack := fmt.Sprintf("z%d", i)
		test(pack, "TestZ", "pass")
		say(event{Action: "pass", Package: pack})
	}
	tl := newTally(&got, regexp.MustCompile("^$"))
	if err := tl.read(strings.NewReader(in.String())); err != nil {
		t.Fatal(err)
	}
	if tl.close() {
		t.Error("a good run")
	}
	_, end, ok := strings.Cut(got.String(), "\nwhat failed, in short:\n")
	if !ok || len(end) > 10_000 {
		t.Fatalf("the end has %d bytes: %s", len(end), end)
	}
	lines := strings.Split(end, "\n")
	for _, want := range [][]string{
		{"FAILED p.TestA", "      a_test.go:7: the reason"},
		{"FAILED p.TestB/one", "      b_test.go:1: one is wrong"},
		{"SKIPPED p.TestSkipped", "      there is no such thing here"},
		{"FAILED q.TestDies", "  panic: it dies", "  goroutine 7 [running]:"},
		{"FAILED r", "  r/r.go:3: undefined: x"},
	} {
		i := slices.Index(lines, want[0])
		if i < 0 || !slices.Equal(lines[i:min(i+len(want), len(lines))], want) {
			t.Errorf("the end does not have %q:\n%s", want, end)
		}
	}
	for _, no := range []string{"FAILED p.TestB\n", "nobody wants to know", "TestGood", "a word before"} {
		if strings.Contains(end, no) {
			t.Errorf("the end has %q:\n%s", no, end)
		}
	}
	if !strings.HasSuffix(end, "\n301 passed, 5 failed, 0 skipped\n") {
		t.Errorf("the sum: %q", lines[len(lines)-2])
	}
}

// TestSlowest names the tests that took long, longest first, and no subtest.
func TestSlowest(t *testing.T) {
	tl := newTally(&strings.Builder{}, regexp.MustCompile("^$"))
	for i, seconds := range []float64{5, 0.1, 70.4, 4.9} {
		tl.add(event{Action: "pass", Package: "x/p", Test: fmt.Sprint("Test", i), Elapsed: seconds})
		tl.add(event{Action: "pass", Package: "x/p", Test: fmt.Sprint("Test", i, "/sub"), Elapsed: seconds})
	}
	for most, want := range map[int]string{0: "", 1: "p.Test2 70s", 10: "p.Test2 70s, p.Test0 5s"} {
		if got := tl.slowest(most); got != want {
			t.Errorf("the slowest %d: %q, want %q", most, got, want)
		}
	}
}
