package e2e

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
)

// unbound lists those of a function's environments that wait for a tenant, ready.
func (n *node) unbound(t *testing.T, function string) []environment {
	t.Helper()
	var ready []environment
	for _, e := range n.all(t, function) {
		if !e.Bound && e.State == "idle" {
			ready = append(ready, e)
		}
	}
	return ready
}

// TestStock checks that environments initialised before their tenant was known
// are bound for life by their first invocation, and that none comes back.
func TestStock(t *testing.T) {
	onEach(t, func(t *testing.T, n *node) {
		f := n.deploy(t, python, files{"main.py": whoAmI}, isolated)
		n.run(t, f, call{tenant: "first"}, nil)
		bound := map[string]string{} // environment -> tenant
		for i := range 6 {
			eventually(t, "an environment waits for a tenant", func() bool { return len(n.unbound(t, f)) > 0 })
			tenant := fmt.Sprintf("t%d", i)
			var got identity
			inv := n.run(t, f, call{tenant: tenant}, &got)
			if inv.start != "stock" {
				t.Errorf("tenant %s, with stock at hand: a %s start", tenant, inv.start)
			}
			if got.Count != 1 || got.Tenant != tenant || len(got.Seen) != 1 {
				t.Errorf("tenant %s found %+v", tenant, got)
			}
		}
		for _, e := range n.all(t, f) {
			if e.Bound {
				bound[e.ID] = e.Tenant
			} else if e.Invocations != 0 || e.Tenant != "" {
				t.Errorf("in stock, though it ran: %+v", e)
			}
		}
		if len(bound) != 7 {
			t.Errorf("%d environments are bound, want one for each of 7 tenants", len(bound))
		}
		for i := range 6 {
			if inv := n.run(t, f, call{tenant: fmt.Sprintf("t%d", i)}, nil); inv.start != "warm" {
				t.Errorf("tenant t%d again: a %s start", i, inv.start)
			}
		}
		for _, e := range n.all(t, f) {
			if tenant, was := bound[e.ID]; was && (!e.Bound || e.Tenant != tenant) {
				t.Errorf("bound to %s, and now %+v", tenant, e)
			}
		}
	})
}

// TestStockIsTakenOnce has many new tenants reach for the same stock at once.
func TestStockIsTakenOnce(t *testing.T) {
	n := on(t, "namespace")
	f := n.deploy(t, python, files{"main.py": whoAmI}, isolated)
	m := &tenants{of: map[string]string{}}
	for round := range 8 {
		if round > 0 {
			eventually(t, "an environment waits for a tenant", func() bool { return len(n.unbound(t, f)) > 0 })
		}
		var g errgroup.Group
		for i := range 6 {
			g.Go(func() error {
				tenant := fmt.Sprintf("r%d t%d", round, i)
				inv, err := n.try(t, f, call{tenant: tenant})
				if err != nil {
					return err
				}
				var got identity
				if err := decode(inv, &got); err != nil {
					return err
				}
				m.add(t, tenant, got)
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	if len(m.of) != 48 {
		t.Errorf("%d environments for 48 tenants", len(m.of))
	}
}

// TestStockFollowsTheCode checks that no environment of old code waits for
// tenants of the new one.
func TestStockFollowsTheCode(t *testing.T) {
	n := on(t, "namespace")
	f := n.deploy(t, python, files{"main.py": answers1}, isolated)
	for i := range 6 {
		n.run(t, f, call{tenant: fmt.Sprint("warm-up ", i)}, nil)
		eventually(t, "an environment waits for a tenant", func() bool { return len(n.unbound(t, f)) > 0 })
		want := []string{"2", "1"}[i%2]
		n.change(t, f, map[string]string{"1": answers1, "2": answers2}[want])
		if inv := n.run(t, f, call{tenant: fmt.Sprint("new ", i)}, nil); string(inv.Payload) != want {
			t.Errorf("change %d: a new tenant was answered %s, by old code", i, inv.Payload)
		}
	}
}

// TestStockOfAFunctionIsSet sets a minimum with the command line: it is there
// before any tenant comes, and after the node was killed and started again.
func TestStockOfAFunctionIsSet(t *testing.T) {
	n := start(t, "--isolation", "namespace")
	f := n.deploy(t, python, files{"main.py": whoAmI}, isolated)
	must := func(args ...string) string {
		t.Helper()
		out, errs, err := n.alcove(t, args...)
		if err != nil {
			t.Fatalf("alcove %s: %v\n%s%s", strings.Join(args, " "), err, out, errs)
		}
		return out
	}
	if out := must("stock", f); !strings.Contains(out, "0 to 16 environments") || !strings.Contains(out, "the node's") {
		t.Errorf("stock printed %q", out)
	}
	if out := must("stock", f, "--min", "3"); !strings.Contains(out, "3 to 16 environments") {
		t.Errorf("stock --min printed %q", out)
	}
	three := func() {
		t.Helper()
		eventually(t, "three environments wait for tenants", func() bool { return len(n.unbound(t, f)) == 3 })
	}
	three()
	if inv := n.run(t, f, call{tenant: "first"}, nil); inv.start != "stock" {
		t.Errorf("the first tenant ever: a %s start", inv.start)
	}
	must("stock", f, "--max", "3")
	n.kill(t)
	n = startIn(t, n.data, "--isolation", "namespace")
	three()
	if out := must("stock", f); !strings.Contains(out, "3 to 3 environments") {
		t.Errorf("after a restart, stock printed %q", out)
	}
	if _, errs, err := n.alcove(t, "stock", f, "--min", "4"); err == nil || !strings.Contains(errs, "less than 4") {
		t.Errorf("a minimum above the maximum: %v %q", err, errs)
	}
	must("stock", f, "--unset")
	eventually(t, "what nobody wants is gone", func() bool { return len(n.unbound(t, f)) == 0 })
}
