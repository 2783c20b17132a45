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
		each := rapid.IntRange(descriptorsOfEnvironment+1, 20).Draw(t, "each")
		d := shareDescriptors(limit, each)
		if d.check() != nil {
			return
		}
		if used := uint64(descriptorsOfNode + d.connections + d.spare + 3*d.making + d.inside + d.environments*each); used > limit {
			t.Fatalf("of %d descriptors %d are handed out: %+v", limit, used, d)
		}
		if d.connections < 1 || d.making < 1 || d.inside < 1 {
			t.Fatalf("nobody can connect: %+v", d)
		}
	})
	for limit, want := range map[uint64]sandbox.State{1 << 16: sandbox.OK, 1024: sandbox.Degraded, 20000: sandbox.OK} {
		if f := filesFinding(limit, ofEnvironment("namespace"), ofEnvironment("gvisor")); f.State != want || f.State != sandbox.OK && f.Fix == "" {
			t.Errorf("the doctor's finding for %d: %+v", limit, f)
		}
	}
	if err := shareDescriptors(600, ofEnvironment("gvisor")).check(); err == nil {
		t.Error("600 open files are taken for enough")
	}
	// What docs/operations.md promises, and issue 3.
	if d := shareDescriptors(20000, ofEnvironment("namespace")); d.environments < 3000 {
		t.Errorf("20,000 open files are %d environments of namespace", d.environments)
	}
	if d := shareDescriptors(20000, ofEnvironment("gvisor")); d.environments < 1000 {
		t.Errorf("20,000 open files are %d environments of gvisor", d.environments)
	}
	if d, err := openFiles("gvisor"); err != nil || d.check() != nil {
		t.Errorf("this process: %+v, %v", d, err)
	}
}
