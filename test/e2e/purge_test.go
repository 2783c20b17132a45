package e2e

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const remembers = `
import json, os, time
count = 0
def handler(event, context):
    global count
    if event.get("fail"): raise ValueError(event["text"])
    count += 1
    before = os.path.exists("/tmp/kept")
    with open("/tmp/kept", "a") as f: f.write(event["text"] * 50)
    os.sync()
    print("handled", event["text"], flush=True)
    print(json.dumps({"_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [{"Namespace": "shop", "Dimensions": [["who"]],
        "Metrics": [{"Name": "orders"}]}]}, "who": event["text"], "orders": 1}), flush=True)
    time.sleep(event.get("sleep", 0))
    return {"count": count, "before": before, "text": event["text"]}
`

// filesWith are the files below a directory that have these bytes, and the parts of
// the data directory that those are in.
func filesWith(t *testing.T, dir, needle string) (list, parts []string) {
	t.Helper()
	// grep passes over the holes of sparse files.
	out, err := exec.Command("grep", "-rlaF", "--", needle, dir).Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() > 1 && len(exit.Stderr) > 0 && !strings.Contains(string(exit.Stderr), "No such file") {
		t.Fatalf("grep: %v: %s", err, exit.Stderr)
	}
	for path := range strings.Lines(string(out)) {
		path, err := filepath.Rel(dir, strings.TrimSpace(path))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, path)
		part, _, _ := strings.Cut(path, "/")
		if !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	slices.Sort(parts)
	return list, parts
}

// TestPurge takes a tenant off a node on which it has done everything that leaves
// bytes, in one call, and by one that a kill -9 cuts off.
func TestPurge(t *testing.T) {
	for _, driver := range drivers {
		t.Run(driver, func(t *testing.T) {
			n := start(t, "--isolation", driver)
			f := n.deploy(t, python, files{"main.py": remembers}, isolated, timeout(60))
			type answer struct {
				Count  int
				Before bool
			}
			const tenant, text = "canary-9e1f/tenant", "canary-bytes-7d2c"
			say := func(who, what string) (a answer) {
				n.run(t, f, call{tenant: who, payload: `{"text":"` + what + `"}`}, &a)
				return a
			}
			// keyed is a call whose result is kept, and tells whether it is an earlier one.
			keyed := func() bool {
				t.Helper()
				client := lambda.New(n.lambda.Options(), func(o *lambda.Options) {
					o.APIOptions = append(o.APIOptions, smithyhttp.AddHeaderValue("X-Alcove-Idempotency-Key", "key-"+text))
				})
				out, err := client.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &f, TenantId: aws.String(tenant), Payload: []byte(`{"text":"` + text + `"}`)})
				if err != nil || !strings.Contains(string(out.Payload), text) {
					t.Fatalf("%v: %+v", err, out)
				}
				return awsmiddleware.GetRawResponse(out.ResultMetadata).(*smithyhttp.Response).Header.Get("X-Alcove-Idempotent-Replay") != ""
			}
			// metric is what of the tenant's is in CloudWatch.
			metric := func() int {
				t.Helper()
				client := cloudwatch.New(cloudwatch.Options{Region: "us-east-1", BaseEndpoint: &n.url, RetryMaxAttempts: 1, Credentials: credentials.StaticCredentialsProvider{Value: n.key}})
				own, err := client.ListMetrics(t.Context(), &cloudwatch.ListMetricsInput{Dimensions: []cwtypes.DimensionFilter{{Name: aws.String("who"), Value: aws.String(text)}}})
				if err != nil {
					t.Fatal(err)
				}
				ours, err := client.ListMetrics(t.Context(), &cloudwatch.ListMetricsInput{Dimensions: []cwtypes.DimensionFilter{{Name: aws.String("TenantId"), Value: aws.String(tenant)}}})
				if err != nil {
					t.Fatal(err)
				}
				return len(own.Metrics) + len(ours.Metrics)
			}
			fill := func() {
				t.Helper()
				if keyed() || !keyed() {
					t.Error("a result is not kept, or one from before")
				}
				// An event that has failed once, and waits to run again.
				n.event(t, f, tenant, `{"text":"`+text+`","fail":true}`)
				n.wrote(t, f, "[ERROR] ValueError: "+text)
				eventually(t, "the tenant has metrics", func() bool { return metric() > 1 })
				say(tenant, text)
				if a := say(tenant, text); a.Count < 2 || !a.Before {
					t.Fatalf("the tenant is not kept: %+v", a)
				}
				say("other", "others-bytes")
				n.wrote(t, f, "handled "+text)
				// What is in /tmp has no name on the host: it goes with the last process.
				// The queue keeps the event, its result and the key's, metrics their names.
				eventually(t, "the tenant's bytes are wherever they may be", func() bool {
					_, parts := filesWith(t, n.data, text)
					return slices.Equal(parts, []string{"events", "logs", "metrics"})
				})
				if _, parts := filesWith(t, n.data, tenant); !slices.Contains(parts, "journal") {
					t.Fatalf("the tenant's id is in %q: the test looks at the wrong place", parts)
				}
			}
			gone := func() {
				t.Helper()
				if list, _ := filesWith(t, n.data, text); len(list) > 0 {
					t.Errorf("the tenant's bytes are in %q", list)
				}
				if k := metric(); k > 0 {
					t.Errorf("the tenant has %d metrics", k)
				}
				// The bill stays, and who asked for what.
				if list, parts := filesWith(t, n.data, tenant); !slices.Equal(parts, []string{"audit", "usage"}) {
					t.Errorf("the tenant's id is in %q", list)
				}
			}
			fill()
			running := make(chan error, 1)
			go func() {
				inv, err := n.try(t, f, call{tenant: tenant, payload: `{"text":"` + text + `","sleep":50}`})
				if err == nil && inv.FunctionError == nil {
					err = errors.New("the invocation ended well")
				} else {
					err = nil
				}
				running <- err
			}()
			eventually(t, "an invocation runs", func() bool {
				return slices.ContainsFunc(n.environments(t, f), func(e environment) bool { return e.Tenant == tenant && e.State == "busy" })
			})
			out, errs, err := n.alcove(t, "tenants", "purge", tenant)
			if err != nil || !strings.HasPrefix(out, "purged "+tenant+" in ") {
				t.Fatalf("%v: %s%s", err, out, errs)
			}
			if err := <-running; err != nil {
				t.Error(err)
			}
			gone()
			if a := say("other", "others-bytes"); a.Count != 2 {
				t.Errorf("another tenant has lost its environment: %+v", a)
			}
			n.wrote(t, f, "handled others-bytes")

			// The sums are there, the single entries and the records of invocations not.
			var use struct {
				Total struct{ Invocations, Environments int }
			}
			if err := json.Unmarshal(n.get(t, "/alcove/v1/usage?tenant="+strings.ReplaceAll(tenant, "/", "%2F")), &use); err != nil || use.Total.Invocations < 2 || use.Total.Environments < 1 {
				t.Errorf("%v, usage %+v", err, use)
			}
			if entries := string(n.get(t, "/alcove/v1/usage/entries")); strings.Contains(entries, tenant) || !strings.Contains(entries, `"other"`) {
				t.Errorf("entries %s", entries)
			}
			audit := string(n.get(t, "/alcove/v1/audit?action=alcove:PurgeTenant"))
			if !strings.Contains(audit, `"tenant":"`+tenant+`","allowed":true`) || !strings.Contains(audit, `"accessKeyId":"`+n.key.AccessKeyID+`"`) ||
				!strings.Contains(audit, `"caller":"arn:aws:iam::000000000000:root"`) {
				t.Errorf("audit %s", audit)
			}

			// Who comes back begins anew. This time the node is killed midway.
			if a := say(tenant, text); a.Count != 1 || a.Before {
				t.Errorf("not anew: %+v", a)
			}
			fill()
			go func() { _, _, _ = n.alcove(t, "tenants", "purge", tenant) }()
			notes := filepath.Join(n.data, "purge")
			eventually(t, "the purge has begun", func() bool {
				list, err := filepath.Glob(filepath.Join(notes, "*.purge"))
				return err == nil && len(list) > 0
			})
			n.kill(t)
			n = startIn(t, n.data, "--isolation", driver)
			eventually(t, "the purge is complete", func() bool {
				list, err := os.ReadDir(notes)
				return err == nil && len(list) == 0
			})
			gone()
			n.active(t, f)
			if a := say(tenant, text); a.Count != 1 || a.Before {
				t.Errorf("not anew after the kill: %+v", a)
			}
		})
	}
}

// TestUsageSurvivesKill: every invocation that was answered is on the bill once,
// however often the node is killed.
func TestUsageSurvivesKill(t *testing.T) {
	n := start(t, "--isolation", "namespace")
	f := n.deploy(t, python, files{"main.py": "def handler(event, context): return event"}, isolated)
	answered := 0
	for round := range 3 {
		n.active(t, f)
		for range 7 + round {
			n.run(t, f, call{tenant: "blue"}, nil)
			answered++
		}
		n.kill(t)
		n = startIn(t, n.data, "--isolation", "namespace")
	}
	out, errs, err := n.alcove(t, "usage", "--by", "tenant,function", "--format", "csv")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if err != nil || len(lines) != 2 || !strings.HasPrefix(lines[1], "blue,"+f+",") {
		t.Fatalf("%v: %s%s", err, out, errs)
	}
	cells := strings.Split(lines[1], ",")
	head := strings.Split(lines[0], ",")
	for name, want := range map[string]string{"invocations": "24", "errors": "0", "environments": "3", "environment_mb": "384"} {
		if got := cells[slices.Index(head, name)]; got != want {
			t.Errorf("%s: %s, want %s (%d answered)", name, got, want, answered)
		}
	}
}
