package main

import (
	"regexp"
	"strings"
	"testing"
)

// tallied reads events, one a line, in short: action, package, test.
func tallied(t *testing.T, events string) (out string, good bool) {
	t.Helper()
	var in, got strings.Builder
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
	tl := newTally(&got, regexp.MustCompile(`^p\.TestMay`))
	if err := tl.read(strings.NewReader(in.String())); err != nil {
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
