package gvisor

import (
	"slices"
	"strings"
	"testing"
)

// TestEnvironment holds what is left of the suite's subtest on it: everything
// arrives, and nothing else but HOME, which stays as it is if it is there.
func TestEnvironment(t *testing.T) {
	d, root := newDriver(t), pythonRoot(t)
	given := []string{"A=1", "EMPTY=", "EQ=a=b=c", "PATH=/usr/bin:/bin", "LINES=a\nb", "lower=x"}
	for home, want := range map[string]string{"": "HOME=/home/sbx_user1051", "HOME=/tmp": "HOME=/tmp"} {
		spec := newSpec(t, root)
		spec.Args = []string{"/usr/bin/env", "-0"}
		spec.Env = slices.Clone(given)
		if home != "" {
			spec.Env = append(spec.Env, home)
		}
		got := strings.Split(strings.TrimSuffix(output(t, d, spec), "\x00"), "\x00")
		all := append(slices.Clone(given), want)
		slices.Sort(got)
		slices.Sort(all)
		if !slices.Equal(got, all) {
			t.Errorf("got %q, want %q", got, all)
		}
	}
}
