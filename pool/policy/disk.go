package policy

import (
	"cmp"
	"slices"
)

// OnDisk is an environment by what it holds of the disk.
type OnDisk struct {
	ID    string
	Bytes int64
	Idle  bool
}

// VictimsForDisk picks environments to end until at least need bytes come free:
// those that hold most first, idle ones before busy ones, and busy ones only if
// it is urgent. It answers with all of those if that is not enough.
func VictimsForDisk(list []OnDisk, need int64, urgent bool) []string {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b OnDisk) int {
		if a.Idle != b.Idle {
			if a.Idle {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.ID, b.ID))
	})
	var out []string
	for _, e := range list {
		if need <= 0 || !e.Idle && !urgent {
			break
		}
		out = append(out, e.ID)
		need -= e.Bytes
	}
	return out
}
