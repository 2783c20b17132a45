package e2e

import (
	"crypto/md5"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// event sends an event with the official client and gives its request id.
func (n *node) event(t *testing.T, function, tenant, payload string) string {
	t.Helper()
	id, err := n.TryEvent(t, function, tenant, payload)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// telling is a function that writes to its log whom it runs for.
const telling = `
import json
def handler(event, context):
    print("ran " + json.dumps({"event": event, "tenant": getattr(context, "tenant_id", None), "id": context.aws_request_id}), flush=True)
    if event.get("fail"):
        raise ValueError("no")
    return event
`

type told struct {
	Event  struct{ N int }
	Tenant string
	ID     string
}

// told are the lines that telling wrote.
func (n *node) told(t *testing.T, function string) []told {
	t.Helper()
	var all []told
	if groups, err := n.logs.DescribeLogGroups(t.Context(), &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String("/aws/lambda/" + function)}); err != nil || len(groups.LogGroups) == 0 {
		return nil // it has not run yet
	}
	for _, e := range n.filter(t, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String("/aws/lambda/" + function), FilterPattern: aws.String(`"ran"`)}) {
		_, text, ok := strings.Cut(aws.ToString(e.Message), "ran ")
		var one told
		if ok && json.Unmarshal([]byte(text), &one) == nil {
			all = append(all, one)
		}
	}
	return all
}

// TestEvents checks that events of many tenants run once each, for whom they were
// sent, under the request id that their sender got.
func TestEvents(t *testing.T) {
	onEach(t, func(t *testing.T, n *node) {
		f := n.deploy(t, python, files{"main.py": telling}, isolated)
		want := map[string]told{}
		for i := range 30 {
			tenant := fmt.Sprint("tenant ", i%5)
			id := n.event(t, f, tenant, fmt.Sprintf(`{"n": %d}`, i))
			one := told{Tenant: tenant, ID: id}
			one.Event.N = i
			want[id] = one
		}
		eventually(t, "every event has run", func() bool { return len(n.told(t, f)) >= len(want) })
		got := n.told(t, f)
		if len(got) != len(want) {
			t.Errorf("%d runs of %d events", len(got), len(want))
		}
		for _, g := range got {
			if g != want[g.ID] {
				t.Errorf("ran %+v, sent was %+v", g, want[g.ID])
			}
		}
		if _, err := n.TryEvent(t, f, "", `{}`); err == nil || !strings.Contains(err.Error(), "Add a valid tenant ID") {
			t.Errorf("without a tenant: %v", err)
		}
		if _, err := n.TryEvent(t, f, "a", `{"x":"`+strings.Repeat("x", 1<<20)+`"}`); err == nil || !strings.Contains(err.Error(), "Request must be smaller than 1048576 bytes") {
			t.Errorf("more than a megabyte: %v", err)
		}
	})
}

// sqs is a queue service of the test's own: it takes what is sent, and can be down.
type sqs struct {
	mu   sync.Mutex
	sent []record // guarded by mu
	down bool     // guarded by mu
	url  string
}

// record is an invocation record that came to a queue.
type record struct {
	queue          string
	RequestContext struct {
		RequestID, FunctionARN, Condition string
		ApproximateInvokeCount            int
	}
	RequestPayload  json.RawMessage
	ResponsePayload json.RawMessage
}

func startSQS(t *testing.T) *sqs {
	s := &sqs{}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	s.url = srv.URL
	return s
}

func (s *sqs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct{ QueueUrl, MessageBody string }
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	var one record
	if s.down || json.Unmarshal(body, &in) != nil || json.Unmarshal([]byte(in.MessageBody), &one) != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	one.queue = in.QueueUrl[strings.LastIndexByte(in.QueueUrl, '/')+1:]
	s.sent = append(s.sent, one)
	sum := md5.Sum([]byte(in.MessageBody))
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	fmt.Fprintf(w, `{"MessageId":"1","MD5OfMessageBody":"%x"}`, sum)
}

func (s *sqs) records() []record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sent)
}

// onSuccess has the results of a function's events go to a queue.
func (n *node) onSuccess(t *testing.T, function, queue string) {
	t.Helper()
	arn := "arn:aws:sqs:us-east-1:000000000000:" + queue
	if _, err := n.lambda.PutFunctionEventInvokeConfig(t.Context(), &lambda.PutFunctionEventInvokeConfigInput{FunctionName: &function, MaximumRetryAttempts: aws.Int32(0),
		DestinationConfig: &types.DestinationConfig{OnSuccess: &types.OnSuccess{Destination: &arn}, OnFailure: &types.OnFailure{Destination: aws.String(arn + "-failed")}}}); err != nil {
		t.Fatal(err)
	}
}

// depth is what `alcove queue` tells of a function.
func (n *node) depth(t *testing.T, function string) (q struct {
	Events, DeadLetters int
	Tenants             []struct{ Tenant string }
}) {
	t.Helper()
	if err := json.Unmarshal(n.get(t, "/alcove/v1/functions/"+function+"/queue"), &q); err != nil {
		t.Fatal(err)
	}
	return q
}

// TestFailedEvents checks retries, destinations and dead letters with a destination
// that is down for a while, and what `alcove queue` says.
func TestFailedEvents(t *testing.T) {
	queue := startSQS(t)
	n := start(t, "--isolation", "namespace", "--destinations", "sqs="+queue.url)
	f := n.deploy(t, python, files{"main.py": telling}, isolated)
	n.onSuccess(t, f, "results")
	queue.mu.Lock()
	queue.down = true
	queue.mu.Unlock()
	good := n.event(t, f, "blue", `{"n": 1}`)
	bad := n.event(t, f, "blue", `{"n": 2, "fail": true}`)
	eventually(t, "both have run", func() bool { return len(n.told(t, f)) == 2 })
	if q := n.depth(t, f); q.Events != 2 {
		t.Errorf("while the destination is down: %+v", q)
	}
	queue.mu.Lock()
	queue.down = false
	queue.mu.Unlock()
	eventually(t, "the results are delivered", func() bool { return len(queue.records()) == 2 })
	for _, r := range queue.records() {
		c := r.RequestContext
		switch c.RequestID {
		case good:
			if r.queue != "results" || c.Condition != "Success" || c.ApproximateInvokeCount != 1 {
				t.Errorf("%+v", r)
			}
		case bad:
			if r.queue != "results-failed" || c.Condition != "RetriesExhausted" || !strings.Contains(string(r.ResponsePayload), `"errorMessage": "no"`) && !strings.Contains(string(r.ResponsePayload), `"errorMessage":"no"`) {
				t.Errorf("%+v: %s", r, r.ResponsePayload)
			}
		default:
			t.Errorf("of nobody: %+v", r)
		}
	}
	// Without a destination it is a dead letter of the node.
	g := n.deploy(t, python, files{"main.py": telling}, isolated)
	if _, err := n.lambda.PutFunctionEventInvokeConfig(t.Context(), &lambda.PutFunctionEventInvokeConfigInput{FunctionName: &g, MaximumRetryAttempts: aws.Int32(0)}); err != nil {
		t.Fatal(err)
	}
	n.event(t, g, "blue", `{"n": 3, "fail": true}`)
	n.event(t, g, "red", `{"n": 4, "fail": true}`)
	eventually(t, "they are dead letters", func() bool { return n.depth(t, g).DeadLetters == 2 })
	if out, _, err := n.alcove(t, "queue", g); err != nil || !strings.Contains(out, "and 2 dead letters") || !strings.Contains(out, "blue") || !strings.Contains(out, "red") {
		t.Errorf("alcove queue: %v\n%s", err, out)
	}
	if out, errs, err := n.alcove(t, "queue", g, "--tenant", "blue", "--replay"); err != nil || !strings.Contains(out, "1 dead letters go on") {
		t.Errorf("replay: %v %s %s", err, out, errs)
	}
	eventually(t, "it has run again", func() bool { return len(n.told(t, g)) == 3 && n.depth(t, g).DeadLetters == 2 })
	if out, errs, err := n.alcove(t, "queue", g, "--tenant", "red", "--purge"); err != nil || !strings.Contains(out, "1 events are gone") {
		t.Errorf("purge: %v %s %s", err, out, errs)
	}
	if q := n.depth(t, g); q.DeadLetters != 1 || len(q.Tenants) != 1 || q.Tenants[0].Tenant != "blue" {
		t.Errorf("after the purge: %+v", q)
	}
	if _, _, err := n.alcove(t, "queue", g, "--purge"); err == nil {
		t.Error("a purge of everybody's events by leaving the tenant out")
	}
	// A key that is bound to a tenant sees and changes that tenant's alone.
	key := n.makeKey(t, "blue", `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["alcove:GetQueue", "alcove:PurgeQueue"], "Resource": "*", "Condition": {"StringEquals": {"lambda:TenantId": "red"}}}]}`)
	red := &node{Node: n.Node, data: n.data, url: n.url, key: key}
	if q := red.depth(t, g); q.DeadLetters != 0 || len(q.Tenants) != 0 {
		t.Errorf("another tenant sees %+v", q)
	}
	// Reserved concurrency 0 goes to the failure path at once.
	n.reserve(t, f, 0)
	zero := n.event(t, f, "blue", `{"n": 5}`)
	eventually(t, "it has failed", func() bool {
		rs := queue.records()
		last := rs[len(rs)-1]
		return last.RequestContext.RequestID == zero && last.RequestContext.Condition == "ZeroReservedConcurrency"
	})
	// What a client may not do.
	arn := "arn:aws:s3:::bucket"
	_, err := n.lambda.PutFunctionEventInvokeConfig(t.Context(), &lambda.PutFunctionEventInvokeConfigInput{FunctionName: &f,
		DestinationConfig: &types.DestinationConfig{OnFailure: &types.OnFailure{Destination: &arn}}})
	if err == nil || !strings.Contains(err.Error(), "its operator has given it no endpoint for s3") {
		t.Errorf("a destination without an endpoint: %v", err)
	}
}

// TestIdempotencyKey checks that a key runs once, over a kill -9 of the node.
func TestIdempotencyKey(t *testing.T) {
	n := start(t, "--isolation", "namespace")
	f := n.deploy(t, python, files{"main.py": `
count = 0
def handler(event, context):
    global count
    count += 1
    return [count, context.aws_request_id]
`}, isolated)
	call := func(tenant, key string) string {
		out, err := n.lambda.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &f, TenantId: &tenant, Payload: []byte(`{}`)}, func(o *lambda.Options) {
			o.APIOptions = append(o.APIOptions, smithyhttp.AddHeaderValue("X-Alcove-Idempotency-Key", key))
		})
		if err != nil {
			t.Fatal(err)
		}
		return string(out.Payload)
	}
	first := call("blue", "a")
	if again := call("blue", "a"); again != first {
		t.Errorf("the same key: %s, then %s", first, again)
	}
	if other := call("blue", "b"); other == first {
		t.Errorf("another key: %s", other)
	}
	if other := call("red", "a"); other == first {
		t.Errorf("another tenant's: %s", other)
	}
	n.kill(t)
	n = startIn(t, n.data, n.flags...)
	if again := call("blue", "a"); again != first {
		t.Errorf("after a kill: %s, then %s", first, again)
	}
}

// TestRecursion checks that a function which is its own destination by way of
// another is stopped after sixteen runs in one chain.
func TestRecursion(t *testing.T) {
	n := start(t, "--isolation", "namespace")
	tells := `
def handler(event, context):
    print('ran {"id": "x"}', flush=True)
    return 1
`
	ping := n.deploy(t, python, files{"main.py": tells}, isolated)
	pong := n.deploy(t, python, files{"main.py": tells}, isolated)
	to := func(from, to string) {
		arn := "arn:aws:lambda:us-east-1:000000000000:function:" + to
		if _, err := n.lambda.PutFunctionEventInvokeConfig(t.Context(), &lambda.PutFunctionEventInvokeConfigInput{FunctionName: &from,
			DestinationConfig: &types.DestinationConfig{OnSuccess: &types.OnSuccess{Destination: &arn}}}); err != nil {
			t.Fatal(err)
		}
	}
	to(ping, pong)
	to(pong, ping)
	n.event(t, ping, "blue", `{"n": 1}`)
	eventually(t, "the chain is stopped", func() bool { return n.depth(t, ping).DeadLetters == 1 })
	if runs := len(n.told(t, ping)); runs != 16 {
		t.Errorf("%d runs in one chain", runs)
	}
}
