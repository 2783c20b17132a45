package e2e

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// TestFewDescriptors runs a node that may open few files: who would take the last
// of them is refused, everybody else is served, connections that nobody uses take
// none from invocations, and no line of a log is lost.
func TestFewDescriptors(t *testing.T) {
	t.Parallel()
	// Of 670, 512 are the node's, 55 callers', 41 runtimes', 3 * 10 connections' in the
	// making, 10 of connections inside, and the rest are four times what an idle
	// environment holds, 5; of 700 they are 512, 58, 43, 30, 10, and four times 10.
	limits := map[string]int{"namespace": 670, "gvisor": 700}
	for _, driver := range drivers {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			limit := limits[driver]
			n, err := launchLimited(limit, t.TempDir(), "--isolation", driver, "--tenant-idle-min", "0s")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := n.stop(); err != nil {
					t.Error(err)
				}
			})
			f := n.deploy(t, python, files{"main.py": whoAmI}, isolated)
			places := []string{"a", "b", "c", "d"}
			release := n.busy(t, f, places...)
			_, err = n.try(t, f, call{tenant: "e"})
			wantThrottle(t, err, types.ThrottleReasonConcurrentInvocationLimitExceeded, "Rate Exceeded.")
			release()
			// More callers than may have a connection: they hang on, in vain.
			address := strings.TrimPrefix(n.url, "http://")
			for range 200 {
				c, err := net.Dial("tcp", address)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
			}
			for i := range 12 { // idle ones make room
				n.run(t, f, call{tenant: fmt.Sprint("t", i)}, nil)
			}
			if have := len(n.environments(t, f)); have > len(places) {
				t.Errorf("%d environments, %d may be", have, len(places))
			}
			open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n.Cmd.Process.Pid))
			if err != nil || len(open) > limit-64 {
				t.Errorf("the node has %d files open, %v", len(open), err)
			}
			if log := n.Log.String(); strings.Contains(log, "too many open files") {
				t.Errorf("the node ran out of descriptors:\n%s", tail(log, 2000))
			}
			n.settled(t, "/aws/lambda/"+f, len(places)+12)
		})
	}
}
