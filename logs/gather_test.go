package logs

import (
	"testing"
	"time"
)

// TestGatherTime: batches grow with what they cost, within bounds.
func TestGatherTime(t *testing.T) {
	s := &Store{cfg: Config{BatchEvery: 50 * time.Millisecond}}
	for _, tt := range []struct{ storing, want time.Duration }{
		{0, 50 * time.Millisecond},
		{2 * time.Millisecond, 50 * time.Millisecond},
		{5 * time.Millisecond, 100 * time.Millisecond},
		{time.Second, 200 * time.Millisecond},
	} {
		if s.storing = tt.storing; s.gatherTime() != tt.want {
			t.Errorf("after a batch of %v: %v, want %v", tt.storing, s.gatherTime(), tt.want)
		}
	}
}
