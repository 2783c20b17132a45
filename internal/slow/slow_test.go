package slow

import (
	"testing"
	"time"
)

func TestPatience(t *testing.T) {
	for text, want := range map[string]time.Duration{"": time.Minute, "1s": time.Minute, "5m": 5 * time.Minute} {
		t.Setenv(Variable, text)
		if got := Patience(time.Minute); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	t.Setenv(Variable, "soon")
	defer func() {
		if recover() == nil {
			t.Error("what is no duration was taken for one")
		}
	}()
	Patience(time.Minute)
}
