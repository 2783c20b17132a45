package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

// again runs the tests that failed once more, each alone after all others, if they
// are at most so many. One that passes then is counted as passed and named before the
// sum: it is a fault all the same, of the test or of what it tests, but not one that
// this commit need have. What ended a whole package has no second run, since nobody
// knows what the rest of it would have been.
func (t *tally) again(ctx context.Context, most int, run func(ctx context.Context, pack, test string, to *tally) error) {
	if len(t.suspects) == 0 || len(t.suspects) > most || t.fatal || len(t.packs) > 0 || t.barred > 0 {
		return
	}
	for _, s := range t.suspects {
		fmt.Fprintf(t.out, "again, alone: %s.%s\n", s.pack, s.test)
		second := newTally(t.out, t.maySkip)
		if err := run(ctx, s.pack, s.test, second); err != nil {
			fmt.Fprintf(t.out, "tally: %v\n", err)
			continue
		}
		if second.failed > 0 || second.barred > 0 || second.skipped > 0 || second.passed == 0 || len(second.packs) > 0 {
			continue
		}
		t.failed, t.passed = t.failed-s.failed, t.passed+s.failed
		t.unsteady = append(t.unsteady, s.pack+"."+s.test)
		t.failures = slices.DeleteFunc(t.failures, func(f failure) bool {
			name := "FAILED " + s.pack + "." + s.test
			return f.name == name || strings.HasPrefix(f.name, name+"/")
		})
	}
}

// suspect is a test that failed, with how many failures of its subtests or its own
// were counted.
type suspect struct {
	pack, test string
	failed     int
}

// suspect notes a failure that was counted.
func (t *tally) suspect(pack, name string, output []string) {
	test, _, _ := strings.Cut(name, "/")
	t.fatal = t.fatal || slices.ContainsFunc(output, fatal)
	if i := slices.IndexFunc(t.suspects, func(s suspect) bool { return s.pack == pack && s.test == test }); i >= 0 {
		t.suspects[i].failed++
		return
	}
	t.suspects = append(t.suspects, suspect{pack, test, 1})
}

// goTest runs one test as `make test` does, and reads what it says.
func goTest(ctx context.Context, pack, test string, to *tally) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-vet=off", "-json", "-count=1", "-timeout", "10m", "-run", "^"+regexp.QuoteMeta(test)+"$", pack)
	cmd.Stderr = os.Stderr
	out, in := io.Pipe()
	cmd.Stdout = in
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { in.CloseWithError(eof(cmd.Wait())) }()
	return to.read(out)
}

// eof is the end of what a command wrote: that it failed is in its events.
func eof(err error) error {
	if _, failed := err.(*exec.ExitError); failed {
		return io.EOF
	}
	return err
}
