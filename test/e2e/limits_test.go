package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// wantThrottle checks a TooManyRequestsException and its reason.
func wantThrottle(t *testing.T, err error, reason types.ThrottleReason, text string) {
	t.Helper()
	wantError(t, err, 429, "TooManyRequestsException", text)
	if e, ok := errors.AsType[*types.TooManyRequestsException](err); ok && e.Reason != reason {
		t.Errorf("the reason is %q, want %q", e.Reason, reason)
	}
}

// wantLimit checks which of the node's limits a refusal names.
func wantLimit(t *testing.T, err error, limit string) {
	t.Helper()
	e, ok := errors.AsType[*smithyhttp.ResponseError](err)
	if !ok || e.Response.Header.Get("X-Alcove-Limit") != limit {
		t.Errorf("%v does not name the limit %q", err, limit)
	}
}

// reserve sets a function's reserved concurrency.
func (n *node) reserve(t *testing.T, function string, limit int32) {
	t.Helper()
	out, err := n.lambda.PutFunctionConcurrency(t.Context(), &lambda.PutFunctionConcurrencyInput{FunctionName: &function, ReservedConcurrentExecutions: &limit})
	if err != nil || aws.ToInt32(out.ReservedConcurrentExecutions) != limit {
		t.Fatalf("PutFunctionConcurrency: %v, %v", out, err)
	}
}

// busy starts invocations that run until release is called, and waits until all
// of them run.
func (n *node) busy(t *testing.T, function string, tenants ...string) (release func()) {
	t.Helper()
	done := make(chan error, len(tenants))
	for _, tenant := range tenants {
		go func() {
			inv, err := n.try(t, function, call{tenant: tenant, payload: `{"seconds": 2}`})
			if err == nil {
				err = decode(inv, &identity{})
			}
			done <- err
		}()
	}
	eventually(t, fmt.Sprintf("%d invocations run", len(tenants)), func() bool {
		running := 0
		for _, e := range n.environments(t, function) {
			if e.State == "busy" {
				running++
			}
		}
		return running == len(tenants)
	})
	return func() {
		for range tenants {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
}

// TestATenantWithManyCountsForLess: when processors are short, a tenant does not have
// as many parts as it has invocations at work.
func TestATenantWithManyCountsForLess(t *testing.T) {
	n := on(t, "namespace")
	f := n.deploy(t, python, files{"main.py": whoAmI}, isolated)
	release := n.busy(t, f, "many", "many", "many", "many", "many", "many", "many", "many", "one")
	defer release()
	groups := map[string]string{}
	for _, g := range n.cgroups() {
		for _, file := range []string{"cpu.shares", "cpu.weight"} { // version 1, version 2
			if text, err := os.ReadFile(filepath.Join(g, file)); err == nil {
				groups[filepath.Base(g)] = strings.TrimSpace(string(text))
			}
		}
	}
	weights := map[string][]int{}
	for _, e := range n.environments(t, f) {
		weight, err := strconv.Atoi(groups[e.ID])
		if err != nil {
			t.Fatalf("%s has no weight: %v", e.ID, err)
		}
		weights[e.Tenant] = append(weights[e.Tenant], weight)
	}
	one, many := weights["one"], weights["many"]
	if len(one) != 1 || len(many) != 8 {
		t.Fatalf("weights %v", weights)
	}
	sum := 0
	for _, w := range many {
		sum += w
	}
	if lightest := slices.Min(many); lightest > max(1, one[0]/8) || sum > 5*one[0] {
		t.Errorf("eight invocations weigh %v, another tenant's one %d", many, one[0])
	}
}

// TestReservedConcurrency checks AWS's answers when a function's own limit is
// reached.
func TestReservedConcurrency(t *testing.T) {
	n := on(t, "namespace")
	f := n.deploy(t, python, files{"main.py": whoAmI}, isolated)
	n.reserve(t, f, 0)
	_, err := n.try(t, f, call{tenant: "a"})
	wantThrottle(t, err, types.ThrottleReasonReservedFunctionConcurrentInvocationLimitExceeded, "Rate Exceeded.")
	n.reserve(t, f, 1)
	got, err := n.lambda.GetFunctionConcurrency(t.Context(), &lambda.GetFunctionConcurrencyInput{FunctionName: &f})
	if err != nil || aws.ToInt32(got.ReservedConcurrentExecutions) != 1 {
		t.Errorf("GetFunctionConcurrency: %v, %v", got, err)
	}
	n.run(t, f, call{tenant: "a"}, nil)
	release := n.busy(t, f, "a")
	_, err = n.try(t, f, call{tenant: "b"})
	wantThrottle(t, err, types.ThrottleReasonReservedFunctionConcurrentInvocationLimitExceeded, "Rate Exceeded.")
	release()
	n.run(t, f, call{tenant: "b"}, nil)
	if _, err := n.lambda.DeleteFunctionConcurrency(t.Context(), &lambda.DeleteFunctionConcurrencyInput{FunctionName: &f}); err != nil {
		t.Fatal(err)
	}
	release = n.busy(t, f, "a", "b", "c")
	n.run(t, f, call{tenant: "d"}, nil)
	release()
}

// TestAccountConcurrency checks the limit of all functions together.
func TestAccountConcurrency(t *testing.T) {
	n := start(t, "--isolation", "namespace", "--concurrency", "2", "--tenant-idle-min", "0s")
	f := n.deploy(t, python, files{"main.py": whoAmI}, isolated)
	other := n.deploy(t, python, files{"main.py": whoAmI})
	settings, err := n.lambda.GetAccountSettings(t.Context(), &lambda.GetAccountSettingsInput{})
	if err != nil || settings.AccountLimit.ConcurrentExecutions != 2 || settings.AccountUsage.FunctionCount != 2 {
		t.Errorf("GetAccountSettings: %+v, %v", settings, err)
	}
	release := n.busy(t, f, "a", "b")
	_, err = n.try(t, f, call{tenant: "c"})
	wantThrottle(t, err, types.ThrottleReasonConcurrentInvocationLimitExceeded, "Rate Exceeded.")
	wantLimit(t, err, "concurrency")
	_, err = n.try(t, other, call{})
	wantThrottle(t, err, types.ThrottleReasonConcurrentInvocationLimitExceeded, "Rate Exceeded.")
	release()
	n.run(t, other, call{}, nil)
}

// TestTenantCap checks the cap of tenant environments: 2.5 times the concurrency,
// idle ones too. A spray of ids does not drive out those that were used lately.
func TestTenantCap(t *testing.T) {
	n := start(t, "--isolation", "namespace", "--concurrency", "2")
	f := n.deploy(t, python, files{"main.py": whoAmI}, isolated)
	mine := map[string]string{}
	for _, tenant := range []string{"a", "b", "c", "d", "e"} {
		var got identity
		n.run(t, f, call{tenant: tenant}, &got)
		mine[tenant] = got.Me
	}
	for range 3 {
		_, err := n.try(t, f, call{tenant: "f"})
		wantError(t, err, 429, "TooManyRequestsException", "Rate exceeded")
		wantLimit(t, err, "tenant-environments")
	}
	for tenant, me := range mine {
		var got identity
		if inv := n.run(t, f, call{tenant: tenant}, &got); got.Me != me || inv.start != "warm" {
			t.Errorf("tenant %s lost its environment to a refused one", tenant)
		}
	}
	// The cap is a function's own.
	other := n.deploy(t, python, files{"main.py": whoAmI}, isolated)
	n.run(t, other, call{tenant: "f"}, nil)
}

// TestTenantCapEvicts checks that idle environments make room, least recently
// used first.
func TestTenantCapEvicts(t *testing.T) {
	n := start(t, "--isolation", "namespace", "--concurrency", "2", "--tenant-idle-min", "0s")
	f := n.deploy(t, python, files{"main.py": whoAmI}, isolated)
	mine := map[string]string{}
	for _, tenant := range []string{"a", "b", "c", "d", "e", "a"} {
		var got identity
		n.run(t, f, call{tenant: tenant}, &got)
		mine[tenant] = got.Me
	}
	n.run(t, f, call{tenant: "f"}, nil) // in b's place
	var a, b identity
	n.run(t, f, call{tenant: "a"}, &a)
	if a.Me != mine["a"] || a.Count != 3 {
		t.Errorf("tenant a, used lately, was driven out: %+v", a)
	}
	n.run(t, f, call{tenant: "b"}, &b)
	if b.Me == mine["b"] || b.Count != 1 {
		t.Errorf("tenant b, idle longest, was not driven out: %+v", b)
	}
	eventually(t, "no more than five environments", func() bool { return len(n.environments(t, f)) <= 5 })
	// Reserved concurrency has a cap of its own: floor(2.5 × 1).
	g := n.deploy(t, python, files{"main.py": whoAmI}, isolated)
	n.reserve(t, g, 1)
	for _, tenant := range []string{"a", "b", "c", "d"} {
		n.run(t, g, call{tenant: tenant}, nil)
	}
	eventually(t, "no more than two environments", func() bool { return len(n.environments(t, g)) <= 2 })
}

// TestMemoryBudget checks that a node does not make more environments than its
// memory is for.
func TestMemoryBudget(t *testing.T) {
	n := start(t, "--isolation", "namespace", "--memory", "60MB", "--tenant-idle-min", "0s")
	f := n.deploy(t, python, files{"main.py": whoAmI}, isolated)
	for i := range 30 {
		n.run(t, f, call{tenant: fmt.Sprint("t", i)}, nil)
	}
	envs := n.environments(t, f)
	sum := int64(0)
	for _, e := range envs {
		sum += e.MemoryBytes
	}
	if len(envs) == 30 || sum > 72<<20 { // some are on their way out
		t.Errorf("%d environments of %d MB together in 60 MB", len(envs), sum>>20)
	}
}

// TestMemoryBudgetRefuses checks that a node whose memory is all at work says so.
func TestMemoryBudgetRefuses(t *testing.T) {
	n := start(t, "--isolation", "namespace", "--memory", "92MB")
	f := n.deploy(t, python, files{"main.py": whoAmI}, isolated)
	// An environment counts 24 MB until one of its function was measured, a blank
	// one that is being made 16.
	release := n.busy(t, f, "a", "b", "c")
	_, err := n.try(t, f, call{tenant: "d"})
	wantThrottle(t, err, types.ThrottleReasonConcurrentInvocationLimitExceeded, "Rate Exceeded.")
	wantLimit(t, err, "memory")
	release()
	n.run(t, f, call{tenant: "d"}, nil)
}

// TestSlowInitIsWaitedFor checks that an Init of a few seconds is no failure.
func TestSlowInitIsWaitedFor(t *testing.T) {
	n := on(t, "namespace")
	f := n.deploy(t, python, files{"main.py": "import time\ntime.sleep(1.5)\ndef handler(event, context):\n return 1"}, timeout(1))
	began := time.Now()
	n.run(t, f, call{}, nil)
	if took := time.Since(began); took < 1500*time.Millisecond {
		t.Errorf("answered after %s, before Init can have ended", took)
	}
}

// TestSequentialCallerOfALateRuntime: at a reserved concurrency of 1 a tenant may
// have one environment. Called one at a time it is not throttled, however long its
// runtime takes from its answer to the next event.
func TestSequentialCallerOfALateRuntime(t *testing.T) {
	n := on(t, "namespace")
	bootstrap := `#!/bin/sh
api=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation
count=0
while :; do
	id=$(curl -sS -o /dev/null -D - "$api/next" | sed -n 's/^[Ll]ambda-[Rr]untime-[Aa]ws-[Rr]equest-[Ii]d: *//p' | tr -d '\r')
	count=$((count + 1))
	curl -sS -o /dev/null -d "{\"count\": $count}" "$api/$id/response"
	sleep 0.3
done
`
	f := n.deploy(t, provided, files{"bootstrap*": bootstrap}, isolated, handler("any"))
	n.reserve(t, f, 1)
	for i := 1; i <= 5; i++ {
		var got identity
		if n.run(t, f, call{tenant: "a"}, &got); got.Count != i {
			t.Errorf("call %d: %+v", i, got)
		}
	}
}
