package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Of what failed, the end of the log repeats so much: the rest is above it.
const (
	mostRecalled = 25  // with their lines; more are named
	mostLines    = 8   // from where it began, and as many from the end
	mostBytes    = 400 // of a line
)

// failure is a test that failed, or a package, and what it said of it.
type failure struct {
	name string
	why  []string
}

// recall prints what failed, last of all but the sum.
func (t *tally) recall() {
	if len(t.failures) == 0 {
		return
	}
	slices.SortStableFunc(t.failures, func(a, b failure) int { return cmp.Compare(a.name, b.name) })
	fmt.Fprintf(t.out, "\nwhat failed, in short:\n")
	for i, f := range t.failures {
		fmt.Fprintln(t.out, f.name)
		if i < mostRecalled {
			for _, line := range f.why {
				fmt.Fprintln(t.out, "  "+line)
			}
		}
	}
	fmt.Fprintln(t.out)
}

// excerpt is what says why: the lines from where it began, which is a panic if there
// was one, and the last ones.
func excerpt(output []string) []string {
	var lines []string
	for line := range strings.Lines(strings.Join(output, "")) {
		line = strings.TrimRight(line, "\n")
		if isFrame(strings.TrimSpace(line)) {
			continue
		}
		if len(line) > mostBytes {
			line = strings.ToValidUTF8(line[:mostBytes], "") + " …"
		}
		lines = append(lines, line)
	}
	if i := slices.IndexFunc(lines, fatal); i > 0 {
		lines = lines[i:]
	}
	if left := len(lines) - 2*mostLines; left > 0 {
		last := lines[len(lines)-mostLines:]
		lines = append(append(lines[:mostLines:mostLines], fmt.Sprintf("… %d lines …", left)), last...)
	}
	return lines
}

// isFrame tells a line that is of every test's output.
func isFrame(line string) bool {
	return line == "" || line == "FAIL" || slices.ContainsFunc([]string{"=== ", "--- FAIL", "--- SKIP", "FAIL\t"},
		func(prefix string) bool { return strings.HasPrefix(line, prefix) })
}

// fatal tells a line with which a test's process begins to end.
func fatal(line string) bool {
	return strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") || strings.HasPrefix(line, "WARNING: DATA RACE")
}
