package pool

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// What sandboxes of an earlier process hold counts: a call for which there is no room
// beside it is not refused, and has its environment as soon as there is.
func TestACallWaitsForMemoryOfAnEarlierProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var left atomic.Int64
		left.Store(5 * newEnvironmentMemory)
		fs := &fakes{t: t, initTook: 10 * time.Millisecond}
		p := newPool(fs, 1000, func(c *Config) {
			c.Memory, c.Creators, c.Left = 6*newEnvironmentMemory, 4, left.Load
		})
		v := isolated("f")
		lease(t, p, v, "first") // beside them
		got := make(chan struct{})
		go func() {
			defer close(got)
			lease(t, p, v, "second")
		}()
		time.Sleep(time.Minute)
		select {
		case <-got:
			t.Fatal("an environment was made where there is no memory")
		default:
		}
		left.Store(4 * newEnvironmentMemory)
		began := time.Now()
		<-got
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v until the call had its environment", took)
		}
		left.Store(0)
		closePool(t, p)
		checkEmpty(t, p)
	})
}
