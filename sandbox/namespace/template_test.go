package namespace

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestRefusalsPass: a template that could not be started is tried again, less and
// less often, and what once succeeded is forgiven.
func TestRefusalsPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := &templates{refused: map[string]refusal{}, ready: map[string][]*template{}}
		for wait := minRefusal; ; wait *= 2 {
			ts.refuse("k", "no memory")
			time.Sleep(min(wait, maxRefusal) - 1)
			if why := ts.refusedNow("k"); why != "no memory" {
				t.Fatalf("after nearly %v: %q", wait, why)
			}
			time.Sleep(1)
			if why := ts.refusedNow("k"); why != "" {
				t.Fatalf("after %v: still %q", wait, why)
			}
			if wait > 4*maxRefusal {
				break
			}
		}
		ts.give(&template{key: "k", users: 2}, "")
		if r := ts.refused["k"]; r.times != 0 {
			t.Errorf("after a success: %+v", r)
		}
	})
}
