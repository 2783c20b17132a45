package e2e

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
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

// TestPartKilledMidInvocation kills one process of a busy sandbox at a time, each
// kind there is: the caller has the same answer every time.
func TestPartKilledMidInvocation(t *testing.T) {
	onEach(t, func(t *testing.T, n *node) {
		f := n.deploy(t, python, files{"main.py": `
import os
def handler(event, context):
    print("began", context.tenant_id, flush=True)
    while True: os.getppid()
`}, isolated, timeout(40))
		hit := map[string]bool{}
		for len(hit) < 10 {
			tenant := fmt.Sprint("t", len(hit))
			done := make(chan *invocation, 1)
			go func() {
				inv, err := n.try(t, f, call{tenant: tenant})
				if err != nil {
					t.Errorf("%s: %v", tenant, err)
				}
				done <- inv
			}()
			var id string
			eventually(t, "the invocation runs", func() bool {
				for _, e := range n.environments(t, f) {
					if e.Tenant == tenant && e.State == "busy" {
						id = e.ID
					}
				}
				return id != ""
			})
			n.wrote(t, f, "began "+tenant)
			pids := n.inside(t, id)
			slices.Sort(pids)
			if len(hit) >= len(pids) {
				for _, pid := range pids {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
				<-done
				break
			}
			// Some parts are idle ones that nothing depends on, and a gofer is missed
			// late: then the next goes too, until all are gone.
			var inv *invocation
			for k := range pids {
				_ = syscall.Kill(pids[(len(hit)+k)%len(pids)], syscall.SIGKILL)
				select {
				case inv = <-done:
				case <-time.After(time.Second):
					continue
				}
				break
			}
			if inv == nil {
				inv = <-done
			}
			if inv == nil {
				return // which has been said
			}
			if want := "signal: killed"; !strings.Contains(string(inv.Payload), want) || !strings.Contains(string(inv.Payload), "Runtime.ExitError") {
				t.Errorf("part %d of %d: %s", len(hit), len(pids), inv.Payload)
			}
			hit[tenant] = true
		}
	})
}

// wrote waits until a function has written text to its log. One that has been
// given its event and has not read it yet would, killed, begin again elsewhere.
func (n *node) wrote(t *testing.T, function, text string) {
	t.Helper()
	eventually(t, "the function runs", func() bool {
		out, err := n.logs.FilterLogEvents(t.Context(), &cloudwatchlogs.FilterLogEventsInput{
			LogGroupName: aws.String("/aws/lambda/" + function), FilterPattern: aws.String(`"` + text + `"`)})
		return err == nil && len(out.Events) > 0
	})
}
