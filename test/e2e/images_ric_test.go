package e2e

import (
	"archive/tar"
	"cmp"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestOfficialNodeRuntimeClientInImage runs AWS's runtime client for Node.js in an
// image that is laid out as AWS's base image for Node.js is: its entry point and
// variables, the interpreter in /var/lang, the client in /var/runtime, the handler as
// CMD. The emulator that such images bring along, for machines without a Runtime API,
// ends the test if it is run.
func TestOfficialNodeRuntimeClientInImage(t *testing.T) {
	client := os.Getenv("ALCOVE_AWS_LAMBDA_RIC")
	if !filepath.IsAbs(client) {
		t.Skip(cmp.Or(client, "ALCOVE_AWS_LAMBDA_RIC does not say where npm package aws-lambda-ric is installed"))
	}
	lang := append([]item{fileItem(t, "var/lang/bin/node", "/usr/bin/node")}, libraries(t, "/usr/bin/node")...)
	runtime := awsEntry(t, "export AWS_EXECUTION_ENV=AWS_Lambda_nodejs22.x\nexec /var/lang/bin/node --max-semi-space-size=8 /var/runtime/index.mjs \"$_HANDLER\"\n")
	for _, name := range []string{"package.json", "index.mjs", "rapid-client.node"} {
		runtime = append(runtime, fileItem(t, "var/runtime/"+name, filepath.Join(client, name)))
	}
	app := item{name: "var/task/app.js", header: tar.Header{Mode: 0o644}, text: "let count = 0\nexports.handler = async (event, context) => {\n" +
		"  if (event.fail) throw new TypeError('as told')\n  return { tenant: context.tenantId, count: ++count, cwd: process.cwd(), handler: process.env._HANDLER, name: context.functionName }\n}\n"}
	reg := newRegistry(t)
	uri := reg.push(t, "lambda/nodejs:22", image(t, awsConfig, pythonLayer(t), layer(t, "", ociGzip, lang...), layer(t, "", ociZstd, runtime...), layer(t, "", ociGzip, app)))
	runOfficialClient(t, reg, uri)
}

// TestOfficialPythonRuntimeClientInImage is the same of AWS's client for Python. It is
// no package of Debian's or npm's, so it is run by hand:
//
//	pip install --target /tmp/ric awslambdaric
//	ALCOVE_AWSLAMBDARIC=/tmp/ric go test ./test/e2e -run TestOfficialPython
//
// with the interpreter that pip compiled it for as /usr/bin/python3.
func TestOfficialPythonRuntimeClientInImage(t *testing.T) {
	dir := os.Getenv("ALCOVE_AWSLAMBDARIC")
	if dir == "" {
		t.Skip("ALCOVE_AWSLAMBDARIC does not say where pip's awslambdaric is installed")
	}
	extension, err := filepath.Glob(filepath.Join(dir, "runtime_client*.so"))
	if err != nil || len(extension) != 1 {
		t.Fatalf("%s has no compiled client: %v, %v", dir, extension, err)
	}
	lang := append([]item{link("var/lang/bin/python3.13", "/usr/bin/python3")}, libraries(t, extension[0])...)
	runtime := awsEntry(t, "export AWS_EXECUTION_ENV=AWS_Lambda_python3.13\nexec env PYTHONPATH=/var/runtime /var/lang/bin/python3.13 -m awslambdaric \"$_HANDLER\"\n")
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			runtime = append(runtime, fileItem(t, "var/runtime/"+strings.TrimPrefix(path, dir+"/"), path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	app := item{name: "var/task/app.py", header: tar.Header{Mode: 0o644}, text: "import os\ncount = 0\ndef handler(event, context):\n  global count\n" +
		"  if event.get('fail'): raise TypeError('as told')\n  count += 1\n" +
		"  return {'tenant': context.tenant_id, 'count': count, 'cwd': os.getcwd(), 'handler': os.environ['_HANDLER'], 'name': context.function_name}\n"}
	reg := newRegistry(t)
	uri := reg.push(t, "lambda/python:3.13", image(t, awsConfig, pythonLayer(t), layer(t, "", ociGzip, lang...), layer(t, "", ociZstd, runtime...), layer(t, "", ociGzip, app)))
	runOfficialClient(t, reg, uri)
}

// runOfficialClient invokes an image's function for two tenants, on both drivers.
func runOfficialClient(t *testing.T, reg *ociRegistry, uri string) {
	for _, driver := range drivers {
		t.Run(driver, func(t *testing.T) {
			n := start(t, "--isolation", driver, "--registries", reg.host)
			f := n.deploy(t, "", nil, fromImage(uri), isolated, memory(512))
			for i := 1; i <= 2; i++ {
				for _, tenant := range []string{"a", "b"} {
					var got struct {
						Tenant, Cwd, Handler, Name string
						Count                      int
					}
					if n.run(t, f, call{tenant: tenant, payload: `{}`}, &got); got.Tenant != tenant || got.Count != i || got.Cwd != "/var/task" || got.Handler != "app.handler" || got.Name != f {
						t.Errorf("call %d for %s: %+v", i, tenant, got)
					}
				}
			}
			if got, inv := n.fail(t, f, call{tenant: "a", payload: `{"fail":true}`}); got.ErrorType != "TypeError" || got.ErrorMessage != "as told" {
				t.Errorf("%+v\n%s", got, inv.tail)
			}
		})
	}
}

func fileItem(t *testing.T, name, path string) item {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return item{name: name, text: string(b)}
}

// libraries are those that a program or library is linked with, but the C library.
func libraries(t *testing.T, path string) []item {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ldd", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	var items []item
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) > 2 && f[1] == "=>" && f[0] != "libc.so.6" {
			items = append(items, fileItem(t, "var/lang/lib/"+f[0], f[2]))
		}
	}
	return items
}

// awsEntry is what starts an image of AWS's, and the emulator that such images bring along.
func awsEntry(t *testing.T, bootstrap string) []item {
	t.Helper()
	return []item{
		{name: "lambda-entrypoint.sh", text: testFile(t, "lambda-entrypoint.sh")},
		{name: "var/runtime/bootstrap", text: "#!/bin/sh\n" + bootstrap},
		{name: "usr/local/bin/aws-lambda-rie", text: "#!/bin/sh\necho the emulator was run\nexit 99\n"},
	}
}
