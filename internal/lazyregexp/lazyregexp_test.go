package lazyregexp

import "testing"

func TestMatchString(t *testing.T) {
	l := New(`^[a-z]{1,3}$`)
	for text, want := range map[string]bool{"": false, "a": true, "abc": true, "abcd": false, "A": false} {
		if got := l.MatchString(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// TestWrongIsFoundByTests: each test of a package with a wrong expression fails.
func TestWrongIsFoundByTests(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("compiled")
		}
	}()
	New(`(`)
}
