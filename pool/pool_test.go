package pool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/environment"
)

func TestTheSameTenantGetsItsWarmEnvironmentAndNobodyElseDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &fakes{t: t}
		p := newPool(fs, 10, nil)
		v := isolated("f")
		a := lease(t, p, v, "a")
		invoke(t, a, v, "a")
		b := lease(t, p, v, "b")
		invoke(t, b, v, "b")
		if a == b {
			t.Fatal("two tenants got one environment")
		}
		if again := lease(t, p, v, "a"); again != a {
			t.Fatal("the tenant's warm environment was not used")
		}
		if err := p.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAtTheCapOnlyLongIdleEnvironmentsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &fakes{t: t}
		p := newPool(fs, 2, nil)
		v := isolated("f")
		a := lease(t, p, v, "a")
		invoke(t, a, v, "a")
		time.Sleep(10 * time.Second)
		invoke(t, lease(t, p, v, "b"), v, "b")

		_, err := p.Lease(t.Context(), v, "c", StartOptions{})
		var e *alcove.Error
		if !errors.As(err, &e) || e.Code != alcove.CodeTooManyRequests {
			t.Fatalf("Lease at the cap: %v, want TooManyRequestsException", err)
		}
		time.Sleep(55 * time.Second) // a has been idle for 65 s, b for 55 s
		invoke(t, lease(t, p, v, "c"), v, "c")
		synctest.Wait()
		if !a.(*fake).closed.Load() {
			t.Error("the least recently used environment is still there")
		}
		if _, err := p.Lease(t.Context(), v, "d", StartOptions{}); !errors.As(err, &e) {
			t.Errorf("Lease at the cap with b idle for 55 s: %v, want TooManyRequestsException", err)
		}
		if err := p.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestStaleVersionsAreNeverLeasedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var generation atomic.Int64
		generation.Store(1)
		fs := &fakes{t: t, current: func(v *alcove.Version) bool { return v.Generation == generation.Load() }}
		p := newPool(fs, 10, nil)
		v1 := isolated("f")
		idle, busy := lease(t, p, v1, "a"), lease(t, p, v1, "b")
		invoke(t, idle, v1, "a")

		generation.Store(2)
		p.Retire("f")
		synctest.Wait()
		if !idle.(*fake).closed.Load() {
			t.Error("an idle environment of the old version lives on")
		}
		if busy.(*fake).closed.Load() {
			t.Error("a busy environment of the old version was ended")
		}
		invoke(t, busy, v1, "b")
		synctest.Wait()
		if !busy.(*fake).closed.Load() {
			t.Error("an environment of the old version lives on after its invocation")
		}
		v2 := *v1
		v2.Generation = 2
		if env := lease(t, p, &v2, "a"); env == idle || env == busy {
			t.Error("an old environment was leased for the new version")
		}
		if err := p.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestOneTenantsManyDelayAnothersFirstByOneCreation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &fakes{t: t, initTook: 100 * time.Millisecond}
		p := newPool(fs, 1000, func(c *Config) { c.Creators = 1 })
		v := isolated("f")
		ctx, cancel := context.WithCancel(t.Context())
		var flood sync.WaitGroup
		for range 500 {
			flood.Go(func() { p.Lease(ctx, v, "flood", StartOptions{}) })
		}
		synctest.Wait()
		began := time.Now()
		lease(t, p, v, "quiet")
		if waited := time.Since(began); waited > 250*time.Millisecond {
			t.Errorf("the quiet tenant waited %s, more than one creation besides its own", waited)
		}
		cancel()
		flood.Wait()
		time.Sleep(time.Second) // what was being made is made
		if err := p.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	})
}

// A tenant that floods through many functions is still one tenant, and a stock
// that fills up meanwhile does not serve it first.
func TestATenantOfManyFunctionsIsOneTenant(t *testing.T) {
	for _, stock := range []int{0, 4} {
		synctest.Test(t, func(t *testing.T) {
			fs := &fakes{t: t, initTook: 100 * time.Millisecond}
			p := newPool(fs, 1000, func(c *Config) { c.Creators = 1; c.Stock = upTo(stock) })
			ctx, cancel := context.WithCancel(t.Context())
			var flood sync.WaitGroup
			for i := range 500 {
				flood.Go(func() { p.Lease(ctx, isolated(fmt.Sprint("f", i%20)), "flood", StartOptions{}) })
			}
			time.Sleep(time.Second)
			for i := range 20 {
				began := time.Now()
				lease(t, p, isolated(fmt.Sprint("f", i)), alcove.Tenant(fmt.Sprint("quiet", i)))
				if waited := time.Since(began); waited > 200*time.Millisecond {
					t.Errorf("the quiet tenant waited %s, more than one creation besides its own", waited)
				}
			}
			cancel()
			flood.Wait()
			closePool(t, p)
		})
	}
}

func TestWhatIsRefusedSaysByWhichLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &fakes{t: t}
		p := newPool(fs, 2, func(c *Config) { c.Memory = 3 * newEnvironmentMemory })
		refused := func(v *alcove.Version, want alcove.Limit) {
			t.Helper()
			_, err := p.Lease(t.Context(), v, "one more", StartOptions{})
			var e *alcove.Error
			if !errors.As(err, &e) {
				t.Fatalf("Lease = %v, want TooManyRequestsException", err)
			}
			if e.Code != alcove.CodeTooManyRequests || e.Limit != want || e.Reason != alcove.ReasonConcurrency {
				t.Errorf("Lease = %v, limit %q; want TooManyRequestsException by %q", err, e.Limit, want)
			}
		}
		f, g := isolated("f"), isolated("g")
		lease(t, p, f, "a")
		lease(t, p, f, "b")
		refused(f, alcove.LimitTenantEnvironments)
		lease(t, p, g, "c")
		refused(g, alcove.LimitMemory)
		if err := p.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

// Calls that wait have their memory promised, so that they cannot all be
// admitted into the same room.
func TestMemoryIsPromisedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &fakes{t: t, initTook: time.Second}
		p := newPool(fs, 1000, func(c *Config) { c.Memory = 5 * newEnvironmentMemory; c.Creators = 1 })
		var refused atomic.Int64
		for i := range 50 {
			go func() {
				if _, err := p.Lease(t.Context(), isolated("f"), alcove.Tenant(fmt.Sprint(i)), StartOptions{}); err != nil {
					refused.Add(1)
				}
			}()
		}
		synctest.Wait()
		if n := refused.Load(); n != 45 {
			t.Errorf("%d of 50 calls were refused with room for 5", n)
		}
		time.Sleep(time.Minute)
		if err := p.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAFailedInitIsToldToItsCallerAndLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &fakes{t: t, initErr: &environment.InitError{Type: "Runtime.ImportModuleError"}}
		p := newPool(fs, 10, nil)
		_, err := p.Lease(t.Context(), isolated("f"), "a", StartOptions{})
		var ie *environment.InitError
		if !errors.As(err, &ie) {
			t.Fatalf("Lease = %v, want the Init error", err)
		}
		synctest.Wait()
		checkEmpty(t, p)
		if err := p.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

// checkCounts counts again what the pool keeps count of.
func checkCounts(t testing.TB, p *Pool, limit int) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if f := p.functions["f"]; f != nil && (f.tenants > limit || f.tenants < 0) {
		t.Errorf("%d tenant environments, cap %d", f.tenants, limit)
	}
	var promised, waiting, stocked = int64(0), 0, 0
	idle := map[*entry]bool{}
	held := map[string]int64{}
	for _, f := range p.functions {
		for _, g := range f.groups {
			for _, w := range g.waiters {
				promised += w.memory
				if !w.began {
					waiting++
				}
			}
			if p.holders[g.holder.key] != g.holder {
				t.Errorf("holder %q of a group is not the pool's", g.holder.key)
			}
		}
		for _, st := range f.stocks {
			stocked += len(st.waiting)
		}
		for e := range f.idle.all() {
			idle[e] = true
		}
	}
	least := int64(0) // what is about to be made is charged and not listed
	for _, e := range p.entries {
		least += e.memory
		if e.group != nil {
			held[e.group.holder.key] += e.memory
		}
		if e.idle != idle[e] {
			t.Errorf("environment %s is idle: %v, and listed as idle: %v", e.env.ID(), e.idle, idle[e])
		}
	}
	if p.promised != promised || p.queue.waiting != waiting || p.stocked != stocked || p.memory < least {
		t.Errorf("promised %d, %d wait, %d in stock, %d bytes; counted again %d, %d, %d, at least %d",
			p.promised, p.queue.waiting, p.stocked, p.memory, promised, waiting, stocked, least)
	}
	for key, h := range p.holders {
		if h.memory < held[key] {
			t.Errorf("holder %q has %d bytes, counted again at least %d", key, h.memory, held[key])
		}
	}
}

func checkEmpty(t testing.TB, p *Pool) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.entries) != 0 || p.making != 0 || p.stocking != 0 {
		t.Errorf("%d environments, %d creators and %d stockers are left", len(p.entries), p.making, p.stocking)
	}
	if p.memory != 0 || p.promised != 0 || p.existing != 0 || p.staying != 0 || len(p.holders) != 0 || p.queue.waiting != 0 {
		t.Errorf("%d bytes, %d promised, %d holders and %d waiting are left", p.memory, p.promised, len(p.holders), p.queue.waiting)
	}
	for id, f := range p.functions {
		if f.tenants != 0 {
			t.Errorf("function %s still counts %d tenant environments", id, f.tenants)
		}
		for k, g := range f.groups {
			t.Errorf("group %v is left with %d entries and %d waiters", k, g.entries, len(g.waiters))
		}
	}
}

// TestAThousandRandomTenants runs random leases, cancellations, updates and ends
// and checks after each that no environment serves two tenants (the fakes do),
// that the cap holds and, at the end, that every count is back at zero.
func TestAThousandRandomTenants(t *testing.T) {
	for seed := range uint64(5) {
		for _, stock := range []int{0, 4} {
			t.Run(fmt.Sprintf("seed %d, stock %d", seed, stock), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { randomTenants(t, seed, stock) })
			})
		}
	}
}

func randomTenants(t *testing.T, seed uint64, stock int) {
	const limit = 50
	var generation atomic.Int64
	generation.Store(1)
	fs := &fakes{t: t, initTook: 3 * time.Millisecond, current: func(v *alcove.Version) bool { return v.Generation == generation.Load() }}
	p := newPool(fs, limit, func(c *Config) {
		c.TenantIdleMin = 5 * time.Millisecond
		c.KeepAlive = 5 * time.Second
		c.Stock = upTo(stock)
	})
	rng := rand.New(rand.NewPCG(seed, 1))
	var calls sync.WaitGroup
	served, refused := atomic.Int64{}, atomic.Int64{}
	for range 3000 {
		v := isolated("f")
		v.Generation = generation.Load()
		tenant := alcove.Tenant(fmt.Sprint("tenant-", rng.IntN(1000)))
		ctx, cancel := context.WithCancel(t.Context())
		if rng.IntN(10) == 0 {
			time.AfterFunc(time.Duration(rng.IntN(4))*time.Millisecond, cancel)
		}
		calls.Go(func() {
			defer cancel()
			for range 4 {
				l, err := p.Lease(ctx, v, tenant, StartOptions{})
				if err != nil {
					refused.Add(1)
					return
				}
				_, err = l.Environment.Invoke(t.Context(), &alcove.Invocation{Version: v, Tenant: tenant}, environment.InvokeOptions{})
				if err == nil {
					served.Add(1)
					return
				}
			}
		})
		if rng.IntN(3) == 0 {
			time.Sleep(time.Duration(rng.IntN(3)) * time.Millisecond)
		}
		if rng.IntN(20) == 0 { // time for stock
			time.Sleep(30 * time.Millisecond)
		}
		if rng.IntN(200) == 0 {
			generation.Add(1)
			p.Retire("f")
		}
		checkCounts(t, p, limit)
	}
	calls.Wait()
	if served.Load() == 0 || refused.Load() == 0 {
		t.Errorf("served %d and refused %d: the test does not test both", served.Load(), refused.Load())
	}
	time.Sleep(time.Hour) // everything idle expires, stock too
	synctest.Wait()
	checkEmpty(t, p)
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	fromStock := 0
	for _, f := range fs.all() {
		if f.tenant == "" && f.bound.Load() != nil {
			fromStock++
		}
	}
	if fromStock == 0 && stock > 0 {
		t.Errorf("of %d environments none was from stock", fs.count())
	}
}
