package search

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A search with pauses finds what one without them finds, in any bytes.
func TestPausesChangeNothing(t *testing.T) {
	sources := []string{`a+b`, `(?i)(error|failure) \d+`, `^x.*z$`, `\bfoo\b`, `(a|ab)(c|bcd)(d*)`, `(?s)a.{3}b`, `\xff|é`, `x{40}`, `[^a-z]{2,5}?`, `(?m)^b$`, `$`}
	rapid.Check(t, func(t *rapid.T) {
		re, err := Compile(rapid.SampledFrom(sources).Draw(t, "source"))
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(rapid.SliceOf(rapid.SampledFrom([]string{"a", "b", "cd", "x", "z", "\n", "foo", " ", "error 12", "é", "\xff", "\x00", "xxxxxxxx"})).Draw(t, "text"), "")
		in := re.reader(text, func() bool { return true })
		in.every, in.left = 1, 1
		if got, want := re.FindReaderSubmatchIndex(in), re.FindStringSubmatchIndex(text); !slices.Equal(got, want) {
			t.Fatalf("%s in %q: %v, not %v", re, text, got, want)
		}
		if got, want := re.In(text, nil), re.MatchString(text); got != want {
			t.Fatalf("%s in %q: %v", re, text, got)
		}
	})
}

// A long search asks often enough, and ends where it is told to.
func TestALongSearchPauses(t *testing.T) {
	re, err := Compile(`(?:[ab]{20}x|b{30}y){20}`)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("ab", 64<<10)
	asked := 0
	if re.In(text, func() bool { asked++; return true }) {
		t.Error("found what is not there")
	}
	if want := len(text) / (Step/re.weight + 2); asked < want || want < 50 {
		t.Errorf("paused %d times, not %d", asked, want)
	}
	asked = 0
	if re.In(text+"a", func() bool { asked++; return asked < 3 }) || re.Find(text, func() bool { return false }) != nil || asked != 3 {
		t.Errorf("went on after %d", asked)
	}
}
