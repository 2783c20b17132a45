package e2e

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove/test/testnode"
)

// TestCommandLine goes through what a newcomer types.
func TestCommandLine(t *testing.T) {
	onEach(t, func(t *testing.T, n *node) {
		name := name(t)
		dir := t.TempDir()
		write := func(answer string) {
			t.Helper()
			code := "def handler(event, context):\n print('for', context.tenant_id)\n if event.get('fail'): raise Exception('as told')\n return " + answer + "\n"
			if err := os.WriteFile(filepath.Join(dir, "main.py"), []byte(code), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		must := func(args ...string) (string, string) {
			t.Helper()
			out, errs, err := n.alcove(t, args...)
			if err != nil {
				t.Fatalf("alcove %s: %v\n%s%s", strings.Join(args, " "), err, out, errs)
			}
			return out, errs
		}
		t.Cleanup(func() { n.delete(context.Background(), name) })
		write("'one'")
		if out, _ := must("deploy", dir, "--name", name, "--tenant-isolation"); !strings.Contains(out, ":function:"+name) {
			t.Errorf("deploy printed %q", out)
		}
		out, errs := must("invoke", name, "--tenant", "blue", "--payload", `{"a": 1}`)
		if strings.TrimSpace(out) != `"one"` || !strings.Contains(errs, "for blue") || !strings.Contains(errs, "REPORT RequestId") {
			t.Errorf("invoke printed %q and %q", out, errs)
		}
		write("'two'")
		must("deploy", dir, "--name", name, "--tenant-isolation")
		if out, errs := must("invoke", name, "--tenant", "blue"); strings.TrimSpace(out) != `"two"` {
			t.Errorf("after another deploy, invoke printed %q %q", out, errs)
		}
		if out, errs := must("invoke", name, "--tenant", "blue"); !strings.Contains(errs, "warm") {
			t.Errorf("invoke does not say how the environment was found: %q %q", out, errs)
		}
		if out, errs, err := n.alcove(t, "invoke", name, "--tenant", "blue", "--payload", `{"fail": true}`); err == nil || !strings.Contains(out, "as told") {
			t.Errorf("a function that fails: %v, %q %q", err, out, errs)
		}
		if out, errs, err := n.alcove(t, "invoke", name); err == nil || !strings.Contains(errs, "Add a valid tenant ID") {
			t.Errorf("without a tenant: %v, %q %q", err, out, errs)
		}
		must("invoke", name, "--tenant", "green")
		out, _ = must("envs", name)
		if lines := strings.Split(strings.TrimSpace(out), "\n"); len(lines) < 3 || !strings.Contains(out, "blue") || !strings.Contains(out, "green") {
			t.Errorf("envs printed\n%s", out)
		}
		if out, _ = must("envs", name, "--tenant", "green"); strings.Contains(out, "blue") || !strings.Contains(out, "green") {
			t.Errorf("envs of one tenant printed\n%s", out)
		}
		if out, _ = must("tenants", name); !strings.Contains(out, "blue") || !strings.Contains(out, "green") {
			t.Errorf("tenants printed\n%s", out)
		}
		must("deploy", dir, "--name", name) // isolated it stays
		if out, errs, err := n.alcove(t, "invoke", name); err == nil || !strings.Contains(errs, "Add a valid tenant ID") {
			t.Errorf("deployed again, without a tenant: %v, %q %q", err, out, errs)
		}
		if _, errs, err := n.alcove(t, "logs", "no-such-function"); err == nil || !strings.Contains(errs, "not found") {
			t.Errorf("logs of no function: %v %q", err, errs)
		}
	})
}

// TestFollow reads a log while it is written.
func TestFollow(t *testing.T) {
	n := on(t, "namespace")
	f := n.deploy(t, python, files{"main.py": talks}, isolated)
	n.run(t, f, call{tenant: "blue"}, nil)
	cmd := exec.CommandContext(t.Context(), program, "logs", f, "--tenant", "blue", "--follow")
	cmd.Env = cleanEnv("ALCOVE_ENDPOINT="+n.url, "ALCOVE_DATA="+n.data)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 100)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	hellos := func(want int) {
		t.Helper()
		for seen := 0; seen < want; {
			line, ok := <-lines
			if !ok {
				t.Fatal("the command ended")
			}
			if strings.Contains(line, "green") {
				t.Errorf("another tenant's line: %s", line)
			}
			if strings.Contains(line, "hello from blue") {
				seen++
			}
		}
	}
	hellos(1)
	n.run(t, f, call{tenant: "green"}, nil)
	n.run(t, f, call{tenant: "blue"}, nil)
	hellos(1)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	for range lines {
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after an interrupt: %v", err)
	}
}

// TestDoctor checks that this machine's isolation is told of.
func TestDoctor(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), program, "doctor")
	cmd.Env = cleanEnv()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for _, part := range []string{"gvisor", "namespace", "python", "nodejs", "memory"} {
		if !strings.Contains(string(out), part) {
			t.Errorf("nothing of %s in\n%s", part, out)
		}
	}
}

// TestDev edits a function while `alcove dev` runs it.
func TestDev(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "main.py")
	write := func(answer string) {
		t.Helper()
		if err := os.WriteFile(file, []byte("def handler(event, context):\n return '"+answer+"'\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first")
	cmd := exec.CommandContext(t.Context(), program, "dev", dir, "--name", "edited", "--isolation", "namespace", "--listen", "127.0.0.1:0")
	cmd.Env = cleanEnv()
	var all testnode.Buffer
	cmd.Stderr = &all
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	url, ended := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(ended)
		for s := bufio.NewScanner(out); s.Scan(); {
			all.Write([]byte(s.Text() + "\n"))
			for _, word := range strings.Fields(s.Text()) {
				if strings.HasPrefix(word, "http://127.0.0.1:") {
					select {
					case url <- strings.TrimRight(word, "/.,"):
					default:
					}
				}
			}
		}
	}()
	n := &node{Node: &testnode.Node{}}
	select {
	case n.URL = <-url:
	case <-ended:
		t.Fatalf("dev ended before it was ready: %v\n%s", cmd.Wait(), all.String())
	case <-time.After(patience):
		t.Fatalf("dev is not ready:\n%s", all.String())
	}
	n.key.AccessKeyID, n.key.SecretAccessKey = "any", "any"
	n.lambda = n.lambdaAs(n.key)
	answers := func(want string) {
		t.Helper()
		eventually(t, "the function answers "+want+"; dev printed:\n"+all.String(), func() bool {
			inv, err := n.try(t, "edited", call{})
			return err == nil && string(inv.Payload) == `"`+want+`"`
		})
	}
	answers("first")
	write("second")
	answers("second")
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	<-ended
	if err := cmd.Wait(); err != nil {
		t.Errorf("after an interrupt: %v\n%s", err, all.String())
	}
}
