package pool

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/environment"
)

// Idle, busy, waited for, in the making and bound from stock: nothing of a purged
// tenant is left, and nobody else notices.
func TestPurgeTenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &fakes{t: t, initTook: 50 * time.Millisecond, endTook: 20 * time.Millisecond}
		p := newPool(fs, 1000, nil)
		v, w := isolated("f"), isolated("g")
		other := lease(t, p, v, "other")
		invoke(t, other, v, "other")
		invoke(t, lease(t, p, v, "gone"), v, "gone")
		lease(t, p, w, "gone") // busy for ever
		var calls sync.WaitGroup
		for range 5 { // some wait, two are being made
			calls.Go(func() {
				_, err := p.Lease(t.Context(), v, "gone", StartOptions{})
				// One may have been leased, and ended under its caller.
				if err != nil && alcove.AsError(err).Code != alcove.CodeResourceConflict {
					t.Errorf("a call that waits is answered with %v", err)
				}
			})
		}
		synctest.Wait()
		if err := p.PurgeTenant(t.Context(), "gone"); err != nil {
			t.Fatal(err)
		}
		calls.Wait()
		for _, f := range fs.all() {
			select {
			case <-f.ended:
				if f == other {
					t.Error("another tenant's environment has ended")
				}
			default:
				if f.tenant == "gone" {
					t.Error("an environment of the tenant is there")
				}
			}
		}
		p.mu.Lock()
		if len(p.holders) != 1 || p.promised != 0 || p.making != 0 || p.functions["f"].tenants != 1 || p.functions["g"] != nil {
			t.Errorf("%d holders, %d bytes promised, %d being made, functions %+v", len(p.holders), p.promised, p.making, p.functions)
		}
		for k := range p.habits.by {
			if k.tenant == "gone" {
				t.Error("when the tenant comes is known")
			}
		}
		p.mu.Unlock()
		if again := lease(t, p, v, "other"); again != other {
			t.Error("another tenant has lost its environment")
		}
		if err := p.PurgeTenant(t.Context(), "never came"); err != nil {
			t.Error(err)
		}
		invoke(t, lease(t, p, v, "gone"), v, "gone") // begins anew
		if err := p.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

// Purges in the midst of everybody's calls leave the pool's books right.
func TestPurgesAtRandom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &fakes{t: t, initTook: 5 * time.Millisecond, endTook: 5 * time.Millisecond}
		p := newPool(fs, 50, nil)
		v := isolated("f")
		var work sync.WaitGroup
		for range 20 {
			work.Go(func() {
				for range 50 {
					tenant := alcove.Tenant(fmt.Sprint("t", rand.IntN(5)))
					if rand.IntN(10) == 0 {
						if err := p.PurgeTenant(t.Context(), tenant); err != nil {
							t.Error(err)
						}
						continue
					}
					l, err := p.Lease(t.Context(), v, tenant, StartOptions{})
					if err != nil {
						continue
					}
					_, _ = l.Environment.Invoke(t.Context(), &alcove.Invocation{Version: v, Tenant: tenant}, environment.InvokeOptions{})
				}
			})
		}
		work.Wait()
		for i := range 5 {
			if err := p.PurgeTenant(t.Context(), alcove.Tenant(fmt.Sprint("t", i))); err != nil {
				t.Error(err)
			}
		}
		p.mu.Lock()
		if len(p.holders) != 0 || len(p.entries) != 0 || p.promised != 0 || p.making != 0 || p.existing != 0 || len(p.functions) != 0 || p.queue.waiting != 0 {
			t.Errorf("left: %d holders, %d entries, %d bytes promised, %d being made, %d existing, %d functions, %d waiting",
				len(p.holders), len(p.entries), p.promised, p.making, p.existing, len(p.functions), p.queue.waiting)
		}
		p.mu.Unlock()
		if err := p.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
