package e2e

import (
	"cmp"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestShellRuntime runs a bootstrap that is a shell script with curl.
func TestShellRuntime(t *testing.T) {
	onEach(t, func(t *testing.T, n *node) {
		f := n.deploy(t, provided, directory(t, "../../examples/bootstrap-shell"), isolated, handler("any"))
		for i := 1; i <= 2; i++ {
			for _, tenant := range []string{"a b", "b"} {
				var got struct {
					Tenant string
					Count  int
					Event  map[string]string
				}
				n.run(t, f, call{tenant: tenant, payload: `{"k": "é"}`}, &got)
				if got.Tenant != tenant || got.Count != i || got.Event["k"] != "é" {
					t.Errorf("call %d for %s: %+v", i, tenant, got)
				}
			}
		}
	})
}

// goFunction builds examples/go as the file's first lines say.
func goFunction(t *testing.T) files {
	t.Helper()
	program := filepath.Join(t.TempDir(), "bootstrap")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "../../examples/go")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	return files{"bootstrap*": string(b)}
}

// TestOfficialGoRuntimeClient runs a binary with aws-lambda-go, which insists on
// TCP.
func TestOfficialGoRuntimeClient(t *testing.T) {
	code := goFunction(t)
	onEach(t, func(t *testing.T, n *node) {
		f := n.deploy(t, provided, code, isolated, handler("bootstrap"))
		for i := 1; i <= 3; i++ {
			for _, tenant := range []string{"a", "b"} {
				var got struct {
					Tenant string
					Count  int
				}
				inv := n.run(t, f, call{tenant: tenant, payload: `[1]`}, &got)
				if got.Tenant != tenant || got.Count != i {
					t.Errorf("call %d for %s: %+v", i, tenant, got)
				}
				if !strings.Contains(inv.tail, "for tenant "+tenant) {
					t.Errorf("the log tail has not what the function logged:\n%s", inv.tail)
				}
			}
		}
	})
}

// TestOfficialNodeRuntimeClient runs npm's aws-lambda-ric, unchanged. It is compiled
// when it is installed: ALCOVE_AWS_LAMBDA_RIC is what scripts/install-ric printed, the
// directory of the package or the reason why there is none.
func TestOfficialNodeRuntimeClient(t *testing.T) {
	client := os.Getenv("ALCOVE_AWS_LAMBDA_RIC")
	if !filepath.IsAbs(client) {
		t.Skip(cmp.Or(client, "ALCOVE_AWS_LAMBDA_RIC does not say where npm package aws-lambda-ric is installed"))
	}
	// A custom runtime brings its interpreter, and what that needs.
	code := files{
		"bootstrap*": "#!/bin/sh\nLD_LIBRARY_PATH=/var/task/lib exec /var/task/node /var/task/ric/index.mjs \"$_HANDLER\"\n",
		"main.js":    "let count = 0\nexports.handler = async (event, context) => ({ tenant: context.tenantId, count: ++count })",
	}
	add := func(name, path string) {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		code[name] = string(b)
	}
	add("node*", "/usr/bin/node")
	libraries, err := exec.CommandContext(t.Context(), "ldd", "/usr/bin/node").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(libraries)) {
		if f := strings.Fields(line); len(f) > 2 && f[1] == "=>" && f[0] != "libc.so.6" {
			add("lib/"+f[0], f[2])
		}
	}
	for _, name := range []string{"package.json", "index.mjs", "rapid-client.node"} {
		add("ric/"+name, filepath.Join(client, name))
	}
	onEach(t, func(t *testing.T, n *node) {
		f := n.deploy(t, provided, code, isolated, memory(256))
		for i := 1; i <= 2; i++ {
			for _, tenant := range []string{"a", "b"} {
				var got struct {
					Tenant string
					Count  int
				}
				if n.run(t, f, call{tenant: tenant}, &got); got.Tenant != tenant || got.Count != i {
					t.Errorf("call %d for %s: %+v", i, tenant, got)
				}
			}
		}
	})
}

// TestExamples runs the counters as a newcomer would.
func TestExamples(t *testing.T) {
	n := on(t, "namespace")
	for _, example := range []string{"counter-python", "counter-node"} {
		name := name(t)
		if out, errs, err := n.alcove(t, "deploy", "../../examples/"+example, "--name", name, "--tenant-isolation"); err != nil {
			t.Fatalf("%v\n%s%s", err, out, errs)
		}
		t.Cleanup(func() { n.delete(context.Background(), name) })
		for i := 1; i <= 2; i++ {
			for _, tenant := range []string{"blue", "green"} {
				var got struct {
					Tenant string
					Count  int
					Notes  []string
				}
				n.run(t, name, call{tenant: tenant}, &got)
				if got.Tenant != tenant || got.Count != i || len(got.Notes) != i || !strings.HasPrefix(got.Notes[0], tenant) {
					t.Errorf("%s, call %d for %s: %+v", example, i, tenant, got)
				}
			}
		}
	}
}
