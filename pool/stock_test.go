package pool

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/environment"
)

func stocked(c *Config) { c.StockMax = 4 }

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
		p := newPool(fs, 100, func(c *Config) { stocked(c); c.Memory = 2*newEnvironmentMemory + 1<<20 })
		v, w := isolated("f"), isolated("g")
		bound := lease(t, p, v, "a")
		invoke(t, bound, v, "a")
		time.Sleep(100 * time.Millisecond)
		if n := fs.count(); n != 2 {
			t.Fatalf("%d environments, want one bound and one in stock", n)
		}
		stock := fs.made[1]
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
