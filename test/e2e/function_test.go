package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/alcove-run/alcove/test/testnode"
)

const role = testnode.Role

// Runtime names that functions are deployed with here.
const (
	python   = testnode.Python
	nodejs   = testnode.NodeJS
	provided = testnode.Provided
)

// option changes a request before it is sent.
type option = testnode.Option

// isolated gives every tenant environments of its own.
func isolated(in *lambda.CreateFunctionInput) { testnode.Isolated(in) }

func memory(mb int32) option { return func(in *lambda.CreateFunctionInput) { in.MemorySize = &mb } }
func timeout(s int32) option { return func(in *lambda.CreateFunctionInput) { in.Timeout = &s } }
func handler(h string) option {
	return func(in *lambda.CreateFunctionInput) { in.Handler = &h }
}
func jsonLog(in *lambda.CreateFunctionInput) { testnode.JSONLog(in) }

// files is the content of a deployment package by name. A name that ends in "*"
// is an executable's.
type files = testnode.Files

// directory is the package of a directory of the repository.
func directory(t *testing.T, dir string) files {
	t.Helper()
	f := files{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		name := e.Name()
		if info, err := e.Info(); err == nil && info.Mode()&0o111 != 0 {
			name += "*"
		}
		f[name] = string(b)
	}
	return f
}

// name is one that no other test's function has.
func name(t *testing.T) string { return testnode.Name(t) }

// deploy creates a function and waits until it is active. It is deleted when the
// test ends. The handler is main.handler if no option says otherwise.
func (n *node) deploy(t *testing.T, runtime types.Runtime, code files, opts ...option) string {
	t.Helper()
	return n.Deploy(t, runtime, code, opts...)
}

// active waits until a function can be invoked.
func (n *node) active(t *testing.T, name string) { t.Helper(); n.Active(t, name) }

// updated waits until a change of a function is done.
func (n *node) updated(t *testing.T, name string) {
	t.Helper()
	err := lambda.NewFunctionUpdatedV2Waiter(n.lambda, func(o *lambda.FunctionUpdatedV2WaiterOptions) {
		o.MinDelay, o.MaxDelay = 10*time.Millisecond, 100*time.Millisecond
	}).Wait(t.Context(), &lambda.GetFunctionInput{FunctionName: &name}, patience)
	if err != nil {
		t.Fatalf("waiting until %s is updated: %v", name, err)
	}
}

// invocation is an answer of Invoke.
type invocation struct {
	*lambda.InvokeOutput
	tail  string
	start string // X-Alcove-Start
}

// call is one invocation as it is asked for.
type call struct {
	tenant, payload, qualifier string
	change                     func(*lambda.InvokeInput)
}

// try invokes and gives the service's error, if there is one.
func (n *node) try(t *testing.T, function string, c call) (*invocation, error) {
	t.Helper()
	in := &lambda.InvokeInput{FunctionName: &function, LogType: types.LogTypeTail, Payload: []byte(c.payload)}
	if c.tenant != "" {
		in.TenantId = &c.tenant
	}
	if c.qualifier != "" {
		in.Qualifier = &c.qualifier
	}
	if c.change != nil {
		c.change(in)
	}
	out, err := n.lambda.Invoke(t.Context(), in)
	if err != nil {
		return nil, err
	}
	inv := &invocation{InvokeOutput: out}
	log, err := base64.StdEncoding.DecodeString(aws.ToString(out.LogResult))
	if err != nil {
		t.Errorf("log tail: %v", err)
	}
	inv.tail = string(log)
	if resp, ok := awsmiddleware.GetRawResponse(out.ResultMetadata).(*smithyhttp.Response); ok {
		inv.start = resp.Header.Get("X-Alcove-Start")
	}
	return inv, nil
}

// invoke is try for what must be answered.
func (n *node) invoke(t *testing.T, function string, c call) *invocation {
	t.Helper()
	inv, err := n.try(t, function, c)
	if err != nil {
		t.Fatalf("Invoke %s for %q: %v", function, c.tenant, err)
	}
	return inv
}

// run invokes a function that must not fail and decodes its answer.
func (n *node) run(t *testing.T, function string, c call, into any) *invocation {
	t.Helper()
	inv := n.invoke(t, function, c)
	if inv.FunctionError != nil {
		t.Fatalf("%s failed: %s\n%s", function, inv.Payload, inv.tail)
	}
	if into != nil {
		if err := json.Unmarshal(inv.Payload, into); err != nil {
			t.Fatalf("%s answered %.300q: %v", function, inv.Payload, err)
		}
	}
	return inv
}

// failure is the error object that a failed function answers with.
type failure struct {
	ErrorType    string   `json:"errorType"`
	ErrorMessage string   `json:"errorMessage"`
	RequestID    *string  `json:"requestId"`
	StackTrace   []string `json:"stackTrace"`
	Trace        []string `json:"trace"`
}

// fail invokes a function that must fail.
func (n *node) fail(t *testing.T, function string, c call) (failure, *invocation) {
	t.Helper()
	inv := n.invoke(t, function, c)
	if aws.ToString(inv.FunctionError) != "Unhandled" {
		t.Fatalf("%s did not fail (FunctionError %v): %.300s", function, inv.FunctionError, inv.Payload)
	}
	if inv.StatusCode != 200 {
		t.Errorf("a failed function is answered with status %d", inv.StatusCode)
	}
	var f failure
	if err := json.Unmarshal(inv.Payload, &f); err != nil {
		t.Fatalf("%s failed with %.300q: %v", function, inv.Payload, err)
	}
	return f, inv
}

// wantError checks an error of the service: its code, and a part of its text.
func wantError(t *testing.T, err error, status int, code, text string) {
	t.Helper()
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		t.Errorf("want %s, got %v", code, err)
		return
	}
	got := 0
	if re, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		got = re.HTTPStatusCode()
	}
	if got != status || api.ErrorCode() != code || !strings.Contains(api.ErrorMessage(), text) {
		t.Errorf("got %d %s: %s\nwant %d %s: …%s…", got, api.ErrorCode(), api.ErrorMessage(), status, code, text)
	}
}

// decode is for goroutines, which may not end a test.
func decode(inv *invocation, into any) error {
	if inv.FunctionError != nil {
		return fmt.Errorf("the function failed: %s", inv.Payload)
	}
	return json.Unmarshal(inv.Payload, into)
}

// delete removes a function, if it is still there.
func (n *node) delete(ctx context.Context, name string) {
	_, _ = n.lambda.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: &name})
}
