package pool

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alcove-run/alcove"
)

// A node never has more environments than it has descriptors for, those that are
// being removed included; idle ones make room, and who comes when all are at
// work is refused at once.
func TestNoMoreEnvironmentsThanPlaces(t *testing.T) {
	for _, stock := range []int{0, 4} {
		synctest.Test(t, func(t *testing.T) {
			const places = 8
			fs := &fakes{t: t, initTook: 20 * time.Millisecond, endTook: 50 * time.Millisecond}
			p := newPool(fs, 1000, func(c *Config) {
				c.Environments, c.Creators, c.TenantIdleMin, c.Stock = places, 4, 0, upTo(stock)
			})
			var calls sync.WaitGroup
			for i := range 300 {
				calls.Go(func() {
					time.Sleep(time.Duration(rand.IntN(5000)) * time.Millisecond)
					tenant := alcove.Tenant(fmt.Sprint(i % 40))
					v := isolated(fmt.Sprint("f", i%3))
					l, err := p.Lease(t.Context(), v, tenant, StartOptions{})
					if e, ok := errors.AsType[*alcove.Error](err); ok && e.Limit == alcove.LimitEnvironments {
						return
					}
					if err != nil {
						t.Errorf("Lease: %v", err)
						return
					}
					invoke(t, l.Environment, v, tenant)
				})
			}
			calls.Wait()
			if most := fs.most(); most > places || most < places {
				t.Errorf("%d environments existed at once, %d may", most, places)
			}
			// All at work: no room is to be had.
			time.Sleep(time.Second)
			for i := range places {
				lease(t, p, isolated("busy"), alcove.Tenant(fmt.Sprint("busy", i)))
			}
			_, err := p.Lease(t.Context(), isolated("busy"), "one more", StartOptions{})
			if e, ok := errors.AsType[*alcove.Error](err); !ok || e.Code != alcove.CodeTooManyRequests || e.Limit != alcove.LimitEnvironments {
				t.Errorf("with every environment at work: %v", err)
			}
			closePool(t, p)
			checkEmpty(t, p)
		})
	}
}

// What is being made for nobody yet takes no call's place: it ends when it is
// made, if calls need all there are.
func TestWhatIsMadeAheadTakesNoCallsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const places = 4
		fs := &fakes{t: t, initTook: 100 * time.Millisecond}
		p := newPool(fs, 1000, func(c *Config) { c.Environments, c.Creators, c.Stock = places, 4, upTo(4) })
		v := isolated("f")
		lease(t, p, v, "first") // has stock made
		time.Sleep(2 * refillDelay)
		if n := len(p.Status()); n < 2 {
			t.Fatalf("%d environments: nothing is made ahead", n)
		}
		var calls sync.WaitGroup
		for i := range places - 1 {
			calls.Go(func() { lease(t, p, v, alcove.Tenant(fmt.Sprint("t", i))) })
		}
		calls.Wait()
		time.Sleep(time.Second)
		if most := fs.most(); most > places {
			t.Errorf("%d environments existed at once, %d may", most, places)
		}
		closePool(t, p)
		checkEmpty(t, p)
	})
}
