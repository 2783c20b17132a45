package pool

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alcove-run/alcove"
)

// handedBack begins to lease for an invocation that env has given back.
func handedBack(t *testing.T, p *Pool, v *alcove.Version, tenant alcove.Tenant, env Environment) <-chan leased {
	t.Helper()
	out := make(chan leased, 1)
	go func() {
		l, err := p.Lease(t.Context(), v, tenant, StartOptions{HandedBack: env})
		out <- leased{l, err}
	}()
	synctest.Wait()
	return out
}

func throttled(err error) bool {
	e, ok := errors.AsType[*alcove.Error](err)
	return ok && e.Code == alcove.CodeTooManyRequests
}

// A tenant that may have one environment and calls one at a time waits for it
// while its runtime is late, and is not told that it calls too often.
func TestLateRuntimeIsWaitedForAtTheShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &fakes{t: t}
		p := newPool(fs, 2, func(c *Config) { c.TenantShare = 0.5 })
		defer p.Close(t.Context())
		v := isolated("f")
		env := lease(t, p, v, "a")
		next := handedBack(t, p, v, "a", env)
		select {
		case l := <-next:
			t.Fatalf("while its environment is away: %+v", l)
		default:
		}
		// Nobody else of the tenant waits for it: they call at the same time.
		if _, err := p.Lease(t.Context(), v, "a", StartOptions{}); !throttled(err) {
			t.Errorf("another invocation at the same time: %v", err)
		}
		// Nor does the tenant have more than its share meanwhile.
		other := lease(t, p, v, "b")
		if n := p.functions["f"].byTenant["a"]; n != 1 {
			t.Errorf("the pool counts %d environments of the tenant", n)
		}
		env.(*fake).hooks.OnFree()
		if l := <-next; l.err != nil || l.lease.Environment != env {
			t.Errorf("when its environment is back: %+v", l)
		}
		invoke(t, env, v, "a")
		invoke(t, other, v, "b")
		if fs.count() != 2 {
			t.Errorf("%d environments were made", fs.count())
		}
	})
}

// If the runtime stays away, its environment ends and the invocation has another.
func TestRuntimeThatStaysAwayIsReplacedAtTheShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &fakes{t: t, endTook: time.Second}
		p := newPool(fs, 2, func(c *Config) { c.TenantShare = 0.5 })
		v := isolated("f")
		env := lease(t, p, v, "a")
		next := handedBack(t, p, v, "a", env)
		env.Close()
		l := <-next
		if l.err != nil || l.lease.Environment == env {
			t.Fatalf("when its environment has ended: %+v", l)
		}
		invoke(t, l.lease.Environment, v, "a")
		if fs.most() != 1 {
			t.Errorf("there were %d environments at once", fs.most())
		}
		if err := p.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if f := p.functions["f"]; f != nil && len(f.byTenant) > 0 {
			t.Errorf("after the end the pool still counts %v", f.byTenant)
		}
	})
}

// Who waits so is let go by its own context and by the end of the node, and then
// nothing is counted for it.
func TestWaitForALateRuntimeEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &fakes{t: t}
		p := newPool(fs, 2, func(c *Config) { c.TenantShare = 0.5 })
		v := isolated("f")
		env := lease(t, p, v, "a")
		next := handedBack(t, p, v, "a", env)
		if err := p.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if l := <-next; l.err == nil || l.err.Error() != errShuttingDown().Error() {
			t.Errorf("at the end of the node: %+v", l)
		}
		if len(p.functions) > 0 || len(p.holders) > 0 {
			t.Errorf("the pool still knows %v, %v", p.functions, p.holders)
		}
		// What has ended is waited for by nobody.
		if _, err := p.Lease(t.Context(), v, "a", StartOptions{HandedBack: env}); err == nil {
			t.Error("a lease after the end")
		}
	})
}
