package pool

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/alcove-run/alcove"
)

// A tenant that keeps its environments to itself, as one does whose runtime
// answers and stays away, has its share and no more: the next tenant gets in.
func TestOneTenantCannotFillTheCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &fakes{t: t}
		p := newPool(fs, 10, func(c *Config) { c.TenantShare = 0.5 })
		v := isolated("f")
		var own []Environment
		for range 5 {
			own = append(own, lease(t, p, v, "greedy"))
		}
		_, err := p.Lease(t.Context(), v, "greedy", StartOptions{})
		if e, ok := errors.AsType[*alcove.Error](err); !ok || e.Code != alcove.CodeTooManyRequests || e.Reason != alcove.ReasonTenantEnvironments {
			t.Fatalf("the tenant's sixth environment of ten: %v", err)
		}
		// The share is of the function, not of one of its versions.
		other := *v
		other.Number = "1"
		if _, err := p.Lease(t.Context(), &other, "greedy", StartOptions{}); err == nil {
			t.Fatal("another version of the function gave the tenant more than its share")
		}
		for _, tenant := range []alcove.Tenant{"a", "b", "c", "d", "e"} {
			invoke(t, lease(t, p, v, tenant), v, tenant)
		}
		// What ends is given back to the tenant, whether it was evicted or not.
		for _, env := range own {
			env.Close()
		}
		synctest.Wait()
		for range 5 {
			own = append(own, lease(t, p, v, "greedy"))
		}
		// Idle ones of one version make room for another, at once.
		invoke(t, own[5], v, "greedy")
		lease(t, p, &other, "greedy")
		synctest.Wait()
		if !own[5].(*fake).closed.Load() {
			t.Error("the tenant's idle environment of another version is still there")
		}
		if err := p.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if f := p.functions["f"]; f != nil && len(f.byTenant) > 0 {
			t.Errorf("after the end the pool still counts %v", f.byTenant)
		}
	})
}
