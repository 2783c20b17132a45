package testnode

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// Role is the execution role of functions that tests make.
const Role = "arn:aws:iam::000000000000:role/e2e"

// Runtime names that functions are deployed with.
const (
	Python   = types.Runtime("python3.13")
	NodeJS   = types.Runtime("nodejs22.x")
	Provided = types.RuntimeProvidedal2023
)

// Option changes a request before it is sent.
type Option func(*lambda.CreateFunctionInput)

// Isolated gives every tenant environments of its own.
func Isolated(in *lambda.CreateFunctionInput) {
	in.TenancyConfig = &types.TenancyConfig{TenantIsolationMode: types.TenantIsolationModePerTenant}
}

// JSONLog has the function write its log as JSON.
func JSONLog(in *lambda.CreateFunctionInput) {
	in.LoggingConfig = &types.LoggingConfig{LogFormat: types.LogFormatJson}
}

// Files is the content of a deployment package by name. A name that ends in "*"
// is an executable's.
type Files map[string]string

// Zip is the package.
func (f Files) Zip(t testing.TB) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for name, text := range f {
		mode := os.FileMode(0o644)
		if trimmed, ok := strings.CutSuffix(name, "*"); ok {
			name, mode = trimmed, 0o755
		}
		h := &zip.FileHeader{Name: name, Method: zip.Deflate}
		h.SetMode(mode)
		w, err := z.CreateHeader(h)
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// Name is one that no other test's function has.
func Name(t testing.TB) string {
	keep := func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}
	n := strings.Map(keep, t.Name())
	return fmt.Sprintf("%.50s-%x", n, time.Now().UnixNano()&0xffffffff)
}

// Deploy creates a function and waits until it is active. It is deleted when the
// test ends. The handler is main.handler if no option says otherwise.
func (n *Node) Deploy(t testing.TB, runtime types.Runtime, code Files, opts ...Option) string {
	t.Helper()
	name := Name(t)
	in := &lambda.CreateFunctionInput{FunctionName: &name, Runtime: runtime, Handler: aws.String("main.handler"),
		Role: aws.String(Role), Code: &types.FunctionCode{ZipFile: code.Zip(t)}, Timeout: aws.Int32(20)}
	for _, o := range opts {
		o(in)
	}
	if _, err := n.Lambda.CreateFunction(t.Context(), in); err != nil {
		t.Fatalf("CreateFunction: %v", err)
	}
	t.Cleanup(func() {
		// The test's context has ended; the node may have, too.
		_, _ = n.Lambda.DeleteFunction(context.Background(), &lambda.DeleteFunctionInput{FunctionName: &name})
	})
	n.Active(t, name)
	return name
}

// Active waits until a function can be invoked.
func (n *Node) Active(t testing.TB, name string) {
	t.Helper()
	err := lambda.NewFunctionActiveV2Waiter(n.Lambda, func(o *lambda.FunctionActiveV2WaiterOptions) {
		o.MinDelay, o.MaxDelay = 10*time.Millisecond, 100*time.Millisecond
	}).Wait(t.Context(), &lambda.GetFunctionInput{FunctionName: &name}, Patience)
	if err != nil {
		t.Fatalf("waiting until %s is active: %v", name, err)
	}
}

// Run invokes a function for a tenant, the empty one being none, and gives its answer;
// it must not fail.
func (n *Node) Run(t testing.TB, function, tenant, payload string) string {
	t.Helper()
	in := &lambda.InvokeInput{FunctionName: &function, Payload: []byte(payload)}
	if tenant != "" {
		in.TenantId = &tenant
	}
	out, err := n.Lambda.Invoke(t.Context(), in)
	if err != nil {
		t.Fatalf("Invoke %s for %q: %v", function, tenant, err)
	}
	if out.FunctionError != nil {
		t.Fatalf("%s failed: %s", function, out.Payload)
	}
	return string(out.Payload)
}

// Ask asks alcove's own API, signed with a key.
func (n *Node) Ask(t testing.TB, key aws.Credentials, path string) (status int, body []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	if err := v4.NewSigner().SignHTTP(t.Context(), key, req, emptyHash, "lambda", "us-east-1", time.Now()); err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
	return resp.StatusCode, body
}

// Environment is what the node tells of an execution environment.
type Environment struct {
	ID, Function, Version, Shape, Tenant, State, Isolation, LogStream string
	Bound, Frozen                                                     bool
	Invocations                                                       int
	MemoryBytes                                                       int64
}

// Environments lists all of a function's, or of every one's.
func (n *Node) Environments(t testing.TB, function string) []Environment {
	t.Helper()
	status, body := n.Ask(t, n.Key, "/alcove/v1/environments?function="+function)
	var answer struct{ Environments []Environment }
	if err := json.Unmarshal(body, &answer); err != nil || status != http.StatusOK {
		t.Fatalf("environments: %d %s", status, body)
	}
	return answer.Environments
}
