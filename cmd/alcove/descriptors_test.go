package main

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/alcove-run/alcove/sandbox"
)

// What is handed out never exceeds the limit, and a limit that is too small is
// refused instead of being overdrawn.
func TestDescriptorsAreNeverOverdrawn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Uint64Range(0, 1<<21).Draw(t, "limit")
		d := shareDescriptors(limit)
		if d.check() != nil {
			return
		}
		if used := uint64(descriptorsOfNode + d.connections + d.spare + d.environments*descriptorsOfEnvironment); used > limit {
			t.Fatalf("of %d descriptors %d are handed out: %+v", limit, used, d)
		}
		if d.connections < 1 {
			t.Fatalf("nobody can connect: %+v", d)
		}
	})
	for limit, want := range map[uint64]sandbox.State{1 << 16: sandbox.OK, 1024: sandbox.Degraded, 20000: sandbox.OK} {
		if f := shareDescriptors(limit).finding(); f.State != want || f.State != sandbox.OK && f.Fix == "" {
			t.Errorf("the doctor's finding for %d: %+v", limit, f)
		}
	}
	if err := shareDescriptors(600).check(); err == nil {
		t.Error("600 open files are taken for enough")
	}
	if d, err := openFiles(); err != nil || d.check() != nil {
		t.Errorf("this process: %+v, %v", d, err)
	}
}
