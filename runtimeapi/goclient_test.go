package runtimeapi_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove/runtimeapi"
	"github.com/alcove-run/alcove/runtimeapi/runtimeapitest"
)

// TestGoClient runs a function made with the official Go client, unchanged,
// against the server over TCP, which is all that client knows.
func TestGoClient(t *testing.T) {
	program := filepath.Join(t.TempDir(), "bootstrap")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./testdata/gofunction")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	env, addr := serveTCP(t)
	run := exec.CommandContext(t.Context(), program)
	run.Env = []string{"AWS_LAMBDA_RUNTIME_API=" + addr, "_HANDLER=bootstrap", "AWS_LAMBDA_FUNCTION_NAME=f",
		"AWS_LAMBDA_FUNCTION_VERSION=$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128"}
	var stderr strings.Builder
	run.Stderr = &stderr
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = run.Process.Kill()
		_ = run.Wait()
		if t.Failed() {
			t.Log(stderr.String())
		}
	}()

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, tt := range []struct {
		name, payload, want, fault string
	}{
		{"result", `{"do":"context"}`, `{"arn":"arn:aws:lambda:us-east-1:000000000000:function:f","custom":"v","deadline":true,"id":"r1","tenant":"blue"}`, ""},
		{"error", `{"do":"error"}`, `{"errorMessage":"this went wrong","errorType":"errorString"}`, "Runtime.Unknown"},
		{"error with a long message", `{"do":"long error"}`, strings.Repeat("long ", 20000), "Runtime.Unknown"},
		{"large result", `{"do":"large"}`, strings.Repeat("x", 5<<20), ""},
		{"result beyond the limit", `{"do":"too large"}`, "", "too large"},
	} {
		ev := &runtimeapi.Event{RequestID: "r1", FunctionARN: "arn:aws:lambda:us-east-1:000000000000:function:f", Tenant: "blue",
			ClientContext: `{"custom":{"k":"v"}}`, Deadline: time.Now().Add(time.Hour), Payload: []byte(tt.payload)}
		o, err := env.Invoke(ctx, ev)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		switch {
		case tt.fault == "too large":
			if !o.TooLarge {
				t.Errorf("%s: outcome %+v", tt.name, o)
			}
		case tt.fault != "":
			if o.Fault == nil || o.Fault.Type != tt.fault || !strings.Contains(string(o.Fault.Body), tt.want) {
				t.Errorf("%s: outcome %+v", tt.name, o)
			}
		default:
			if o.Fault != nil || !strings.Contains(string(o.Payload), tt.want) {
				t.Errorf("%s: outcome %+v", tt.name, o)
			}
		}
		if tt.fault == "too large" {
			break // the client ends itself after that, as it does on AWS
		}
	}
}

// serveTCP is serve for clients that insist on TCP.
func serveTCP(t *testing.T) (*runtimeapitest.Environment, string) {
	t.Helper()
	env := runtimeapitest.New()
	server := runtimeapi.NewServer(env, runtimeapi.OwnConns, nil, slog.New(slog.DiscardHandler))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		env.Close()
		server.Wait()
	})
	return env, l.Addr().String()
}
