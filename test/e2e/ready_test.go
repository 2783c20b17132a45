package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestReadiness asks a node what a load balancer asks while it ends: an invocation
// is under way and somebody follows the log. The invocation has its answer, the
// follower its end at once.
func TestReadiness(t *testing.T) {
	n := start(t, "--isolation", "namespace")
	f := n.deploy(t, python, files{"main.py": `
import time
def handler(event, context):
    print("began", context.tenant_id, flush=True)
    time.sleep(event)
`}, isolated, timeout(60))
	expect := func(path string, want int) {
		t.Helper()
		eventually(t, fmt.Sprintf("GET %s answers %d", path, want), func() bool {
			resp, err := http.Get(n.url + path)
			if err != nil {
				return false
			}
			defer resp.Body.Close()
			return resp.StatusCode == want
		})
	}
	expect("/readyz", 200)
	n.run(t, f, call{tenant: "a", payload: "0"}, nil)
	follow := exec.CommandContext(t.Context(), program, "logs", f, "--follow", "--endpoint", n.url)
	follow.Env = cleanEnv("AWS_ACCESS_KEY_ID="+n.key.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+n.key.SecretAccessKey)
	out, err := follow.StdoutPipe()
	if err == nil {
		err = follow.Start()
	}
	if err == nil {
		_, err = out.Read(make([]byte, 1)) // it has begun
	}
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan *invocation, 1)
	go func() {
		inv, err := n.try(t, f, call{tenant: "busy", payload: "50"})
		if err != nil {
			t.Error(err)
		}
		answered <- inv
	}()
	n.wrote(t, f, "began busy")
	before := n.traces()
	var busy []int
	eventually(t, "the invocation runs", func() bool {
		for _, e := range n.environments(t, f) {
			if e.Tenant == "busy" && e.State == "busy" {
				busy = n.inside(t, e.ID)
			}
		}
		return len(busy) > 0
	})

	if err := n.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	expect("/readyz", 503)
	expect("/healthz", 200)
	expect("/2015-03-31/functions", 503)
	if _, err := n.try(t, f, call{tenant: "a", payload: "0"}); err == nil || !strings.Contains(err.Error(), "The node is stopping") {
		t.Errorf("an invocation of a node that ends: %v", err)
	}
	_, _ = io.Copy(io.Discard, out)
	_ = follow.Wait()
	expect("/readyz", 503) // the follower's end did not wait for the node's
	for _, pid := range busy {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	if inv := <-answered; inv == nil || !strings.Contains(string(inv.Payload), "Runtime.ExitError") {
		t.Errorf("the invocation under way: %+v", inv)
	}
	<-n.Ended
	if n.End != nil {
		t.Errorf("ended with %v\n%s", n.End, &n.Log)
	}
	if left := n.left(before); len(left) > 0 {
		t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
	}
}
