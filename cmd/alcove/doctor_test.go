package main

import (
	"errors"
	"fmt"
	"testing"

	"github.com/alcove-run/alcove"
)

// TestWhyNot: an interpreter that is there and cannot be asked is told with its
// reason, which a caller of the API never sees.
func TestWhyNot(t *testing.T) {
	broken := errors.New("runtimes: /usr/bin/python3: signal: killed")
	for want, err := range map[string]error{
		"install Python": alcove.InvalidParameter("install %s", "Python"),
		broken.Error():   alcove.PlatformError(broken),
		"a: b":           fmt.Errorf("a: %w", errors.New("b")),
	} {
		if got := whyNot(err); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}
