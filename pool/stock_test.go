package pool

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/environment"
	"github.com/alcove-run/alcove/pool/policy"
)

func stocked(c *Config) { c.Stock = upTo(4) }

func upTo(n int) func(*alcove.Version) policy.Bounds {
	return func(*alcove.Version) policy.Bounds { return policy.Bounds{Max: n} }
}

func closePool(t *testing.T, p *Pool) {
	t.Helper()
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Hour) // timers and what was being made
	checkNoTimers(t, p)
}

func checkNoTimers(t *testing.T, p *Pool) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.entries) != 0 {
		t.Errorf("%d environments are left", len(p.entries))
	}
}

func TestANewTenantIsServedFromStock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &fakes{t: t, initTook: 100 * time.Millisecond}
		p := newPool(fs, 100, stocked)
		v := isolated("f")
		invoke(t, lease(t, p, v, "first"), v, "first")
		time.Sleep(time.Second) // the stock is filled

		began := time.Now()
		env := lease(t, p, v, "second")
		if waited := time.Since(began); waited != 0 {
			t.Errorf("the second tenant waited %s", waited)
		}
		invoke(t, env, v, "second")
		if made := env.(*fake).tenant; made != "" {
			t.Errorf("it was made for %q, not for stock", made)
		}
		if again := lease(t, p, v, "second"); again != env {
			t.Error("the tenant's environment was not used again")
		}
		time.Sleep(time.Second)
		if third := lease(t, p, v, "third"); third == env {
			t.Error("an environment that ran for one tenant was given to another")
		}
		closePool(t, p)
	})
}

func TestStockGoesWhenItsVersionDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var gone atomic.Bool
		fs := &fakes{t: t, current: func(*alcove.Version) bool { return !gone.Load() }}
		p := newPool(fs, 100, stocked)
		v := isolated("f")
		invoke(t, lease(t, p, v, "a"), v, "a")
		time.Sleep(500 * time.Millisecond)
		made := fs.count()
		if made < 2 {
			t.Fatal("no stock was made")
		}
		gone.Store(true)
		p.Retire("f")
		time.Sleep(time.Minute)
		checkEmpty(t, p)
		if fs.count() != made {
			t.Errorf("%d more were made of a version that is gone", fs.count()-made)
		}
		closePool(t, p)
	})
}

func TestStockOfAnUnusedVersionIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &fakes{t: t}
		p := newPool(fs, 100, stocked)
		v := isolated("f")
		invoke(t, lease(t, p, v, "a"), v, "a")
		time.Sleep(5 * time.Minute)
		if n := len(p.Status()); n != 2 { // a's, and one in stock
			t.Errorf("%d environments while the function is in use, want 2", n)
		}
		time.Sleep(10 * time.Minute)
		checkEmpty(t, p)
		closePool(t, p)
	})
}

func TestFailingInitOfStockBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &fakes{t: t, initErr: &environment.InitError{Type: "Runtime.ImportModuleError"}}
		p := newPool(fs, 100, stocked)
		v := isolated("f")
		if _, err := p.Lease(t.Context(), v, "a", StartOptions{}); err == nil {
			t.Fatal("the Init error was not told")
		}
		time.Sleep(5 * time.Minute)
		if n := fs.count(); n > 12 {
			t.Errorf("%d tries in five minutes: it does not back off", n)
		} else if n < 3 {
			t.Errorf("%d tries in five minutes: it does not try again", n)
		}
		closePool(t, p)
	})
}

func TestStockIsGivenBackBeforeAnythingBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &fakes{t: t}
		p := newPool(fs, 100, func(c *Config) { stocked(c); c.Memory = 2*newEnvironmentMemory + 5<<20 })
		v, w := isolated("f"), isolated("g")
		bound := lease(t, p, v, "a")
		invoke(t, bound, v, "a")
		time.Sleep(100 * time.Millisecond)
		if n := fs.count(); n != 2 {
			t.Fatalf("%d environments, want one bound and one in stock", n)
		}
		stock := fs.all()[1]
		invoke(t, lease(t, p, w, "b"), w, "b")
		synctest.Wait()
		if !stock.closed.Load() || bound.(*fake).closed.Load() {
			t.Errorf("stock ended: %v, bound ended: %v; want the stock alone", stock.closed.Load(), bound.(*fake).closed.Load())
		}
		closePool(t, p)
	})
}

func TestAStockDoesNotLiftTheCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &fakes{t: t}
		p := newPool(fs, 1, stocked)
		v := isolated("f")
		invoke(t, lease(t, p, v, "a"), v, "a")
		time.Sleep(time.Second)
		_, err := p.Lease(t.Context(), v, "b", StartOptions{})
		var e *alcove.Error
		if !errors.As(err, &e) || e.Code != alcove.CodeTooManyRequests {
			t.Errorf("Lease at the cap with stock at hand: %v", err)
		}
		closePool(t, p)
	})
}

// New tenants come faster than environments can be made one after another: the
// stock keeps up all the same, and nobody waits once it has seen them coming.
func TestStockKeepsUpWithManyNewTenants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &fakes{t: t, initTook: 7 * time.Millisecond}
		p := newPool(fs, 100_000, func(c *Config) { c.Stock = upTo(16); c.Creators = 4; c.Refillers = 2 })
		v := isolated("f")
		waited := 0
		for i := range 2500 { // 250 a second for 10 s
			tenant := alcove.Tenant(fmt.Sprint("t", i))
			began := time.Now()
			env := lease(t, p, v, tenant)
			if time.Since(began) > 0 && i > 500 {
				waited++
			}
			go env.Invoke(t.Context(), &alcove.Invocation{Version: v, Tenant: tenant}, environment.InvokeOptions{})
			time.Sleep(4*time.Millisecond - time.Since(began))
		}
		if waited > 20 {
			t.Errorf("%d of the last 2000 tenants found the stock empty", waited)
		}
		time.Sleep(time.Second)
		closePool(t, p)
	})
}

// While a call waits for an environment, none is begun for a stock that can wait.
func TestRefillLeavesTheProcessorsToCallsThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &fakes{t: t, initTook: 50 * time.Millisecond}
		p := newPool(fs, 100, func(c *Config) { stocked(c); c.Creators, c.Refillers = 4, 2 })
		f, g := isolated("f"), isolated("g")
		invoke(t, lease(t, p, f, "a"), f, "a")
		go p.Lease(t.Context(), g, "b", StartOptions{})
		time.Sleep(40 * time.Millisecond)
		if n := fs.count(); n != 2 {
			t.Errorf("%d environments were begun, want f's first and g's alone", n)
		}
		time.Sleep(300 * time.Millisecond)
		if n := fs.count(); n != 4 {
			t.Errorf("%d environments were begun, want one more in stock of each", n)
		}
		closePool(t, p)
	})
}

func TestAStockIsMadeAgainOfNewCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var generation atomic.Int64
		generation.Store(1)
		fs := &fakes{t: t, current: func(v *alcove.Version) bool { return v.Generation == generation.Load() }}
		p := newPool(fs, 100, stocked)
		v1 := isolated("f")
		invoke(t, lease(t, p, v1, "a"), v1, "a")
		time.Sleep(time.Second)

		v2 := *v1
		v2.Generation = 2
		generation.Store(2)
		p.Expect(&v2)
		p.Retire("f")
		time.Sleep(time.Second)
		old, fresh := 0, 0
		for _, f := range fs.all() {
			switch {
			case f.closed.Load():
			case f.version == v1:
				old++
			default:
				fresh++
			}
		}
		if old != 0 || fresh != 1 {
			t.Errorf("%d environments of the old code and %d of the new one, want none and one", old, fresh)
		}
		closePool(t, p)
	})
}

func TestStockWithAMinimumNeedsNobodyToCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		least := atomic.Int64{}
		least.Store(3)
		fs := &fakes{t: t}
		p := newPool(fs, 100, func(c *Config) {
			c.Stock = func(*alcove.Version) policy.Bounds {
				return policy.Bounds{Min: int(least.Load()), Max: 4, Standing: true}
			}
		})
		p.Expect(isolated("f"))
		time.Sleep(time.Second)
		if n := len(p.Status()); n != 3 {
			t.Errorf("%d environments wait, want the 3 that are asked for", n)
		}
		first := fs.all()[0]
		time.Sleep(2 * policy.StockAge)
		if n := len(p.Status()); n != 3 || !first.closed.Load() {
			t.Errorf("%d environments wait, the first of them still: %v; want 3 that were made anew", n, !first.closed.Load())
		}
		least.Store(0)
		time.Sleep(2 * time.Second)
		checkEmpty(t, p)
		closePool(t, p)
	})
}

func TestStockThatWaitedForTooLongGoesEvenIfNoneReplacesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &fakes{t: t}
		p := newPool(fs, 100, func(c *Config) {
			c.Stock = func(*alcove.Version) policy.Bounds { return policy.Bounds{Min: 1, Max: 4, Standing: true} }
		})
		p.Expect(isolated("f"))
		time.Sleep(time.Second)
		fs.mu.Lock()
		fs.initErr = &environment.InitError{Type: "Runtime.ImportModuleError"}
		fs.mu.Unlock()
		time.Sleep(policy.StockAge - 2*time.Second)
		if fs.all()[0].closed.Load() {
			t.Error("it went before its time")
		}
		time.Sleep(5 * time.Second)
		if !fs.all()[0].closed.Load() {
			t.Error("it is still there")
		}
		closePool(t, p)
	})
}

// Calls are not refused for the sake of what is being made for nobody: that goes
// when it is made.
func TestStockThatIsBeingMadeRefusesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &fakes{t: t, initTook: time.Second}
		p := newPool(fs, 100, func(c *Config) {
			c.Stock = func(v *alcove.Version) policy.Bounds {
				return policy.Bounds{Min: 2, Max: map[string]int{"f": 2}[v.Name], Standing: true}
			}
			c.Memory = 4 * newEnvironmentMemory
			c.Creators, c.Refillers = 4, 2
		})
		p.Expect(isolated("f"))
		time.Sleep(100 * time.Millisecond)
		if n := fs.count(); n != 2 {
			t.Fatalf("%d are being made for nobody, want 2", n)
		}
		g := isolated("g")
		for i := range 4 {
			go p.Lease(t.Context(), g, alcove.Tenant(fmt.Sprint(i)), StartOptions{})
		}
		time.Sleep(100 * time.Millisecond)
		if n := fs.count(); n != 6 {
			t.Errorf("%d environments were begun, want two of f in stock and four of g", n)
		}
		time.Sleep(700*time.Millisecond + 200*time.Millisecond)
		left := map[string]int{}
		for _, f := range fs.all() {
			if !f.closed.Load() {
				left[f.version.Name]++
			}
		}
		if left["f"] != 0 || left["g"] != 4 {
			t.Errorf("left are %v, want the four of g", left)
		}
		closePool(t, p)
		if p.ahead != 0 || p.memory != 0 {
			t.Errorf("%d bytes, %d of them ahead, are left", p.memory, p.ahead)
		}
	})
}
