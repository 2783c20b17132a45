package main

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestAgain has failed tests run once more.
func TestAgain(t *testing.T) {
	const (
		one  = "run p A\nfail p A\nrun p B\npass p B\nfail p"
		subs = "run p T\nrun p T/a\nrun p T/b\nrun p T/c\nfail p T/a\nfail p T/b\npass p T/c\nfail p T\nfail p"
	)
	for _, c := range []struct {
		name, events string
		most         int
		second       map[string]string // test -> events of its second run
		ran          []string
		sum          string
		good         bool
	}{
		{"nothing failed", "run p A\npass p A\npass p", 3, nil, nil, "1 passed, 0 failed, 0 skipped", true},
		{"it passes alone", one, 3, map[string]string{"p.A": "run p A\npass p A\npass p"}, []string{"p.A"}, "2 passed, 0 failed, 0 skipped", true},
		{"it fails again", one, 3, map[string]string{"p.A": "run p A\nfail p A\nfail p"}, []string{"p.A"}, "1 passed, 1 failed, 0 skipped", false},
		{"it is skipped then", one, 3, map[string]string{"p.A": "run p A\nskip p A\npass p"}, []string{"p.A"}, "1 passed, 1 failed, 0 skipped", false},
		{"it is not there then", one, 3, map[string]string{"p.A": "pass p"}, []string{"p.A"}, "1 passed, 1 failed, 0 skipped", false},
		{"it does not end then", one, 3, map[string]string{"p.A": "run p A\npass p A"}, []string{"p.A"}, "1 passed, 1 failed, 0 skipped", false},
		{"nobody asked for it", one, 0, nil, nil, "1 passed, 1 failed, 0 skipped", false},
		{"subtests are one test", subs, 1, map[string]string{"p.T": "run p T\nrun p T/a\nrun p T/b\nrun p T/c\npass p T/a\npass p T/b\npass p T/c\npass p T\npass p"},
			[]string{"p.T"}, "3 passed, 0 failed, 0 skipped", true},
		{"too many failed", one + "\nrun q C\nfail q C\nfail q", 1, nil, nil, "1 passed, 2 failed, 0 skipped", false},
		{"one of two passes", one + "\nrun q C\nfail q C\nfail q", 2, map[string]string{"p.A": "run p A\npass p A\npass p", "q.C": "run q C\nfail q C\nfail q"},
			[]string{"p.A", "q.C"}, "2 passed, 1 failed, 0 skipped", false},
		{"a package died", one + "\nrun q C\nfail q", 3, nil, nil, "1 passed, 2 failed, 0 skipped", false},
		{"a package did not build", one + "\nfail q", 3, nil, nil, "1 passed, 2 failed, 0 skipped", false},
		{"a package did not end", one + "\nrun q C\npass q C", 3, nil, nil, "1 passed, 2 failed, 0 skipped", false},
		{"a test may not be skipped", one + "\nrun q C\nskip q C\npass q", 3, nil, nil, "1 passed, 2 failed, 0 skipped", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got strings.Builder
			tl := newTally(&got, regexp.MustCompile(`^p\.TestMay`))
			if err := tl.read(strings.NewReader(lines(c.events))); err != nil {
				t.Fatal(err)
			}
			var ran []string
			tl.again(t.Context(), c.most, func(_ context.Context, pack, test string, to *tally) error {
				ran = append(ran, pack+"."+test)
				return to.read(strings.NewReader(lines(c.second[pack+"."+test])))
			})
			good := tl.close()
			said := strings.Split(strings.TrimSpace(got.String()), "\n")
			if sum := said[len(said)-1]; sum != c.sum || good != c.good || !slices.Equal(ran, c.ran) {
				t.Errorf("got %q, %v, ran %q; want %q, %v, %q\n%s", sum, good, ran, c.sum, c.good, c.ran, &got)
			}
			if good && len(ran) > 0 && !strings.Contains(got.String(), "FAILED AT FIRST, passed alone: "+ran[0]) {
				t.Errorf("a test that failed at first is not named:\n%s", &got)
			}
		})
	}
}

// TestNoSecondRunAfterAPanic is of a package whose other tests never ran.
func TestNoSecondRunAfterAPanic(t *testing.T) {
	var in, got strings.Builder
	for _, e := range []event{
		{Action: "run", Package: "p", Test: "A"},
		{Action: "output", Package: "p", Test: "A", Output: "panic: it dies\n"},
		{Action: "fail", Package: "p", Test: "A"},
		{Action: "fail", Package: "p"},
	} {
		raw, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&in, "%s\n", raw)
	}
	tl := newTally(&got, regexp.MustCompile(`^$`))
	if err := tl.read(strings.NewReader(in.String())); err != nil {
		t.Fatal(err)
	}
	tl.again(t.Context(), 3, func(context.Context, string, string, *tally) error {
		t.Error("it ran again")
		return nil
	})
	if tl.close() {
		t.Error("the run was good")
	}
}
