// Command tally reads the JSON of `go test -json` and tells what a person wants
// to know of it: a line for each package, the output of what failed, and at the
// end what failed once more, in a few lines each, for whoever has only the end of
// a log, which tests took longest, and how many tests passed, failed and were skipped.
//
//	go test -json ./... | go run ./test/tally
//
// A test with subtests counts as its subtests. A skipped test fails the run
// unless -may-skip names it: a proof that was not made is none. The exit status
// is 1 if anything failed or nothing ran.
package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
)

func main() {
	maySkip := flag.String("may-skip", "^$", "regular expression of tests, as package.Test, that may be skipped")
	most := flag.Int("again", 0, "run up to so many failed tests once more, each alone; one that passes then is named and counted as passed")
	flag.Parse()
	allowed, err := regexp.Compile(*maySkip)
	if err != nil {
		fmt.Fprintln(os.Stderr, "tally:", err)
		os.Exit(2)
	}
	t := newTally(os.Stdout, allowed)
	if err := t.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "tally:", err)
		os.Exit(2)
	}
	t.again(context.Background(), *most, goTest)
	if !t.close() {
		os.Exit(1)
	}
}

// event is one line of test2json (see `go doc test2json`).
type event struct {
	Action      string
	Package     string
	ImportPath  string // of build-output and build-fail
	Test        string
	Elapsed     float64
	Output      string
	FailedBuild string
}

// pack is what is known of one package.
type pack struct {
	tests  map[string]string   // test -> its end: pass, fail, skip; or "" while it runs
	output map[string][]string // test -> what it printed; "" is the package's own
}

// tally adds events up.
type tally struct {
	out     io.Writer
	maySkip *regexp.Regexp
	packs   map[string]*pack
	builds  map[string][]string // output of the compiler, by import path

	failures []failure
	suspects []suspect // what failed, test by test
	fatal    bool      // a package ended early, or outside its tests
	unsteady []string  // failed at first, and passed alone
	slow     []slow    // tests that are no subtests

	passed, failed, skipped, barred int
}

func newTally(out io.Writer, maySkip *regexp.Regexp) *tally {
	return &tally{out: out, maySkip: maySkip, packs: map[string]*pack{}, builds: map[string][]string{}}
}

// read takes events until the input ends. Lines that are no events are passed on.
func (t *tally) read(r io.Reader) error {
	br := bufio.NewReader(r)
	for {
		line, err := br.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil {
				fmt.Fprintf(t.out, "%s", line)
			} else {
				t.add(e)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (t *tally) add(e event) {
	if strings.HasPrefix(e.Action, "build-") {
		t.builds[e.ImportPath] = append(t.builds[e.ImportPath], e.Output)
		return
	}
	p := t.packs[e.Package]
	if p == nil {
		p = &pack{tests: map[string]string{}, output: map[string][]string{}}
		t.packs[e.Package] = p
	}
	switch e.Action {
	case "output":
		p.output[e.Test] = append(p.output[e.Test], e.Output)
	case "run":
		p.tests[e.Test] = ""
	case "pass", "fail", "skip":
		if e.Test != "" {
			p.tests[e.Test] = e.Action
			if !strings.Contains(e.Test, "/") {
				t.slow = append(t.slow, slow{path.Base(e.Package) + "." + e.Test, e.Elapsed})
			}
			if e.Action == "pass" {
				delete(p.output, e.Test)
			}
			return
		}
		t.ended(e, p)
		delete(t.packs, e.Package)
	}
}

// ended counts a package that is through.
func (t *tally) ended(e event, p *pack) {
	passed, failed, skipped := 0, 0, 0
	names := slices.Sorted(maps.Keys(p.tests))
	for _, name := range names {
		parent, failedBelow := below(p, name)
		switch end := p.tests[name]; {
		case end == "fail" || end == "": // no end: the process died under it
			if !failedBelow {
				failed++
				t.suspect(e.Package, name, p.output[name])
			}
			t.fatal = t.fatal || end == ""
			t.show(p, name, "FAILED")
			if why := excerpt(p.output[name]); !failedBelow || len(why) > 0 {
				t.failures = append(t.failures, failure{"FAILED " + e.Package + "." + name, why})
			}
		case end == "skip":
			skipped++
			t.show(p, name, "skipped")
			if !t.maySkip.MatchString(e.Package + "." + name) {
				t.barred++
				t.failures = append(t.failures, failure{"SKIPPED " + e.Package + "." + name, excerpt(p.output[name])})
			}
		case !parent:
			passed++
		}
	}
	if e.Action == "fail" && failed == 0 {
		failed++ // it did not build, or died outside its tests
		t.fatal = true
		t.show(p, "", e.Package)
		fmt.Fprint(t.out, strings.Join(t.builds[e.FailedBuild], ""))
		t.failures = append(t.failures, failure{"FAILED " + e.Package, excerpt(append(p.output[""], t.builds[e.FailedBuild]...))})
	} else if failed > 0 {
		t.show(p, "", e.Package)
	}
	t.passed, t.failed, t.skipped = t.passed+passed, t.failed+failed, t.skipped+skipped
	if len(names) > 0 || e.Action == "fail" {
		fmt.Fprintf(t.out, "%-4s %-60s %4d passed %2d failed %2d skipped %6.1fs\n", e.Action, e.Package, passed, failed, skipped, e.Elapsed)
	}
}

// below says whether a test has subtests, and whether one of them failed.
func below(p *pack, name string) (any, failed bool) {
	for n, end := range p.tests {
		if strings.HasPrefix(n, name+"/") {
			any = true
			failed = failed || end == "fail" || end == ""
		}
	}
	return any, failed
}

// show prints what a test wrote.
func (t *tally) show(p *pack, name, what string) {
	if lines := p.output[name]; len(lines) > 0 {
		fmt.Fprintf(t.out, "--- %s %s\n%s", what, name, strings.Join(lines, ""))
	}
}

// slow is how long a test took.
type slow struct {
	name    string
	seconds float64
}

// slowest tells of the few tests that took longest: what to look at when a run takes long.
func (t *tally) slowest(most int) string {
	slices.SortStableFunc(t.slow, func(a, b slow) int { return cmp.Compare(b.seconds, a.seconds) })
	var text []string
	for _, s := range t.slow[:min(most, len(t.slow))] {
		if s.seconds < 5 {
			break
		}
		text = append(text, fmt.Sprintf("%s %.0fs", s.name, s.seconds))
	}
	return strings.Join(text, ", ")
}

// close prints the sum, and says whether the run was good.
func (t *tally) close() bool {
	for name, p := range t.packs { // a package that never ended
		t.failed++
		t.show(p, "", name)
		fmt.Fprintf(t.out, "fail %s did not end\n", name)
		t.failures = append(t.failures, failure{"FAILED " + name + " did not end", excerpt(p.output[""])})
	}
	if text := t.slowest(40); text != "" {
		fmt.Fprintln(t.out, "slowest:", text)
	}
	t.recall()
	for _, name := range t.unsteady {
		fmt.Fprintln(t.out, "FAILED AT FIRST, passed alone: "+name)
	}
	if t.barred > 0 {
		fmt.Fprintf(t.out, "%d skipped tests may not be skipped\n", t.barred)
	}
	fmt.Fprintf(t.out, "%d passed, %d failed, %d skipped\n", t.passed, t.failed+t.barred, t.skipped-t.barred)
	return t.failed == 0 && t.barred == 0 && t.passed > 0
}
