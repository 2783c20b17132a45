package e2e

import (
	"fmt"
	"syscall"
	"testing"
)

// TestKilledBeforeItIsLeased kills environments that wait for work, a tenant's own
// and those in stock, and invokes at once: the callers notice nothing.
func TestKilledBeforeItIsLeased(t *testing.T) {
	onEach(t, func(t *testing.T, n *node) {
		f := n.deploy(t, python, files{"main.py": whoAmI}, isolated)
		kill := func(id string) {
			for _, pid := range n.inside(t, id) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		for i := range 6 {
			var before, after identity
			n.run(t, f, call{tenant: "warm"}, &before)
			for _, e := range n.environments(t, f) {
				if e.Tenant == "warm" {
					kill(e.ID)
				}
			}
			n.run(t, f, call{tenant: "warm"}, &after)
			if after.Me == before.Me || after.Count != 1 {
				t.Errorf("the environment was killed and answers: %+v", after)
			}
			eventually(t, "an environment waits for a tenant", func() bool { return len(n.unbound(t, f)) > 0 })
			for _, e := range n.unbound(t, f) {
				kill(e.ID)
			}
			n.run(t, f, call{tenant: fmt.Sprint("new", i)}, nil)
		}
	})
}
