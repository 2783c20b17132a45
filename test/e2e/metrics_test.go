package e2e

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

// TestMetrics: CloudWatch's client finds what functions did, by function and tenant,
// and what they wrote in the embedded metric format; a kill -9 of the node loses
// and doubles no invocation.
func TestMetrics(t *testing.T) {
	n := start(t, "--isolation", "namespace")
	f := n.deploy(t, python, files{"main.py": `
import json, time
def handler(event, context):
    print(json.dumps({"_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [{"Namespace": "shop", "Dimensions": [["kind"]],
        "Metrics": [{"Name": "orders", "Unit": "Count"}]}]}, "kind": "book", "orders": 2}), flush=True)
    if event.get("fail"): raise Exception("asked to")
`}, isolated)
	sum := func(namespace, name string, dimensions ...string) float64 {
		t.Helper()
		client := cloudwatch.New(cloudwatch.Options{Region: "us-east-1", BaseEndpoint: &n.url, RetryMaxAttempts: 1,
			Credentials: credentials.StaticCredentialsProvider{Value: n.key}})
		in := &cloudwatch.GetMetricStatisticsInput{Namespace: &namespace, MetricName: &name, Period: aws.Int32(86400), Statistics: []types.Statistic{types.StatisticSum},
			StartTime: aws.Time(time.Now().AddDate(0, 0, -1)), EndTime: aws.Time(time.Now().Add(time.Hour))}
		for i := 0; i < len(dimensions); i += 2 {
			in.Dimensions = append(in.Dimensions, types.Dimension{Name: &dimensions[i], Value: &dimensions[i+1]})
		}
		out, err := client.GetMetricStatistics(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		total := 0.0
		for _, p := range out.Datapoints {
			total += *p.Sum
		}
		return total
	}
	check := func() {
		t.Helper()
		for _, c := range []struct {
			namespace, name string
			dimensions      []string
			want            float64
		}{
			{"AWS/Lambda", "Invocations", []string{"FunctionName", f}, 4},
			{"AWS/Lambda", "Invocations", []string{"FunctionName", f, "TenantId", "blue"}, 3},
			{"AWS/Lambda", "Errors", []string{"FunctionName", f, "Resource", f}, 1},
			{"AWS/Lambda", "Errors", []string{"FunctionName", f, "TenantId", "red"}, 1},
			{"AWS/Lambda", "Throttles", []string{"FunctionName", f}, 0},
			{"shop", "orders", []string{"kind", "book"}, 8},
		} {
			if got := sum(c.namespace, c.name, c.dimensions...); got != c.want {
				t.Errorf("%s %q: %v, want %v", c.name, c.dimensions, got, c.want)
			}
		}
	}
	for range 3 {
		n.invoke(t, f, call{tenant: "blue", payload: "{}"})
	}
	if inv := n.invoke(t, f, call{tenant: "red", payload: `{"fail":true}`}); inv.FunctionError == nil {
		t.Error("the function did not fail")
	}
	check()
	// Prometheus's page, from this machine.
	resp, err := http.Get(n.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`alcove_invocations_total{function="` + f + `",status="success"} 3`, `alcove_invocations_total{function="` + f + `",status="error"} 1`,
		`alcove_tenant_invocations_total{tenant="blue"} 3`, `alcove_tenant_errors_total{tenant="red"} 1`, `alcove_journal_failed_total 0`,
	} {
		if !strings.Contains(string(page), line+"\n") {
			t.Errorf("/metrics has no %s:\n%s", line, page)
		}
	}
	n.kill(t)
	n = startIn(t, n.data, "--isolation", "namespace")
	check()
}
