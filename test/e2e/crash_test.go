package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// ownEach runs a test on a node of its own of every driver.
func ownEach(t *testing.T, test func(t *testing.T, n *node)) {
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) { test(t, start(t, "--isolation", d)) })
	}
}

// TestStop checks that SIGTERM lets an invocation finish, ends with status 0 and
// leaves nothing: no process, mount or cgroup.
func TestStop(t *testing.T) {
	ownEach(t, func(t *testing.T, n *node) {
		f := n.deploy(t, python, files{"main.py": whoAmI}, isolated)
		n.run(t, f, call{tenant: "idle"}, nil)
		release := n.busy(t, f, "busy")
		before := n.traces()
		if len(before.processes) == 0 || len(before.cgroups) == 0 {
			t.Fatalf("the node runs a function, and this finds %d processes and %d cgroups of it", len(before.processes), len(before.cgroups))
		}
		if err := n.stop(); err != nil {
			t.Error(err)
		}
		release() // its answer came before the end
		if left := n.left(before); len(left) > 0 {
			t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
		}
	})
}

// TestInterrupt is TestStop for Ctrl-C.
func TestInterrupt(t *testing.T) {
	n := start(t, "--isolation", "namespace")
	n.run(t, n.deploy(t, python, files{"main.py": whoAmI}), call{}, nil)
	before := n.traces()
	if err := n.Cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	<-n.Ended
	if n.End != nil {
		t.Errorf("ended with %v", n.End)
	}
	if left := n.left(before); len(left) > 0 {
		t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
	}
}

// TestKilledNode kills the node in the middle of invocations and starts it again:
// functions are there, and in the end nothing of its sandboxes is.
func TestKilledNode(t *testing.T) {
	ownEach(t, func(t *testing.T, n *node) {
		f := n.deploy(t, python, files{"main.py": whoAmI}, isolated)
		// A daemon that would outlive its parent if it could.
		evil := n.deploy(t, python, files{"main.py": `
import os, time
def handler(event, context):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        os._exit(0)
    return os.getpid()
`}, isolated)
		n.run(t, f, call{tenant: "idle"}, nil)
		n.run(t, evil, call{tenant: "x"}, nil)
		go n.try(t, f, call{tenant: "busy", payload: `{"seconds": 5}`}) // nobody answers
		eventually(t, "an invocation runs", func() bool {
			for _, e := range n.environments(t, f) {
				if e.State == "busy" {
					return true
				}
			}
			return false
		})
		ids := []string{}
		for _, e := range n.all(t, "") {
			ids = append(ids, e.ID)
		}
		before := n.traces()
		n.kill(t)

		again := startIn(t, n.data, n.flags...)
		// Nothing of them runs when it is ready; a little later nothing is there.
		eventually(t, "nothing to be left of the killed node's environments", func() bool {
			if len(before.alive()) > 0 {
				return false
			}
			for _, where := range append(again.cgroups(), append(again.mounts(), paths(t, again.data)...)...) {
				for _, id := range ids {
					if strings.Contains(where, id) {
						return false
					}
				}
			}
			return true
		})
		for _, name := range []string{f, evil} {
			got, err := again.lambda.GetFunction(t.Context(), &lambda.GetFunctionInput{FunctionName: &name})
			if err != nil || got.Configuration.State != types.StateActive {
				t.Errorf("%s after the restart: %+v, %v", name, got, err)
			}
		}
		var got identity
		if inv := again.run(t, f, call{tenant: "idle"}, &got); got.Count != 1 || inv.start == "warm" {
			t.Errorf("after the restart: %+v, %s start", got, inv.start)
		}
	})
}

// paths lists what is below the data directory where sandboxes have their files.
func paths(t *testing.T, data string) []string {
	t.Helper()
	var all []string
	for _, dir := range []string{"run", "sandbox"} {
		err := filepath.WalkDir(filepath.Join(data, dir), func(path string, _ os.DirEntry, err error) error {
			all = append(all, path)
			if os.IsNotExist(err) { // removed meanwhile
				return nil
			}
			return err
		})
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	return all
}

// TestKilledWhileCreating kills the node while functions are created: every one
// that was acknowledged is there afterwards, becomes active, and runs.
func TestKilledWhileCreating(t *testing.T) {
	n := start(t, "--isolation", "namespace")
	acknowledged := make(chan string, 1000)
	done := make(chan struct{})
	code := files{"main.py": answers1}.Zip(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		defer close(done)
		for i := range cap(acknowledged) {
			name := fmt.Sprintf("f%d", i)
			_, err := n.lambda.CreateFunction(ctx, &lambda.CreateFunctionInput{FunctionName: &name, Runtime: python, Handler: aws.String("main.handler"),
				Role: aws.String(role), Code: &types.FunctionCode{ZipFile: code}})
			if err != nil {
				return
			}
			acknowledged <- name
		}
	}()
	eventually(t, "some functions are acknowledged", func() bool { return len(acknowledged) >= 10 })
	n.kill(t)
	<-done
	close(acknowledged)

	again := startIn(t, n.data, n.flags...)
	last := ""
	for name := range acknowledged {
		again.active(t, name)
		last = name
	}
	again.run(t, last, call{}, nil)
	pages := lambda.NewListFunctionsPaginator(again.lambda, &lambda.ListFunctionsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range page.Functions { // one more than was acknowledged, perhaps, but whole
			again.run(t, aws.ToString(f.FunctionName), call{}, nil)
		}
	}
}

// TestKilledSandbox kills what runs a function in the middle of an invocation:
// the caller is told at once, and the next invocation is served. The function
// has failed, unless what died was visibly the platform's (gVisor's file server,
// without its kernel).
func TestKilledSandbox(t *testing.T) {
	ownEach(t, func(t *testing.T, n *node) {
		f := n.deploy(t, python, files{"main.py": strings.Replace(whoAmI,
			"    time.sleep", "    if event: print('began', flush=True)\n    time.sleep", 1)}, isolated, timeout(120))
		n.run(t, f, call{tenant: "other"}, nil)
		n.run(t, f, call{tenant: "a"}, nil)
		answered := make(chan *invocation, 1)
		go func() {
			inv, err := n.try(t, f, call{tenant: "a", payload: `{"seconds": 100}`})
			if err != nil {
				wantError(t, err, 500, "ServiceException", "")
			}
			answered <- inv
		}()
		n.wrote(t, f, "began")
		id := ""
		eventually(t, "the invocation runs", func() bool {
			for _, e := range n.environments(t, f) {
				if e.State == "busy" {
					id = e.ID
				}
			}
			return id != ""
		})
		killed := 0
		for _, pid := range n.inside(t, id) {
			if syscall.Kill(pid, syscall.SIGKILL) == nil {
				killed++
			}
		}
		if killed == 0 {
			t.Fatal("found no process of the sandbox")
		}
		inv := <-answered // long before the function would have ended
		if inv != nil && (aws.ToString(inv.FunctionError) != "Unhandled" || !strings.Contains(string(inv.Payload), "Runtime.ExitError")) {
			t.Errorf("answered %s, FunctionError %v", inv.Payload, inv.FunctionError)
		}
		var got identity
		if n.run(t, f, call{tenant: "a"}, &got); got.Count != 1 {
			t.Errorf("the next invocation found %+v", got)
		}
		if inv := n.run(t, f, call{tenant: "other"}, &got); got.Count != 2 || inv.start != "warm" {
			t.Errorf("the other tenant found %+v, %s start", got, inv.start)
		}
	})
}

// TestOneNodePerDirectory checks that two nodes do not share a directory.
func TestOneNodePerDirectory(t *testing.T) {
	n := start(t, "--isolation", "namespace")
	cmd := exec.CommandContext(t.Context(), program, "serve", "--listen", "127.0.0.1:0", "--data", n.data, "--isolation", "namespace")
	cmd.Env = cleanEnv()
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "another node uses it") {
		t.Errorf("a second node on the same directory: %v\n%s", err, out)
	}
	n.run(t, n.deploy(t, python, files{"main.py": answers1}), call{}, nil)
}

// TestReadyLine checks what a script that starts a node relies on.
func TestReadyLine(t *testing.T) {
	n := start(t, "--isolation", "namespace")
	if !strings.HasPrefix(n.url, "http://127.0.0.1:") || strings.HasSuffix(n.url, ":0") {
		t.Errorf("ready on %q", n.url)
	}
	info, err := os.Stat(filepath.Join(n.data, "root-key.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the root key: %v, %v", info, err)
	}
	if info, err := os.Stat(n.data); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the data directory: %v, %v", info, err)
	}
	if out := n.Out.String(); strings.Count(out, n.key.SecretAccessKey) != 1 {
		t.Errorf("at the first start, the key is shown %d times", strings.Count(out, n.key.SecretAccessKey))
	}
	if err := n.stop(); err != nil {
		t.Error(err)
	}
	again := startIn(t, n.data, n.flags...)
	if again.key != n.key || strings.Contains(again.Out.String()+again.Log.String(), n.key.SecretAccessKey) {
		t.Errorf("at the second start, the key must be the same and not shown:\n%s", again.Out.String())
	}
}

// TestFrozenAgainAndAgain lets an environment be frozen many times, and then need
// what it did not need before: memory, files, modules, threads.
func TestFrozenAgainAndAgain(t *testing.T) {
	onEach(t, func(t *testing.T, n *node) {
		f := n.deploy(t, python, files{"main.py": `
import threading
kept = []
def handler(event, context):
    kept.append(bytearray(event['n'] * 100000))
    if event['n'] % 5 == 0:
        import json.tool, decimal, email.message, subprocess
        kept.append(subprocess.run(['/bin/sh', '-c', 'echo $PPID'], capture_output=True).stdout)
        t = threading.Thread(target=lambda: kept.append(open(__file__).read()))
        t.start()
        t.join()
    return len(kept)
`}, isolated, memory(256))
		for i := 1; i <= 15; i++ {
			if inv := n.run(t, f, call{tenant: "a", payload: fmt.Sprintf(`{"n": %d}`, i)}, nil); inv.start != "warm" && i > 1 {
				t.Errorf("invocation %d: a %s start", i, inv.start)
			}
			eventually(t, "the environment is frozen", func() bool {
				envs := n.environments(t, f)
				return len(envs) == 1 && envs[0].Frozen
			})
		}
	})
}
