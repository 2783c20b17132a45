package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

const (
	functionARN = "arn:aws:lambda:us-east-1:000000000000:function:"
	userARN     = "arn:aws:iam::000000000000:user/"
)

// makeKey makes an access key by the command line.
func (n *node) makeKey(t *testing.T, name, policy string) aws.Credentials {
	t.Helper()
	return n.MakeKey(t, name, policy)
}

// TestAKeyOfOneTenant gives a tenant a key of its own and tries what it may and
// what it may not, before and after a kill -9.
func TestAKeyOfOneTenant(t *testing.T) {
	data := t.TempDir()
	n := startIn(t, data, "--isolation", "namespace")
	root := n.key
	f := n.deploy(t, python, files{"main.py": talks}, isolated, jsonLog)
	blue := n.makeKey(t, "blue", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"lambda:InvokeFunction","Resource":"`+functionARN+f+`","Condition":{"StringEquals":{"lambda:TenantId":"blue"}}},
		{"Effect":"Allow","Action":["logs:*","alcove:*","lambda:GetFunction"],"Resource":"*"}]}`)
	n.run(t, f, call{tenant: "green"}, nil)
	n.run(t, f, call{tenant: "blue"}, nil)
	group := "/aws/lambda/" + f
	n.settled(t, group, 2)

	check := func(n *node) {
		t.Helper()
		client := n.lambdaAs(blue)
		if _, err := client.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &f, TenantId: aws.String("blue")}); err != nil {
			t.Errorf("its own: %v", err)
		}
		_, err := client.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &f, TenantId: aws.String("green")})
		wantError(t, err, 403, "AccessDeniedException", "User: "+userARN+"blue is not authorized to perform: lambda:InvokeFunction on resource: "+functionARN+f+
			" because no identity-based policy allows the lambda:InvokeFunction action")
		if _, err := client.GetFunction(t.Context(), &lambda.GetFunctionInput{FunctionName: &f}); err != nil {
			t.Errorf("GetFunction: %v", err)
		}
		_, err = client.ListFunctions(t.Context(), &lambda.ListFunctionsInput{})
		wantError(t, err, 403, "AccessDeniedException", "lambda:ListFunctions on resource: *")
		_, err = client.DeleteFunction(t.Context(), &lambda.DeleteFunctionInput{FunctionName: &f})
		wantError(t, err, 403, "AccessDeniedException", "lambda:DeleteFunction")

		provider := credentials.StaticCredentialsProvider{Value: blue}
		who, err := sts.New(sts.Options{Region: "us-east-1", BaseEndpoint: &n.url, Credentials: provider}).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		if err != nil || *who.Arn != userARN+"blue" || !strings.HasPrefix(*who.UserId, "AIDA") {
			t.Errorf("GetCallerIdentity: %+v %v", who, err)
		}

		logs := cloudwatchlogs.New(cloudwatchlogs.Options{Region: "us-east-1", BaseEndpoint: &n.url, Credentials: provider})
		found, err := logs.FilterLogEvents(t.Context(), &cloudwatchlogs.FilterLogEventsInput{LogGroupName: &group})
		if err != nil {
			t.Fatal(err)
		}
		own := 0
		for _, e := range found.Events {
			if strings.Contains(*e.Message, "green") {
				t.Errorf("reads %s", *e.Message)
			}
			if strings.Contains(*e.Message, "blue") {
				own++
			}
		}
		if own == 0 {
			t.Error("reads nothing of its own")
		}
		_, err = logs.DescribeLogStreams(t.Context(), &cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: &group})
		wantError(t, err, 400, "AccessDeniedException", "bound to tenants")
		for _, e := range n.allOf(t, f) {
			if e.Tenant == "green" {
				green := e.LogStream
				got, err := logs.GetLogEvents(t.Context(), &cloudwatchlogs.GetLogEventsInput{LogGroupName: &group, LogStreamName: &green})
				if err != nil || len(got.Events) != 0 {
					t.Errorf("another tenant's stream: %v %v", got, err)
				}
			}
		}

		mine := &node{Node: n.Node, key: blue}
		for _, e := range mine.all(t, f) {
			if e.Tenant != "blue" {
				t.Errorf("sees an environment of %q", e.Tenant)
			}
		}
		if text := string(mine.get(t, "/alcove/v1/tenants?function="+f)); strings.Contains(text, "green") {
			t.Errorf("sees tenants %s", text)
		}
		if text := string(mine.get(t, "/alcove/v1/logs?function="+f)); strings.Contains(text, "green") || !strings.Contains(text, "blue") {
			t.Errorf("reads %s", text)
		}
		for _, path := range []string{"keys", "audit", "functions/" + f + "/stock"} {
			if status := mine.status(t, "/alcove/v1/"+path); status != http.StatusForbidden {
				t.Errorf("GET %s: %d", path, status)
			}
		}
	}
	check(n)
	n.kill(t)
	n = startIn(t, data, "--isolation", "namespace")
	if n.key = root; len(n.Log.String()) > 0 && strings.Contains(n.Log.String()+n.Out.String(), blue.SecretAccessKey) {
		t.Error("the node shows a secret")
	}
	n.lambda = n.lambdaAs(root)
	n.run(t, f, call{tenant: "green"}, nil)
	check(n)

	// The audit tells it all, from before the kill as well.
	out, errs, err := n.alcove(t, "audit", "--caller", "blue", "--json")
	if err != nil {
		t.Fatalf("audit: %v %s", err, errs)
	}
	counts := map[string]int{}
	for line := range strings.Lines(out) {
		var r struct {
			Action, Tenant, Source, Caller, RequestID string
			Allowed                                   bool
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil || r.Source != "127.0.0.1" || r.Caller != userARN+"blue" || r.RequestID == "" {
			t.Errorf("record %s: %v", line, err)
		}
		what := r.Action + " " + r.Tenant
		if !r.Allowed {
			what = "not " + what
		}
		counts[what]++
	}
	for _, what := range []string{"lambda:InvokeFunction blue", "not lambda:InvokeFunction green", "not lambda:DeleteFunction ", "lambda:GetFunction ",
		"sts:GetCallerIdentity ", "logs:FilterLogEvents ", "not alcove:ListKeys "} {
		if counts[what] != 2 {
			t.Errorf("%d records of %q, want 2", counts[what], what)
		}
	}
	if strings.Contains(out, blue.SecretAccessKey) {
		t.Error("the audit log has a secret")
	}

	if _, errs, err := n.alcove(t, "keys", "delete", "blue"); err != nil {
		t.Fatalf("keys delete: %v %s", err, errs)
	}
	_, err = n.lambdaAs(blue).Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &f, TenantId: aws.String("blue")})
	wantError(t, err, 403, "UnrecognizedClientException", "")
}

// TestFunctionPolicyLetsAKeyIn adds a permission to a function and takes it away.
func TestFunctionPolicyLetsAKeyIn(t *testing.T) {
	n := start(t, "--isolation", "namespace")
	f := n.deploy(t, python, files{"main.py": answers1})
	client := n.lambdaAs(n.makeKey(t, "ann", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"lambda:List*","Resource":"*"}}`))
	in := &lambda.InvokeInput{FunctionName: &f}
	_, err := client.Invoke(t.Context(), in)
	wantError(t, err, 403, "AccessDeniedException", "no identity-based policy allows")
	if _, err := n.lambda.AddPermission(t.Context(), &lambda.AddPermissionInput{FunctionName: &f, StatementId: aws.String("ann"),
		Action: aws.String("lambda:InvokeFunction"), Principal: aws.String(userARN + "ann")}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Invoke(t.Context(), in); err != nil {
		t.Errorf("with a permission: %v", err)
	}
	if _, err := n.lambda.RemovePermission(t.Context(), &lambda.RemovePermissionInput{FunctionName: &f, StatementId: aws.String("ann")}); err != nil {
		t.Fatal(err)
	}
	_, err = client.Invoke(t.Context(), in)
	wantError(t, err, 403, "AccessDeniedException", "no identity-based policy allows")
	if _, errs, err := n.alcove(t, "keys", "create", "bad", "--policy", "/dev/null"); err == nil || !strings.Contains(errs, "not in the valid JSON format") {
		t.Errorf("a policy that is none: %v %s", err, errs)
	}
}
