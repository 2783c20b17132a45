package e2e

import (
	"archive/tar"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove/test/testnode"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// fromImage makes a function one of a container image.
func fromImage(uri string) option {
	return func(in *lambda.CreateFunctionInput) {
		in.PackageType, in.Runtime, in.Handler = types.PackageTypeImage, "", nil
		in.Code = &types.FunctionCode{ImageUri: &uri}
	}
}

// seen is what testdata/images/app.py tells.
type seen struct {
	Count  int
	Tenant *string
	Argv   []string
	Cwd    string
	UID    int
	Env    map[string]string
}

// TestImages runs functions that are container images on both drivers.
func TestImages(t *testing.T) {
	reg := newRegistry(t)
	python := pythonLayer(t)
	base := reg.push(t, "lambda/app:1", image(t, awsConfig, awsLike(t, python)...))
	program := goFunction(t)["bootstrap*"]
	static := reg.push(t, "go:1", image(t, v1.Config{Cmd: []string{"main"}, Env: []string{"PATH=/app"}, WorkingDir: "/app"},
		layer(t, "", ociGzip, item{name: "app/main", text: program})))
	for _, driver := range drivers {
		t.Run(driver, func(t *testing.T) {
			n := start(t, slices.Concat(testnode.NoStock, []string{"--isolation", driver, "--registries", reg.host, "--runtime-image", "python3.13=" + base})...)
			t.Run("as AWS's", func(t *testing.T) { testImageAsAWS(t, n, base) })
			t.Run("config", func(t *testing.T) { testImageConfig(t, n, base) })
			t.Run("deploy", func(t *testing.T) { testDeployImage(t, n, base) })
			t.Run("static program", func(t *testing.T) {
				f := n.deploy(t, "", nil, fromImage(static), isolated)
				var got struct{ Tenant string }
				if n.run(t, f, call{tenant: "a", payload: `{}`}, &got); got.Tenant != "a" {
					t.Errorf("%+v", got)
				}
			})
			t.Run("user", func(t *testing.T) { testImageUser(t, n, reg, python) })
			t.Run("program", func(t *testing.T) { testImageProgram(t, n, driver, reg) })
			t.Run("hostile", func(t *testing.T) { testHostileImages(t, n, reg, python) })
			t.Run("runtime", func(t *testing.T) { testRuntimeImage(t, n) })
			t.Run("update", func(t *testing.T) { testImageUpdate(t, n, reg, python) })
		})
	}
}

func testImageAsAWS(t *testing.T, n *node, uri string) {
	f := n.deploy(t, "", nil, fromImage(uri), isolated, func(in *lambda.CreateFunctionInput) {
		in.Environment = &types.Environment{Variables: map[string]string{"BOTH": "function", "FROM_FUNCTION": "function"}}
	})
	for i := 1; i <= 2; i++ {
		for _, tenant := range []string{"a", "b"} {
			var got seen
			inv := n.run(t, f, call{tenant: tenant, payload: `{}`}, &got)
			if got.Count != i || aws.ToString(got.Tenant) != tenant || got.UID != 993 || got.Cwd != "/var/task" {
				t.Errorf("call %d of %s: %+v", i, tenant, got)
			}
			if i == 2 && inv.start != "warm" {
				t.Errorf("call %d of %s was %s", i, tenant, inv.start)
			}
			for key, want := range map[string]string{
				"_HANDLER": "app.handler", "BOTH": "function", "FROM_FUNCTION": "function", "FROM_IMAGE": "image", "TZ": ":/etc/localtime",
				"AWS_LAMBDA_FUNCTION_NAME": f, "AWS_REGION": "us-east-1", "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001", "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
			} {
				if got.Env[key] != want {
					t.Errorf("%s=%q, want %q", key, got.Env[key], want)
				}
			}
			if home, ok := got.Env["HOME"]; ok {
				t.Errorf("HOME=%q", home)
			}
		}
	}
	out, err := n.lambda.GetFunction(t.Context(), &lambda.GetFunctionInput{FunctionName: &f})
	if err != nil {
		t.Fatal(err)
	}
	c, code := out.Configuration, out.Code
	digest := aws.ToString(c.CodeSha256)
	repo := strings.TrimSuffix(uri, ":1")
	if aws.ToString(code.RepositoryType) != "ECR" || aws.ToString(code.ImageUri) != uri || aws.ToString(code.ResolvedImageUri) != repo+"@sha256:"+digest ||
		code.Location != nil || len(digest) != 64 || c.PackageType != types.PackageTypeImage || c.Runtime != "" || c.Handler != nil || c.CodeSize != 0 || c.ImageConfigResponse != nil {
		t.Errorf("%+v\n%+v", *code, *c)
	}
}

func testImageConfig(t *testing.T, n *node, uri string) {
	configured := func(c types.ImageConfig) option {
		return func(in *lambda.CreateFunctionInput) { in.ImageConfig = &c }
	}
	f := n.deploy(t, "", nil, fromImage(uri), configured(types.ImageConfig{Command: []string{"app.other"}}))
	if inv := n.run(t, f, call{}, nil); string(inv.Payload) != `"other"` {
		t.Errorf("command: %s", inv.Payload)
	}
	conf, err := n.lambda.GetFunctionConfiguration(t.Context(), &lambda.GetFunctionConfigurationInput{FunctionName: &f})
	if err != nil || conf.ImageConfigResponse == nil || !slices.Equal(conf.ImageConfigResponse.ImageConfig.Command, []string{"app.other"}) {
		t.Errorf("%+v, %v", conf, err)
	}
	change := func(c types.ImageConfig) {
		t.Helper()
		if _, err := n.lambda.UpdateFunctionConfiguration(t.Context(), &lambda.UpdateFunctionConfigurationInput{FunctionName: &f, ImageConfig: &c}); err != nil {
			t.Fatal(err)
		}
		n.updated(t, f)
	}
	var got seen
	change(types.ImageConfig{WorkingDirectory: aws.String("/usr/lib"), EntryPoint: []string{"sh", "-c", "exec /lambda-entrypoint.sh app.handler"}})
	if n.run(t, f, call{}, &got); got.Cwd != "/usr/lib" {
		t.Errorf("entry point and directory: %+v", got)
	}
	change(types.ImageConfig{}) // back to the image's
	if n.run(t, f, call{}, &got); got.Cwd != "/var/task" {
		t.Errorf("without: %+v", got)
	}
	for _, c := range []struct {
		config     types.ImageConfig
		kind, text string
	}{
		{types.ImageConfig{EntryPoint: []string{"/none"}}, "Runtime.InvalidEntrypoint", "fork/exec /none: no such file or directory"},
		{types.ImageConfig{EntryPoint: []string{"none"}}, "Runtime.InvalidEntrypoint", "fork/exec none: no such file or directory"},
		{types.ImageConfig{EntryPoint: []string{"/var/task"}}, "Runtime.InvalidEntrypoint", "fork/exec /var/task: permission denied"},
		{types.ImageConfig{WorkingDirectory: aws.String("/none")}, "Runtime.InvalidWorkingDir", "chdir /none: no such file or directory"},
		{types.ImageConfig{EntryPoint: []string{"/bin/sh", "-c", "exit 7"}}, "Runtime.ExitError", "exit status 7"},
	} {
		change(c.config)
		if got, inv := n.fail(t, f, call{}); got.ErrorType != c.kind || !strings.Contains(got.ErrorMessage, c.text) {
			t.Errorf("%+v: %+v\n%s", c.config, got, inv.tail)
		}
	}
	// What cannot be executed, though it is there, is the function's fault too.
	change(types.ImageConfig{EntryPoint: []string{"/usr/bin/python3", "/none.py"}})
	if got, _ := n.fail(t, f, call{}); got.ErrorType != "Runtime.ExitError" {
		t.Errorf("%+v", got)
	}
}

// testDeployImage makes a function by `alcove deploy`, and brings it up to date.
func testDeployImage(t *testing.T, n *node, uri string) {
	f := name(t)
	t.Cleanup(func() { n.delete(context.Background(), f) })
	for range 2 {
		out, errs, err := n.alcove(t, "deploy", "--image", uri, "--name", f, "--tenant-isolation")
		if err != nil || !strings.Contains(out, ":function:"+f) {
			t.Fatalf("%v: %s%s", err, out, errs)
		}
		n.run(t, f, call{tenant: "a", payload: `{}`}, nil)
	}
}

// testHostileImages runs images that bring along what would lead a sandbox astray.
func testHostileImages(t *testing.T, n *node, reg *ociRegistry, python v1.Layer) {
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.MkdirAll(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, items := range map[string][]item{
		"links": {link("tmp", "/etc"), link("proc", "/var/task"), link("sys", "../../../.."), link("dev", "/usr"), link("run", "/var/run"), link("var/run", "/run"),
			link("etc/hosts", "/proc/self/environ"), link("etc/resolv.conf", outside+"/secret"), link("out", outside), link("up", strings.Repeat("../", 60)+outside[1:])},
		"files": {{name: "tmp", text: "x"}, {name: "proc", text: "x"}, {name: "sys", text: "x"}, {name: "dev", text: "x"}, {name: "run", text: "x"}},
		"full":  {{name: "tmp/left", text: "x"}, {name: "proc/self/status", text: "x"}, {name: "run/alcove/runtime.sock", text: "x"}, {name: "dev/null", text: "x"}},
		"special": {{name: "su", text: "x", header: tar.Header{Mode: 0o6755}}, {name: "disk", header: tar.Header{Typeflag: tar.TypeBlock, Devmajor: 8}},
			{name: "pipe", header: tar.Header{Typeflag: tar.TypeFifo}}, {name: "var/task/null", header: tar.Header{Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}}},
		"passwd": {{name: "etc/passwd", text: strings.Repeat("sbx_user1051:x:993:990::/home:/bin/sh\n", 200_000) + strings.Repeat("x", 1<<20)}, {name: "etc/group", text: strings.Repeat("g", 1<<20)}},
		"above":  {{name: "../../../../../../.." + outside + "/written", text: "x"}, {name: outside + "/written", text: "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			config := awsConfig
			config.Cmd, config.User = []string{"app.look"}, "root"
			uri := reg.push(t, "hostile/"+name+":1", image(t, config, awsLike(t, python, items...)...))
			f := n.deploy(t, "", nil, fromImage(uri), memory(256))
			var got struct {
				Odd, Entries, Run    []string
				Root, Task, Etc, Tmp string
				Null                 bool
				Self, Pid, Secret    string
				UID                  int
			}
			n.run(t, f, call{payload: `{}`}, &got)
			if len(got.Odd) > 0 || !refused(got.Root) || !refused(got.Task) || !refused(got.Etc) ||
				got.Tmp != "None" || !slices.Equal(got.Entries, []string{"x"}) || !got.Null || got.Self != got.Pid || strings.Contains(got.Secret, "secret'") || got.UID != 993 ||
				!slices.Equal(got.Run, []string{"runtime.sock"}) {
				t.Errorf("%+v", got)
			}
			if entries, _ := os.ReadDir(outside); len(entries) != 1 {
				t.Errorf("written outside of the image: %v", entries)
			}
		})
	}
}

// refused tells whether an attempt to write was in vain.
func refused(answer string) bool {
	return answer == "Read-only file system" || answer == "Permission denied"
}

// testRuntimeImage runs functions from zip files on an image that stands for their
// runtime.
func testRuntimeImage(t *testing.T, n *node) {
	layer, err := n.lambda.PublishLayerVersion(t.Context(), &lambda.PublishLayerVersionInput{LayerName: aws.String("extra"),
		Content: &types.LayerVersionContentInput{ZipFile: files{"python/extra.py": "WORD = 'layer'\n"}.Zip(t)}})
	if err != nil {
		t.Fatal(err)
	}
	code := files{"main.py": "import os, sys, extra\ndef handler(event, headers):\n return {'word': extra.WORD, 'env': dict(os.environ), 'cwd': os.getcwd(), 'client': sys.argv[0]}"}
	f := n.deploy(t, python, code, isolated, func(in *lambda.CreateFunctionInput) { in.Layers = []string{*layer.LayerVersionArn} })
	var got struct {
		Word, Cwd, Client string
		Env               map[string]string
	}
	inv := n.run(t, f, call{tenant: "a", payload: `{}`}, &got)
	if got.Word != "layer" || got.Cwd != "/var/task" || got.Client != "/var/runtime/bootstrap.py" {
		t.Errorf("%+v", got)
	}
	for key, want := range map[string]string{"_HANDLER": "main.handler", "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13", "FROM_IMAGE": "image", "LAMBDA_TASK_ROOT": "/var/task"} {
		if got.Env[key] != want {
			t.Errorf("%s=%q, want %q", key, got.Env[key], want)
		}
	}
	out, err := n.lambda.GetFunction(t.Context(), &lambda.GetFunctionInput{FunctionName: &f})
	if err != nil {
		t.Fatal(err)
	}
	arn := aws.ToString(out.Configuration.RuntimeVersionConfig.RuntimeVersionArn)
	if _, digest, _ := strings.Cut(arn, "::runtime:"); len(digest) != 64 || out.Configuration.PackageType != types.PackageTypeZip || aws.ToString(out.Code.RepositoryType) != "S3" {
		t.Errorf("%s, %+v", arn, out.Code)
	}
	if !strings.Contains(inv.tail, "START") {
		t.Errorf("log: %s", inv.tail)
	}
	// The line says what the ARN does.
	_, digest, _ := strings.Cut(arn, "::runtime:")
	want := "INIT_START Runtime Version: python:3.13." + digest[:min(12, len(digest))] + "\tRuntime Version ARN: " + arn + "\n"
	found := n.filter(t, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String("/aws/lambda/" + f), FilterPattern: aws.String("INIT_START")})
	if len(found) != 1 || aws.ToString(found[0].Message) != want {
		t.Errorf("the log has %+v, want %q", found, want)
	}
}

// testImageUpdate changes what a tag stands for, and the image of a function.
func testImageUpdate(t *testing.T, n *node, reg *ociRegistry, python v1.Layer) {
	layers := awsLike(t, python)
	one := reg.push(t, "moving:tag", image(t, v1.Config{Entrypoint: awsConfig.Entrypoint, Cmd: []string{"app.other"}, WorkingDir: "/", Env: awsConfig.Env}, layers...))
	f := n.deploy(t, "", nil, fromImage(one))
	if inv := n.run(t, f, call{}, nil); string(inv.Payload) != `"other"` {
		t.Errorf("first: %s", inv.Payload)
	}
	second := image(t, awsConfig, append(layers, layer(t, "", ociGzip, item{name: "second", text: "x"}))...)
	reg.push(t, "moving:tag", second)
	// The function is the image that it was.
	if inv := n.run(t, f, call{}, nil); string(inv.Payload) != `"other"` {
		t.Errorf("after the tag moved: %s", inv.Payload)
	}
	if _, err := n.lambda.UpdateFunctionCode(t.Context(), &lambda.UpdateFunctionCodeInput{FunctionName: &f, ImageUri: &one}); err != nil {
		t.Fatal(err)
	}
	n.updated(t, f)
	var got seen
	if n.run(t, f, call{}, &got); got.Cwd != "/var/task" {
		t.Errorf("after the update: %+v", got)
	}
	digest, err := second.Digest()
	if err != nil || !n.images(t)[digest.Hex] {
		t.Errorf("%s is not among the images, which are %v; %v", digest, n.images(t), err)
	}
	_, err = n.lambda.UpdateFunctionCode(t.Context(), &lambda.UpdateFunctionCodeInput{FunctionName: &f, ZipFile: files{"a": "b"}.Zip(t)})
	wantError(t, err, 400, "InvalidParameterValueException", "Please provide ImageUri when updating a function with packageType Image.")
}

// images are those that a node has, by digest.
func (n *node) images(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	entries, err := os.ReadDir(filepath.Join(n.data, "artifact", "image"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		out[e.Name()] = true
	}
	return out
}

// TestImageRefusals sees what callers are told whose image is none.
func TestImageRefusals(t *testing.T) {
	reg := newRegistry(t)
	n := start(t, "--isolation", "namespace", "--registries", reg.host)
	create := func(uri string) error {
		in := &lambda.CreateFunctionInput{FunctionName: aws.String(name(t)), Role: aws.String(role)}
		fromImage(uri)(in)
		_, err := n.lambda.CreateFunction(t.Context(), in)
		return err
	}
	wantError(t, create(reg.host+"/none:1"), 400, "InvalidParameterValueException", "Source image "+reg.host+"/none:1 does not exist. Provide a valid source image.")
	wantError(t, create("169.254.169.254/latest:1"), 400, "InvalidParameterValueException", "does not pull from the registry 169.254.169.254")
	reg.put(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusForbidden); return true })
	wantError(t, create(reg.host+"/a:1"), 403, "AccessDeniedException", "Lambda does not have permission to access the ECR image. Check the ECR permissions.")

	none := start(t, "--isolation", "namespace")
	in := &lambda.CreateFunctionInput{FunctionName: aws.String("f"), Role: aws.String(role)}
	fromImage(reg.host + "/a:1")(in)
	_, err := none.lambda.CreateFunction(t.Context(), in)
	wantError(t, err, 400, "InvalidParameterValueException", "--registries")
}

// TestImagePullInterrupted kills the node in the middle of a pull: what it had of
// the image is gone when the next one starts, which pulls it whole.
func TestImagePullInterrupted(t *testing.T) {
	reg := newRegistry(t)
	big := layer(t, "", ociGzip, item{name: "big", text: strings.Repeat("0123456789abcdef", 1<<17)})
	uri := reg.push(t, "a:1", image(t, v1.Config{Cmd: []string{"/main"}}, big, layer(t, "", ociGzip, item{name: "main", text: goFunction(t)["bootstrap*"]})))
	data := t.TempDir()
	n := startIn(t, data, "--isolation", "namespace", "--registries", reg.host)
	blobs, hold := make(chan struct{}, 100), make(chan struct{})
	reg.put(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
			blobs <- struct{}{}
			if len(blobs) > 2 { // the config, the first layer, and the second waits
				select {
				case <-hold:
				case <-r.Context().Done():
				}
			}
		}
		return false
	})
	in := &lambda.CreateFunctionInput{FunctionName: aws.String("f"), Role: aws.String(role)}
	fromImage(uri)(in)
	out, err := n.lambda.CreateFunction(t.Context(), in)
	if err != nil || out.State != types.StatePending {
		t.Fatalf("%+v, %v", out, err)
	}
	for range 3 {
		select {
		case <-blobs:
		case <-time.After(patience):
			t.Fatal("nothing is pulled")
		}
	}
	_, err = n.try(t, "f", call{})
	wantError(t, err, 409, "ResourceConflictException", "The operation cannot be performed at this time. The function is currently in the following state: Pending")
	if left, _ := os.ReadDir(filepath.Join(data, "artifact", "tmp")); len(left) == 0 {
		t.Error("nothing is half done")
	}
	n.kill(t)
	if have := n.images(t); len(have) > 0 {
		t.Errorf("there is %v before it was pulled", have)
	}
	close(hold)
	reg.put(nil)
	n = startIn(t, data, "--isolation", "namespace", "--registries", reg.host)
	n.active(t, "f")
	n.run(t, "f", call{payload: `{}`}, nil)
	left, err := os.ReadDir(filepath.Join(data, "artifact", "tmp"))
	if err != nil || len(left) > 0 {
		t.Errorf("left of the pull: %v, %v", left, err)
	}
	// Without the registry, and on what is here.
	reg.put(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusTeapot); return true })
	n.kill(t)
	n = startIn(t, data, "--isolation", "namespace", "--registries", reg.host)
	n.run(t, "f", call{payload: `{}`}, nil)
	// What nobody refers to any more is gone when the next one starts, not before.
	if len(n.images(t)) != 1 {
		t.Errorf("there is %v, want one image", n.images(t))
	}
	n.delete(t.Context(), "f")
	if err := n.stop(); err != nil {
		t.Error(err)
	}
	n = startIn(t, data, "--isolation", "namespace", "--registries", reg.host)
	for deadline := time.Now().Add(patience); len(n.images(t)) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("there is still %v", n.images(t))
		}
	}
	if err := n.stop(); err != nil {
		t.Error(err)
	}
}
