package runtimeapi_test

import (
	"cmp"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove/runtimeapi"
)

// TestNodeClient runs a function on AWS's own client for Node.js, unchanged. The
// client is compiled when it is installed: ALCOVE_AWS_LAMBDA_RIC is what
// scripts/install-ric printed, the directory of the package or the reason why there
// is none.
func TestNodeClient(t *testing.T) {
	ric := os.Getenv("ALCOVE_AWS_LAMBDA_RIC")
	if !filepath.IsAbs(ric) {
		t.Skip(cmp.Or(ric, "ALCOVE_AWS_LAMBDA_RIC does not say where npm package aws-lambda-ric is installed"))
	}
	task := t.TempDir()
	const code = `exports.handler = async (event, context) => {
		if (event.fail) throw new TypeError("as asked");
		return {id: context.awsRequestId, tenant: context.tenantId, event};
	};`
	if err := os.WriteFile(filepath.Join(task, "index.js"), []byte(code), 0o644); err != nil {
		t.Fatal(err)
	}
	env, addr := serveTCP(t)
	run := exec.CommandContext(t.Context(), "/usr/bin/node", filepath.Join(ric, "index.mjs"))
	run.Dir = task
	run.Env = []string{"AWS_LAMBDA_RUNTIME_API=" + addr, "_HANDLER=index.handler", "LAMBDA_TASK_ROOT=" + task,
		"AWS_LAMBDA_FUNCTION_NAME=f", "AWS_LAMBDA_FUNCTION_VERSION=$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128",
		"AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/f", "AWS_LAMBDA_LOG_STREAM_NAME=s"}
	run.Stderr = os.Stderr
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = run.Process.Kill()
		_ = run.Wait()
	}()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ev := event("r1")
	ev.Tenant, ev.Deadline = "blue", time.Now().Add(time.Hour)
	o, err := env.Invoke(ctx, ev)
	if err != nil || string(o.Payload) != `{"id":"r1","tenant":"blue","event":{"a":1}}` {
		t.Fatalf("outcome %+v %v", o, err)
	}
	o, err = env.Invoke(ctx, &runtimeapi.Event{RequestID: "r2", FunctionARN: ev.FunctionARN, Deadline: ev.Deadline, Payload: []byte(`{"fail":true}`)})
	if err != nil || o.Fault == nil {
		t.Fatalf("outcome %+v %v", o, err)
	}
	if !strings.HasPrefix(string(o.Fault.Body), `{"errorType":"TypeError","errorMessage":"as asked","trace":["TypeError: as asked",`) {
		t.Errorf("%s", o.Fault.Body)
	}
}
