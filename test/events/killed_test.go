package events

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/alcove-run/alcove/test/testnode"
)

var underWay = flag.Int("events", 500, "how many events are under way when the node is killed")

const (
	// atOnce is --concurrency: how many runs a kill can cut off.
	atOnce = 16
	// sending is how many results a kill can cut off on their way.
	sending = 64
)

// load sends events of ten tenants and knows which were accepted.
type load struct {
	n        node
	function string
	padding  string
	next     atomic.Int64
	accepted sync.Map // sent by id
	count    atomic.Int64
}

type sent struct {
	N      int    `json:"n"`
	Tenant string `json:"tenant"`
	ID     string `json:"id"`
}

// send sends so many events, sixteen at a time, until stop is closed.
func (l *load) send(t *testing.T, many int, stop <-chan struct{}) (done func()) {
	var senders sync.WaitGroup
	most := l.next.Load() + int64(many)
	for range 16 {
		senders.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				i := int(l.next.Add(1))
				if int64(i) > most {
					return
				}
				one := sent{N: i, Tenant: fmt.Sprint("t", i%10)}
				id, err := l.n.TryEvent(t, l.function, one.Tenant, fmt.Sprintf(`{"n": %d, "fail": %v, "padding": %q}`, i, i%7 == 0, l.padding))
				if err == nil {
					one.ID = id
					l.accepted.Store(id, one)
					l.count.Add(1)
				}
			}
		})
	}
	return senders.Wait
}

// TestKilledAtEveryStep kills the node with SIGKILL in each step of an event's life, with
// many under way: while they are accepted, right after one was, while the next process
// reads them, while they run, when a destination has a result and has not answered, when
// it just has, and while their records are moved. What was accepted runs and arrives, for
// its tenant; what was run or arrives twice was under way, and is counted.
func TestKilledAtEveryStep(t *testing.T) {
	for _, driver := range drivers {
		t.Run(driver, func(t *testing.T) { killedAtEveryStep(t, driver) })
	}
}

func killedAtEveryStep(t *testing.T, driver string) {
	to := startServices(t)
	n := start(t, driver, "--destinations", to.flag(), "--concurrency", strconv.Itoa(atOnce), "--tenant-idle-min", "0s")
	f := n.Deploy(t, testnode.Python, testnode.Files{"main.py": `
def handler(event, context):
    if event["fail"]:
        raise ValueError(f'{context.tenant_id} {event["n"]} {context.aws_request_id}')
    return {"tenant": context.tenant_id, "n": event["n"], "id": context.aws_request_id}
`}, testnode.Isolated)
	n.config(t, f, "", 0, fmt.Sprintf(arns, "sqs", "good"), fmt.Sprintf(arns, "sqs", "bad"))
	// So long that segments fill and are written anew when there are ten thousand.
	l := &load{n: n, function: f, padding: strings.Repeat("x", 20<<10)}
	kills, cutOff := 0, 0
	kill := func() {
		n.Kill(t)
		kills++
	}
	again := func() {
		n = n.again(t)
		l.n = n
		if m := regexp.MustCompile(`runsRepeated=(\d+)`).FindStringSubmatch(n.Log.String()); m != nil {
			k, _ := strconv.Atoi(m[1])
			cutOff += k
		}
	}
	arrived := func(many int) func() bool {
		from := len(to.messages())
		return func() bool { return len(to.messages()) >= from+many || n.queue(t, f).Events == 0 }
	}
	// held has the next message wait, as long as the node is there, and says that it does.
	held := func(after bool) <-chan struct{} {
		there, node := make(chan struct{}, 1), n
		to.mu.Lock()
		defer to.mu.Unlock()
		to.hold = func(message) {
			select {
			case there <- struct{}{}:
			default:
			}
			if !after {
				<-node.Ended
			}
		}
		return there
	}
	letGo := func() {
		to.mu.Lock()
		defer to.mu.Unlock()
		to.hold = nil
	}

	// While they are accepted. Most wait while the others are dealt with.
	held(false)
	stop := make(chan struct{})
	wait := l.send(t, *underWay, stop)
	testnode.Eventually(t, "half is accepted", func() bool { return l.count.Load() >= int64(*underWay/2) })
	kill()
	close(stop)
	wait()
	letGo()
	again()
	held(false)
	l.send(t, *underWay-int(l.count.Load()), nil)()
	t.Logf("%d events are accepted, %d wait", l.count.Load(), n.queue(t, f).Events)

	// Right after one was accepted.
	l.send(t, 1, nil)()
	kill()

	// While the next process reads them: some time from its start to just after it is ready.
	for range 3 {
		for range 2 {
			cmd := n.Command()
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond)
			_ = cmd.Process.Signal(syscall.SIGKILL)
			_ = cmd.Wait()
			kills++
		}
	}
	letGo()
	again()

	// While they run, and their results are on the way.
	for range 2 {
		testnode.Eventually(t, "some have run", arrived(*underWay/10))
		kill()
		again()
	}
	// When a destination has a result and has not answered; when it has.
	for _, after := range []bool{false, true} {
		there := held(after)
		select {
		case <-there:
		case <-time.After(testnode.Patience):
			t.Fatal("no result is on its way")
		}
		kill()
		letGo()
		again()
	}
	for deadline := time.Now().Add(10 * testnode.Patience); n.queue(t, f).Events > 0; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("of %d events these wait still: %+v", l.count.Load(), n.queue(t, f))
		}
	}

	got, counted := map[string]int{}, 0
	for _, m := range to.messages() {
		r := m.record
		v, ok := l.accepted.Load(r.RequestContext.RequestID)
		if !ok {
			continue // it was kept, and the node killed before it could say so
		}
		want := v.(sent)
		var ran sent
		if m.target == "bad" {
			var e struct{ ErrorMessage string }
			_ = json.Unmarshal(r.ResponsePayload, &e)
			fmt.Sscanf(e.ErrorMessage, "%s %d %s", &ran.Tenant, &ran.N, &ran.ID)
		} else if err := json.Unmarshal(r.ResponsePayload, &ran); err != nil {
			t.Error(err)
		}
		if ran != want || (m.target == "bad") != (want.N%7 == 0) {
			t.Errorf("for %s ran %s, sent was %+v", m.target, r.ResponsePayload, want)
		}
		if got[want.ID]++; got[want.ID] == 1 && r.RequestContext.ApproximateInvokeCount > 1 {
			counted++
		}
	}
	lost, twice := 0, 0
	l.accepted.Range(func(id, v any) bool {
		if got[id.(string)] == 0 {
			lost++
			t.Errorf("%+v was accepted and is lost", v)
		}
		twice += max(0, got[id.(string)]-1)
		return lost < 10
	})
	if twice > kills*(atOnce+sending) {
		t.Errorf("%d results came twice in %d kills", twice, kills)
	}
	if counted > cutOff {
		t.Errorf("%d events ran more than once, and the node tells of %d runs that were cut off", counted, cutOff)
	}
	t.Logf("%s: %d events accepted, %d kills: %d lost, %d runs repeated of %d that were cut off and counted, %d results delivered twice", driver, l.count.Load(), kills, lost, counted, cutOff, twice)
}
