package main

import "testing"

// TestLogsGiveWayFirst: what tenants write to their logs stops taking room before
// environments have to end for it, on disks of any size.
func TestLogsGiveWayFirst(t *testing.T) {
	for _, size := range []int64{600 << 20, 4 << 30, 20 << 30, 1 << 40} {
		if least := diskReserve(size) + logLeast; logReserve(size) <= least || logReserve(size) > size*3/2 {
			t.Errorf("of %d bytes logs leave %d, environments need %d", size, logReserve(size), least)
		}
	}
}
