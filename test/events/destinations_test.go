package events

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/alcove-run/alcove/test/testnode"
)

const arns = "arn:aws:%s:us-east-1:000000000000:%s"

// TestDestinations has results go to SQS, SNS, EventBridge and S3 while all of them are
// down, and then are not: each is told once what AWS tells, signed, and the node shows
// meanwhile what waits and that it was tried.
func TestDestinations(t *testing.T) {
	to := startServices(t)
	n := start(t, "namespace", "--destinations", to.flag())
	isolated := n.Deploy(t, testnode.Python, testnode.Files{"main.py": telling}, testnode.Isolated)
	queue, topic, bus := fmt.Sprintf(arns, "sqs", "results"), fmt.Sprintf(arns, "sns", "failures"), fmt.Sprintf(arns, "events", "event-bus/results")
	n.config(t, isolated, "", 0, queue, topic)
	plain := n.Deploy(t, testnode.Python, testnode.Files{"main.py": telling}, func(in *lambda.CreateFunctionInput) {
		in.DeadLetterConfig = &types.DeadLetterConfig{TargetArn: aws.String(fmt.Sprintf(arns, "sqs", "dead"))}
	})
	n.config(t, plain, "", 0, bus, "arn:aws:s3:::bucket")
	to.set(true)
	want := map[string]bool{}
	send := func(function, tenant, payload string) string {
		id := n.event(t, function, tenant, payload)
		want[id] = true
		return id
	}
	good, bad := send(isolated, "blue", `{"n": 1}`), send(isolated, "blue", `{"n": 2, "fail": true}`)
	works, fails := send(plain, "", `{"n": 3}`), send(plain, "", `{"n": 4, "fail": true}`)
	testnode.Eventually(t, "all results wait, and were tried", func() bool {
		return n.queue(t, isolated).of("blue").Delivering == 2 && n.queue(t, plain).of("").Delivering == 2 && to.refused() >= 5
	})
	if out, _, err := n.Alcove(t, "queue", isolated); err != nil || !regexp.MustCompile(`blue\s`).MatchString(out) || !strings.Contains(out, "2 events") {
		t.Errorf("alcove queue: %v\n%s", err, out)
	}
	metrics := n.prometheus(t)
	for _, want := range []string{"destination", "dead_letter"} {
		if !regexp.MustCompile(`(?m)^alcove_\w*` + want + `\w*\{?[^\n]* [1-9]`).MatchString(metrics) {
			t.Errorf("no failures of %ss among the metrics:\n%s", want, metrics)
		}
	}
	if sent := to.messages(); len(sent) != 0 {
		t.Fatalf("taken by what is down: %+v", sent)
	}
	to.set(false)
	testnode.Eventually(t, "the results are delivered", func() bool {
		return n.queue(t, isolated).Events+n.queue(t, plain).Events == 0
	})
	sent := to.messages()
	if len(sent) != 5 {
		t.Errorf("%d messages, want 5: %+v", len(sent), sent)
	}
	of := func(id, service string) (m message) {
		i := slices.IndexFunc(sent, func(m message) bool {
			return m.service == service && (m.record.RequestContext.RequestID == id || m.attributes["RequestID"] == "String "+id)
		})
		if i < 0 {
			t.Errorf("nothing about %s for %s", id, service)
			return m
		}
		return sent[i]
	}
	check := func(m message, target, function, condition, payload, response, functionError string) {
		t.Helper()
		r := m.record
		if m.target != target || r.Version != "1.0" || !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`).MatchString(r.Timestamp) ||
			r.RequestContext.FunctionARN != n.arn(function)+":$LATEST" || r.RequestContext.Condition != condition || r.RequestContext.ApproximateInvokeCount != 1 ||
			string(r.RequestPayload) != payload || r.ResponseContext == nil || r.ResponseContext.StatusCode != 200 || r.ResponseContext.ExecutedVersion != "$LATEST" ||
			r.ResponseContext.FunctionError != functionError || !strings.Contains(string(r.ResponsePayload), response) {
			t.Errorf("for %s: %s\nwant for %s: %s %s", m.target, m.body, target, condition, payload)
		}
	}
	check(of(good, "sqs"), "results", isolated, "Success", `{"n":1}`, `"tenant":"blue"`, "")
	check(of(bad, "sns"), topic, isolated, "RetriesExhausted", `{"n":2,"fail":true}`, `"errorMessage":"no"`, "Unhandled")
	m := of(works, "events")
	check(m, bus, plain, "Success", `{"n":3}`, `"n":3`, "")
	if m.source != "lambda" || m.detailType != "Lambda Function Invocation Result - Success" || !slices.Equal(m.resources, []string{bus, n.arn(plain) + ":$LATEST"}) {
		t.Errorf("the bus was sent %+v", m)
	}
	m = of(fails, "s3")
	check(m, m.target, plain, "RetriesExhausted", `{"n":4,"fail":true}`, `"errorMessage":"no"`, "Unhandled")
	if !regexp.MustCompile(`^bucket/aws/lambda/async/` + plain + `/\d{4}/\d\d/\d\d/\d{4}-\d\d-\d\dT\d\d\.\d\d\.\d\d-[0-9a-f-]{36}$`).MatchString(m.target) {
		t.Errorf("the object is %s", m.target)
	}
	m = of(fails, "sqs") // the dead letter is the event as it came
	if m.target != "dead" || m.body != `{"n": 4, "fail": true}` || fmt.Sprint(m.attributes) != "map[ErrorCode:Number 200 ErrorMessage:String no RequestID:String "+fails+"]" {
		t.Errorf("the dead letter is %+v", m)
	}
}

// TestConfigsOfAliases has an alias say what becomes of its events, another than the
// function's own; a throttled event wait, and one of a function that may not run fail.
func TestConfigsOfAliases(t *testing.T) {
	to := startServices(t)
	n := start(t, "namespace", "--destinations", to.flag(), "--tenant-idle-min", "0s")
	f := n.Deploy(t, testnode.Python, testnode.Files{"main.py": telling}, testnode.Isolated, func(in *lambda.CreateFunctionInput) { in.Publish = true })
	if _, err := n.Lambda.CreateAlias(t.Context(), &lambda.CreateAliasInput{FunctionName: &f, Name: aws.String("live"), FunctionVersion: aws.String("1")}); err != nil {
		t.Fatal(err)
	}
	n.config(t, f, "live", 0, fmt.Sprintf(arns, "sqs", "live"), fmt.Sprintf(arns, "sqs", "live-failed"))
	good, bad := n.event(t, f+":live", "blue", `{"n": 1}`), n.event(t, f+":live", "blue", `{"n": 2, "fail": true}`)
	// The function itself retries, and has no destination.
	waits := n.event(t, f, "blue", `{"n": 3, "fail": true}`)
	testnode.Eventually(t, "the alias's have ended, the function's waits to run again", func() bool {
		return len(to.messages()) == 2 && n.queue(t, f).of("blue").Delayed == 1
	})
	for _, m := range to.messages() {
		r := m.record
		id, target, condition := r.RequestContext.RequestID, m.target, r.RequestContext.Condition
		if (id != good || target != "live" || condition != "Success") && (id != bad || target != "live-failed" || condition != "RetriesExhausted") ||
			r.RequestContext.FunctionARN != n.arn(f)+":live" || r.ResponseContext.ExecutedVersion != "1" || r.RequestContext.ApproximateInvokeCount != 1 {
			t.Errorf("%s: %s", m.target, m.body)
		}
	}
	for _, ran := range n.told(t, f) {
		if qualified := ran.ID != waits; strings.HasSuffix(ran.ARN, ":live") != qualified || ran.Tenant != "blue" {
			t.Errorf("ran %+v", ran)
		}
	}
	// With no concurrency at all an event fails at once, by its alias's configuration.
	reserve := func(n node, k int32) {
		if _, err := n.Lambda.PutFunctionConcurrency(t.Context(), &lambda.PutFunctionConcurrencyInput{FunctionName: &f, ReservedConcurrentExecutions: &k}); err != nil {
			t.Fatal(err)
		}
	}
	reserve(n, 0)
	zero := n.event(t, f+":live", "red", `{"n": 4}`)
	testnode.Eventually(t, "it has failed", func() bool { return len(to.messages()) == 3 })
	if m := to.messages()[2]; m.target != "live-failed" || m.record.RequestContext.RequestID != zero || m.record.RequestContext.Condition != "ZeroReservedConcurrency" ||
		m.record.RequestContext.ApproximateInvokeCount != 0 || m.record.ResponseContext != nil {
		t.Errorf("%s: %s", m.target, m.body)
	}
	// Throttled, an event waits for as long as it takes, and it is no run.
	reserve(n, 1)
	long, short := n.event(t, f+":live", "blue", `{"n": 5, "sleep": 2}`), n.event(t, f+":live", "red", `{"n": 6}`)
	testnode.Eventually(t, "both have ended", func() bool { return len(to.messages()) == 5 })
	for _, m := range to.messages()[3:] {
		if c := m.record.RequestContext; m.target != "live" || c.RequestID != long && c.RequestID != short || c.ApproximateInvokeCount != 1 {
			t.Errorf("%s: %s", m.target, m.body)
		}
	}
	// What the function's own events became is in its queue, to be replayed and purged by
	// tenant, and counted by function.
	if out, errs, err := n.Alcove(t, "queue", f, "--tenant", "blue", "--purge"); err != nil || !strings.Contains(out, "1 events are gone") {
		t.Errorf("purge: %v %s %s", err, out, errs)
	}
	n.config(t, f, "", 0, "", "")
	dead := n.event(t, f, "blue", `{"n": 7, "fail": true}`)
	testnode.Eventually(t, "it is a dead letter", func() bool { return n.queue(t, f).of("blue").DeadLetters == 1 })
	n.metric(t, f, "AsyncEventsDropped", 1)
	n.Kill(t)
	n = n.again(t)
	if q := n.queue(t, f).of("blue"); q.DeadLetters != 1 {
		t.Errorf("after a kill: %+v", q)
	}
	n.config(t, f, "", 0, "", fmt.Sprintf(arns, "sqs", "replayed"))
	if out, errs, err := n.Alcove(t, "queue", f, "--tenant", "blue", "--replay"); err != nil || !strings.Contains(out, "1 dead letters go on") {
		t.Errorf("replay: %v %s %s", err, out, errs)
	}
	testnode.Eventually(t, "it has run again", func() bool { return len(to.messages()) == 6 })
	if m := to.messages()[5]; m.target != "replayed" || m.record.RequestContext.RequestID != dead || m.record.RequestContext.ApproximateInvokeCount != 2 {
		t.Errorf("replayed: %s: %s", m.target, m.body)
	}
	n.event(t, f, "green", `{"n": 8}`)
	n.metric(t, f, "AsyncEventsReceived", 1)
	n.metric(t, f, "AsyncEventAge", 0)
}

func (n node) arn(function string) string {
	return "arn:aws:lambda:us-east-1:000000000000:function:" + function
}

// prometheus is what /metrics tells.
func (n node) prometheus(t *testing.T) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.URL+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return string(b)
}

// metric waits until CloudWatch has a metric of a function whose sum is at least so
// much, and one of its samples at least.
func (n node) metric(t *testing.T, function, name string, least float64) {
	t.Helper()
	client := cloudwatch.New(cloudwatch.Options{Region: "us-east-1", BaseEndpoint: &n.URL, Credentials: credentials.StaticCredentialsProvider{Value: n.Key}})
	testnode.Eventually(t, name+" is there", func() bool {
		out, err := client.GetMetricStatistics(t.Context(), &cloudwatch.GetMetricStatisticsInput{Namespace: aws.String("AWS/Lambda"), MetricName: &name, Period: aws.Int32(86400),
			Statistics: []cwtypes.Statistic{cwtypes.StatisticSum, cwtypes.StatisticSampleCount}, Dimensions: []cwtypes.Dimension{{Name: aws.String("FunctionName"), Value: &function}},
			StartTime: aws.Time(time.Now().AddDate(0, 0, -1)), EndTime: aws.Time(time.Now().Add(time.Hour))})
		if err != nil {
			t.Fatal(err)
		}
		sum, samples := 0.0, 0.0
		for _, p := range out.Datapoints {
			sum, samples = sum+*p.Sum, samples+*p.SampleCount
		}
		return samples > 0 && sum >= least
	})
}
