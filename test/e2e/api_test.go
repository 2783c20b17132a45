package e2e

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

const (
	answers1 = "def handler(event, context):\n return 1"
	answers2 = "def handler(event, context):\n return 2"
)

// TestLifeCycle takes a function from CreateFunction to DeleteFunction.
func TestLifeCycle(t *testing.T) {
	n := on(t, "namespace")
	ctx := t.Context()
	code := files{"main.py": answers1}.Zip(t)
	name := name(t)
	arn := "arn:aws:lambda:us-east-1:000000000000:function:" + name
	made, err := n.lambda.CreateFunction(ctx, &lambda.CreateFunctionInput{FunctionName: &name, Runtime: python, Handler: aws.String("main.handler"),
		Role: aws.String(role), Code: &types.FunctionCode{ZipFile: code}, Tags: map[string]string{"team": "a b"}})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(code)
	if made.State != types.StatePending || made.StateReasonCode != types.StateReasonCodeCreating || aws.ToString(made.FunctionArn) != arn ||
		aws.ToString(made.CodeSha256) != base64.StdEncoding.EncodeToString(sum[:]) || made.CodeSize != int64(len(code)) ||
		aws.ToInt32(made.MemorySize) != 128 || aws.ToInt32(made.Timeout) != 3 || aws.ToString(made.Version) != "$LATEST" ||
		made.TenancyConfig != nil || made.PackageType != types.PackageTypeZip || made.Runtime != python {
		t.Errorf("CreateFunction answered %+v", made)
	}
	if err := lambda.NewFunctionExistsWaiter(n.lambda).Wait(ctx, &lambda.GetFunctionInput{FunctionName: &name}, patience); err != nil {
		t.Error(err)
	}
	n.active(t, name)
	if err := lambda.NewFunctionActiveWaiter(n.lambda).Wait(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &name}, patience); err != nil {
		t.Error(err)
	}
	got, err := n.lambda.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: &arn})
	if err != nil {
		t.Fatal(err)
	}
	if c := got.Configuration; c.State != types.StateActive || c.LastUpdateStatus != types.LastUpdateStatusSuccessful || got.Tags["team"] != "a b" ||
		aws.ToString(got.Code.RepositoryType) != "S3" {
		t.Errorf("GetFunction answered %+v %+v", c, got)
	}
	if downloaded := download(t, aws.ToString(got.Code.Location)); !bytes.Equal(downloaded, code) {
		t.Errorf("Code.Location gives %d bytes, not the %d of the package", len(downloaded), len(code))
	}

	_, err = n.lambda.CreateFunction(ctx, &lambda.CreateFunctionInput{FunctionName: &name, Runtime: python, Handler: aws.String("main.handler"),
		Role: aws.String(role), Code: &types.FunctionCode{ZipFile: code}})
	wantError(t, err, 409, "ResourceConflictException", "Function already exist: "+name)

	for _, id := range []string{name, "000000000000:function:" + name, "function:" + name, arn} {
		if id == "function:"+name {
			continue // not a form that AWS has
		}
		if inv := n.run(t, id, call{}, nil); string(inv.Payload) != "1" {
			t.Errorf("by %s: %s", id, inv.Payload)
		}
		if inv := n.run(t, id+":$LATEST", call{}, nil); string(inv.Payload) != "1" {
			t.Errorf("by %s:$LATEST: %s", id, inv.Payload)
		}
	}

	if _, err := n.lambda.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: &name}); err != nil {
		t.Fatal(err)
	}
	_, err = n.lambda.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: &name})
	wantError(t, err, 404, "ResourceNotFoundException", "Function not found: "+arn)
	_, err = n.try(t, name, call{})
	wantError(t, err, 404, "ResourceNotFoundException", "Function not found: "+arn)
	eventually(t, "a deleted function's environments are gone", func() bool { return len(n.allOf(t, name)) == 0 })
}

// allOf lists environments by the name of a function that may be gone.
func (n *node) allOf(t *testing.T, function string) []environment {
	return slices.DeleteFunc(n.all(t, ""), func(e environment) bool { return e.Function != function })
}

// download gets what anybody who has the address may get.
func download(t *testing.T, url string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("GET %s: %s %v", url, resp.Status, err)
	}
	return b
}

// TestCodeLocation checks that a download address cannot be bent.
func TestCodeLocation(t *testing.T) {
	n := on(t, "namespace")
	f := n.deploy(t, python, files{"main.py": answers1})
	got, err := n.lambda.GetFunction(t.Context(), &lambda.GetFunctionInput{FunctionName: &f})
	if err != nil {
		t.Fatal(err)
	}
	location := aws.ToString(got.Code.Location)
	for i := strings.Index(location, n.url) + len(n.url); i < len(location); i++ {
		c := location[i]
		if c >= 'a' && c <= 'f' || c >= '0' && c <= '9' {
			other := byte('0')
			if c == '0' {
				other = '1'
			}
			resp, err := http.Get(location[:i] + string(other) + location[i+1:])
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode == 200 {
				t.Errorf("with byte %d changed from %q to %q, the address still works: %s", i, c, other, location)
			}
		}
	}
}

// TestPaging reads lists page by page.
func TestPaging(t *testing.T) {
	n := on(t, "namespace")
	want := map[string]bool{}
	for range 5 {
		want[n.deploy(t, python, files{"main.py": answers1})] = true
	}
	pages := lambda.NewListFunctionsPaginator(n.lambda, &lambda.ListFunctionsInput{MaxItems: aws.Int32(2)})
	seen := map[string]bool{}
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Functions) > 2 {
			t.Errorf("a page of %d, with MaxItems 2", len(page.Functions))
		}
		for _, f := range page.Functions {
			if name := aws.ToString(f.FunctionName); seen[name] {
				t.Errorf("%s twice", name)
			} else {
				seen[name] = true
			}
		}
	}
	for name := range want {
		if !seen[name] {
			t.Errorf("%s is not in the list", name)
		}
	}

	f := slices.Collect(maps.Keys(want))[0]
	for i := range 3 {
		n.change(t, f, strings.Replace(answers1, "1", strings.Repeat("1", i+2), 1))
		if _, err := n.lambda.PublishVersion(t.Context(), &lambda.PublishVersionInput{FunctionName: &f}); err != nil {
			t.Fatal(err)
		}
	}
	versions := lambda.NewListVersionsByFunctionPaginator(n.lambda, &lambda.ListVersionsByFunctionInput{FunctionName: &f, MaxItems: aws.Int32(3)})
	var numbers []string
	for versions.HasMorePages() {
		page, err := versions.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range page.Versions {
			numbers = append(numbers, aws.ToString(v.Version))
		}
	}
	slices.Sort(numbers)
	if !slices.Equal(numbers, []string{"$LATEST", "1", "2", "3"}) {
		t.Errorf("versions: %q", numbers)
	}
}

// change gives a function other code and waits until that runs.
func (n *node) change(t *testing.T, function, code string) {
	t.Helper()
	_, err := n.lambda.UpdateFunctionCode(t.Context(), &lambda.UpdateFunctionCodeInput{FunctionName: &function, ZipFile: files{"main.py": code}.Zip(t)})
	if err != nil {
		t.Fatal(err)
	}
	n.updated(t, function)
}

// TestUpdatedCode checks that new code runs at once, in new environments, and
// that the old ones go.
func TestUpdatedCode(t *testing.T) {
	onEach(t, func(t *testing.T, n *node) {
		f := n.deploy(t, python, files{"main.py": answers1}, isolated)
		tenants := []string{"a", "b", "c"}
		for _, tenant := range tenants {
			n.run(t, f, call{tenant: tenant}, nil)
		}
		old := map[string]bool{}
		for _, e := range n.environments(t, f) {
			old[e.ID] = true
		}
		v, err := n.lambda.PublishVersion(t.Context(), &lambda.PublishVersionInput{FunctionName: &f})
		if err != nil || aws.ToString(v.Version) != "1" {
			t.Fatalf("%+v, %v", v, err)
		}
		n.change(t, f, answers2)
		for _, tenant := range tenants {
			if inv := n.run(t, f, call{tenant: tenant}, nil); string(inv.Payload) != "2" || inv.start == "warm" {
				t.Errorf("tenant %s after the update: %s, %s start", tenant, inv.Payload, inv.start)
			}
			inv := n.run(t, f, call{tenant: tenant, qualifier: "1"}, nil)
			if string(inv.Payload) != "1" || aws.ToString(inv.ExecutedVersion) != "1" {
				t.Errorf("version 1, tenant %s: %s of version %s", tenant, inv.Payload, aws.ToString(inv.ExecutedVersion))
			}
		}
		eventually(t, "the old code's environments are gone", func() bool {
			for _, e := range n.environments(t, f) {
				if old[e.ID] {
					return false
				}
			}
			return true
		})
		_, err = n.try(t, f, call{tenant: "a", qualifier: "2"})
		wantError(t, err, 404, "ResourceNotFoundException", ":2")
	})
}

// TestUpdateUnderLoad changes code while it is invoked all the time: every
// answer is the old code's or the new one's, and none is lost.
func TestUpdateUnderLoad(t *testing.T) {
	n := on(t, "namespace")
	f := n.deploy(t, python, files{"main.py": answers1}, isolated)
	done := make(chan struct{})
	failed := make(chan error, 4)
	for i := range 4 {
		go func() {
			for {
				select {
				case <-done:
					failed <- nil
					return
				default:
				}
				inv, err := n.try(t, f, call{tenant: string(rune('a' + i))})
				var got int
				if err == nil {
					err = decode(inv, &got)
				}
				if err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	for i := range 6 {
		n.change(t, f, []string{answers2, answers1}[i%2])
	}
	close(done)
	for range 4 {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

// TestUpdateConfiguration checks that a change shows and takes effect.
func TestUpdateConfiguration(t *testing.T) {
	n := on(t, "namespace")
	f := n.deploy(t, python, files{"main.py": "import os\ndef handler(event, context):\n return [os.environ.get('VALUE'), context.memory_limit_in_mb]"})
	for _, v := range []string{"one", "two"} {
		before, err := n.lambda.GetFunctionConfiguration(t.Context(), &lambda.GetFunctionConfigurationInput{FunctionName: &f})
		if err != nil {
			t.Fatal(err)
		}
		up, err := n.lambda.UpdateFunctionConfiguration(t.Context(), &lambda.UpdateFunctionConfigurationInput{FunctionName: &f,
			MemorySize: aws.Int32(256), Environment: &types.Environment{Variables: map[string]string{"VALUE": v}}})
		if err != nil || up.LastUpdateStatus != types.LastUpdateStatusInProgress || aws.ToString(up.RevisionId) == aws.ToString(before.RevisionId) {
			t.Fatalf("%+v, %v", up, err)
		}
		n.updated(t, f)
		if inv := n.run(t, f, call{}, nil); !strings.Contains(string(inv.Payload), v) || !strings.Contains(string(inv.Payload), "256") {
			t.Errorf("the function sees %s", inv.Payload)
		}
	}
	_, err := n.lambda.UpdateFunctionConfiguration(t.Context(), &lambda.UpdateFunctionConfigurationInput{FunctionName: &f,
		RevisionId: aws.String("00000000-0000-0000-0000-000000000000"), Timeout: aws.Int32(4)})
	wantError(t, err, 412, "PreconditionFailedException", "The Revision Id provided does not match")
}

// TestTags and the rest of what hangs on a function.
func TestTags(t *testing.T) {
	n := on(t, "namespace")
	ctx := t.Context()
	f := n.deploy(t, python, files{"main.py": answers1})
	arn := aws.String("arn:aws:lambda:us-east-1:000000000000:function:" + f)
	if _, err := n.lambda.TagResource(ctx, &lambda.TagResourceInput{Resource: arn, Tags: map[string]string{"a": "1", "b": "2"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.lambda.UntagResource(ctx, &lambda.UntagResourceInput{Resource: arn, TagKeys: []string{"a"}}); err != nil {
		t.Fatal(err)
	}
	got, err := n.lambda.ListTags(ctx, &lambda.ListTagsInput{Resource: arn})
	if err != nil || !maps.Equal(got.Tags, map[string]string{"b": "2"}) {
		t.Errorf("tags: %v, %v", got, err)
	}
}

// TestBadPackages checks that what must not be unpacked is not.
func TestBadPackages(t *testing.T) {
	n := on(t, "namespace")
	for _, c := range []struct {
		name string
		code []byte
	}{
		{"no zip", []byte("not a zip")},
		{"traversal", files{"../evil.py": "x"}.Zip(t)},
		{"absolute", files{"/etc/evil": "x"}.Zip(t)},
		{"link out", linkZip(t, "out", "../../etc/passwd")},
		{"absolute link", linkZip(t, "out", "/etc/passwd")},
		{"bomb", zeroZip(t, 300<<20)},
		{"empty", nil},
	} {
		name := name(t)
		_, err := n.lambda.CreateFunction(t.Context(), &lambda.CreateFunctionInput{FunctionName: &name, Runtime: python, Handler: aws.String("main.handler"),
			Role: aws.String(role), Code: &types.FunctionCode{ZipFile: c.code}})
		text := "Could not unzip uploaded file"
		switch c.name {
		case "empty":
			text = ""
		case "bomb":
			text = "Unzipped size must be smaller than 262144000 bytes"
		}
		wantError(t, err, 400, "InvalidParameterValueException", text)
	}

	// Layers that are small enough each are not together.
	var layers []string
	for _, l := range []string{"zeros", "noughts"} {
		made, err := n.lambda.PublishLayerVersion(t.Context(), &lambda.PublishLayerVersionInput{LayerName: &l, Content: &types.LayerVersionContentInput{ZipFile: zeroZip(t, 130<<20)}})
		if err != nil {
			t.Fatal(err)
		}
		layers = append(layers, *made.LayerVersionArn)
	}
	f := name(t)
	_, err := n.lambda.CreateFunction(t.Context(), &lambda.CreateFunctionInput{FunctionName: &f, Runtime: python, Handler: aws.String("main.handler"),
		Role: aws.String(role), Layers: layers, Code: &types.FunctionCode{ZipFile: files{"main.py": answers1}.Zip(t)}})
	wantError(t, err, 400, "InvalidParameterValueException", "Function code combined with layers exceeds the maximum allowed size of 262144000 bytes. The actual size is 2726")
}

// linkZip is a package of a symbolic link.
func linkZip(t *testing.T, name, to string) []byte {
	t.Helper()
	h := &zip.FileHeader{Name: name}
	h.SetMode(fs.ModeSymlink | 0o777)
	return zipOf(t, h, strings.NewReader(to))
}

// zeroZip is a package of n bytes that packs well.
func zeroZip(t *testing.T, n int64) []byte {
	t.Helper()
	return zipOf(t, &zip.FileHeader{Name: "zeros", Method: zip.Deflate}, io.LimitReader(zeros{}, n))
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func zipOf(t *testing.T, h *zip.FileHeader, content io.Reader) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.CreateHeader(h)
	if err == nil {
		_, err = io.Copy(w, content)
	}
	if err = errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestNotThereYet checks that an operation which is not built says so.
func TestNotThereYet(t *testing.T) {
	n := on(t, "namespace")
	_, err := n.lambda.ListCapacityProviders(t.Context(), &lambda.ListCapacityProvidersInput{})
	if err == nil || !strings.Contains(err.Error(), "UnsupportedOperationException") {
		t.Errorf("ListCapacityProviders: %v", err)
	}
	_, err = n.lambda.GetEventSourceMapping(t.Context(), &lambda.GetEventSourceMappingInput{UUID: aws.String("14e0db71-5a35-4eb5-b481-8945cf9d10c2")})
	if err == nil || !strings.Contains(err.Error(), "UnsupportedOperationException") {
		t.Errorf("GetEventSourceMapping: %v", err)
	}
}

// TestCallerIdentity asks STS who one is.
func TestCallerIdentity(t *testing.T) { checkIdentity(t, on(t, "namespace")) }

func checkIdentity(t *testing.T, n *node) {
	t.Helper()
	client := sts.New(sts.Options{Region: "us-east-1", BaseEndpoint: &n.url, Credentials: credentials.StaticCredentialsProvider{Value: n.key}})
	got, err := client.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil {
		t.Fatal(err)
	}
	if aws.ToString(got.Account) != "000000000000" || aws.ToString(got.Arn) != "arn:aws:iam::000000000000:root" {
		t.Errorf("got %+v", got)
	}
}
