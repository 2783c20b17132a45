package policy

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestVictimsForDisk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var list []OnDisk
		by := map[string]OnDisk{}
		for i, n := range rapid.SliceOfN(rapid.Int64Range(1, 50), 0, 10).Draw(t, "bytes") {
			e := OnDisk{ID: fmt.Sprint(i), Bytes: n, Idle: rapid.Bool().Draw(t, "idle")}
			list, by[e.ID] = append(list, e), e
		}
		need := rapid.Int64Range(0, 300).Draw(t, "need")
		urgent := rapid.Bool().Draw(t, "urgent")
		var freed int64
		for _, id := range VictimsForDisk(list, need, urgent) {
			e := by[id]
			if freed >= need {
				t.Fatalf("%s goes although enough had gone", id)
			}
			if !e.Idle && !urgent {
				t.Fatalf("%s is busy, and nothing is urgent", id)
			}
			delete(by, id)
			freed += e.Bytes
			for _, other := range by {
				if other.Idle && !e.Idle || other.Idle == e.Idle && other.Bytes > e.Bytes {
					t.Fatalf("%+v goes before %+v", e, other)
				}
			}
		}
		// Whoever stays was not enough, or may not go.
		if freed < need && slices.ContainsFunc(list, func(e OnDisk) bool { _, left := by[e.ID]; return left && (e.Idle || urgent) }) {
			t.Errorf("%d of %d bytes go, and %v stay", freed, need, by)
		}
	})
}
