package catalog

import (
	"context"
	"fmt"
	"hash/maphash"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/sandbox/egress/policy"
)

// TestDeletingWaitsForNoLockOfItsOwn: a function and its egress policy have locks
// among few, which may be the same one.
func TestDeletingWaitsForNoLockOfItsOwn(t *testing.T) {
	n := begin(t, Config{})
	lockOf := func(key string) uint64 { return maphash.String(n.seed, key) % uint64(len(n.locks)) }
	for i := range 2000 {
		name := fmt.Sprint("f-", i)
		v := n.create(t, name)
		if lockOf(name) != lockOf((&Egress{Scope: policy.Function, FunctionID: v.FunctionID}).key()) {
			continue
		}
		deleted := make(chan error, 1)
		go func() { deleted <- n.Delete(context.Background(), alcove.Caller{}, alcove.Ref{Name: name}) }()
		select {
		case err := <-deleted:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(time.Minute):
			t.Fatal("it waits for itself")
		}
		return
	}
	t.Error("no function had the lock of its policy")
}
