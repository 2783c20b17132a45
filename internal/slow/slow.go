// Package slow says for how long tests wait for what should happen by
// itself. It is used by tests only, and touches nothing but the environment.
package slow

import (
	"fmt"
	"os"
	"time"
)

// Variable is of the environment: a duration that is waited at least, for
// machines so slow that what tests ask for by themselves is not enough (an
// emulated one). No test passes or fails by being quicker within it.
const Variable = "ALCOVE_TEST_PATIENCE"

// Patience is d, or what the environment asks for if that is longer.
func Patience(d time.Duration) time.Duration {
	text := os.Getenv(Variable)
	if text == "" {
		return d
	}
	asked, err := time.ParseDuration(text)
	if err != nil {
		panic(fmt.Sprintf("%s: %v", Variable, err)) // a test that waits for less than it was told proves nothing
	}
	return max(d, asked)
}
