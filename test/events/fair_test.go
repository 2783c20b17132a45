package events

import (
	"flag"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/alcove-run/alcove/test/testnode"
)

var backlog = flag.Int("backlog", 1200, "how many events of one tenant wait when another sends one")

// TestABacklogDelaysNobodyElse has one tenant send thousands of events, through two
// functions, more than can run for a long time, and then others one each: theirs run
// while all but a few of the first tenant's wait still. The log has how long it took.
func TestABacklogDelaysNobodyElse(t *testing.T) {
	for _, driver := range drivers {
		t.Run(driver, func(t *testing.T) {
			to := startServices(t)
			n := start(t, driver, "--destinations", to.flag(), "--concurrency", "20", "--tenant-idle-min", "0s")
			var functions []string
			for range 2 {
				f := n.Deploy(t, testnode.Python, testnode.Files{"main.py": "import time\n\ndef handler(event, context):\n    time.sleep(event['sleep'])\n    return context.tenant_id\n"}, testnode.Isolated)
				n.config(t, f, "", 0, fmt.Sprintf(arns, "sqs", "results"), "")
				functions = append(functions, f)
			}
			began := time.Now()
			var senders sync.WaitGroup
			for s := range 16 {
				senders.Go(func() {
					for i := s; i < *backlog; i += 16 {
						if _, err := n.TryEvent(t, functions[i%2], "flood", `{"sleep": 1}`); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			senders.Wait()
			took := time.Since(began)
			waits := func() int {
				return n.queue(t, functions[0]).of("flood").Waiting + n.queue(t, functions[1]).of("flood").Waiting
			}
			if w := waits(); w < *backlog/2 {
				t.Fatalf("only %d of %d wait: nobody is held up", w, *backlog)
			}
			for i := range 5 {
				tenant := fmt.Sprint("other ", i)
				before, began := waits(), time.Now()
				id := n.event(t, functions[0], tenant, `{"sleep": 0}`)
				var m message
				testnode.Eventually(t, "another tenant's event has run", func() bool {
					for _, m = range to.messages() {
						if m.record.RequestContext.RequestID == id {
							return true
						}
					}
					return false
				})
				delay, ran := time.Since(began), before-waits()
				if string(m.record.ResponsePayload) != fmt.Sprintf("%q", tenant) {
					t.Errorf("ran for %s, not for %s", m.record.ResponsePayload, tenant)
				}
				// While its environment was made the others went on, at most 20 a second and
				// on a busy machine for many; a queue in the order of arrival would have had
				// it wait for all of them.
				if ran > *backlog/4 {
					t.Errorf("%d of the first tenant's %d ran before another's single one", ran, before)
				}
				t.Logf("%d events of one tenant wait (sent in %v); another's single event came through in %v, in which %d of the first's ran", before, took.Round(time.Millisecond), delay.Round(time.Millisecond), ran)
			}
			if out, errs, err := n.Alcove(t, "queue", functions[0], "--tenant", "flood", "--purge"); err != nil {
				t.Errorf("purge: %v %s %s", err, out, errs)
			}
			if out, errs, err := n.Alcove(t, "queue", functions[1], "--tenant", "flood", "--purge"); err != nil {
				t.Errorf("purge: %v %s %s", err, out, errs)
			}
			testnode.Eventually(t, "what ran has ended", func() bool { return n.queue(t, functions[0]).Events+n.queue(t, functions[1]).Events == 0 })
		})
	}
}
