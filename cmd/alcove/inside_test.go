package main

import (
	"fmt"
	"testing"
)

// TestInsideBodies has environments send long bodies slowly: one has its share, all
// have theirs, and huge ones leave room for callers from outside.
func TestInsideBodies(t *testing.T) {
	var b insideBodies
	var ends []func()
	begin := func(environment string, size int64, want bool) {
		t.Helper()
		end, ok := b.begin(environment, size)
		if ok != want {
			t.Errorf("%d bytes of %s: %v", size, environment, ok)
		}
		if ok {
			ends = append(ends, end)
		}
	}
	for range longOfOne {
		begin("a", longBody+1, true)
	}
	begin("a", longBody+1, false)
	begin("a", longBody, true)
	begin("b", -1, true)
	begin("b", hugeBody+1, true)
	begin("c", hugeBody+1, false)
	begin("c", -1, false)
	begin("c", hugeBody, true)
	for i := len(ends); b.all < longOfAll && i < 2*longOfAll; i++ {
		begin(fmt.Sprint(i), hugeBody, true)
	}
	begin("z", hugeBody, false)
	for range 2 {
		for _, end := range ends {
			end()
		}
	}
	if b.all != 0 || b.huge != 0 || len(b.by) != 0 {
		t.Errorf("left: %d, %d, %v", b.all, b.huge, b.by)
	}
}
