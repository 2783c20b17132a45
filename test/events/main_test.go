package events

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/alcove-run/alcove/test/testnode"
)

// drivers are the values of --isolation.
var drivers = []string{"namespace", "gvisor"}

// program is the alcove that is tested.
var program string

func TestMain(m *testing.M) { os.Exit(main(m)) }

func main(m *testing.M) int {
	if os.Getuid() != 0 {
		fmt.Fprintln(os.Stderr, "events: needs root: the sandboxes of the functions are made of namespaces, mounts and cgroups")
		return 1
	}
	path, remove, err := testnode.Program("../..")
	if err != nil {
		fmt.Fprintln(os.Stderr, "events:", err)
		return 1
	}
	defer remove()
	program = path
	return m.Run()
}

// node is a node, and what these tests ask of it.
type node struct{ *testnode.Node }

func start(t *testing.T, driver string, flags ...string) node {
	t.Helper()
	return startIn(t, t.TempDir(), slices.Concat([]string{"--isolation", driver}, testnode.NoStock, flags)...)
}

func startIn(t *testing.T, data string, flags ...string) node {
	t.Helper()
	return node{testnode.Start(t, program, data, flags...)}
}

// again starts the node's successor.
func (n node) again(t *testing.T) node {
	t.Helper()
	return startIn(t, n.Data, n.Flags...)
}

// event sends an event and gives its request id. A function without tenants has the
// empty one.
func (n node) event(t *testing.T, function, tenant, payload string) string {
	t.Helper()
	id, err := n.TryEvent(t, function, tenant, payload)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// config sets the event invoke config of a function, or of a qualifier. An empty
// destination is none.
func (n node) config(t *testing.T, function, qualifier string, retries int32, success, failure string) {
	t.Helper()
	in := &lambda.PutFunctionEventInvokeConfigInput{FunctionName: &function, MaximumRetryAttempts: &retries, DestinationConfig: &types.DestinationConfig{}}
	if qualifier != "" {
		in.Qualifier = &qualifier
	}
	if success != "" {
		in.DestinationConfig.OnSuccess = &types.OnSuccess{Destination: &success}
	}
	if failure != "" {
		in.DestinationConfig.OnFailure = &types.OnFailure{Destination: &failure}
	}
	if _, err := n.Lambda.PutFunctionEventInvokeConfig(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

// queue is what `alcove queue` tells of a function.
type queue struct {
	Events, DeadLetters int
	OldestAgeSeconds    float64
	Tenants             []depth
}

type depth struct {
	Tenant                                             string
	Waiting, Delayed, Running, Delivering, DeadLetters int
}

func (n node) queue(t *testing.T, function string) (q queue) {
	t.Helper()
	status, body := n.Ask(t, n.Key, "/alcove/v1/functions/"+function+"/queue")
	if err := json.Unmarshal(body, &q); err != nil || status != 200 {
		t.Fatalf("queue of %s: %d %s", function, status, body)
	}
	return q
}

// of is what one tenant has in a queue.
func (q queue) of(tenant string) depth {
	if i := slices.IndexFunc(q.Tenants, func(d depth) bool { return d.Tenant == tenant }); i >= 0 {
		return q.Tenants[i]
	}
	return depth{}
}

// told is what telling wrote to its log.
type told struct {
	Event  struct{ N int }
	Tenant string
	ID     string
	ARN    string
}

// telling writes to its log whom it runs for, and does what its event says.
const telling = `
import json, time
def handler(event, context):
    print("ran " + json.dumps({"event": event, "tenant": getattr(context, "tenant_id", None), "id": context.aws_request_id, "arn": context.invoked_function_arn}), flush=True)
    time.sleep(event.get("sleep", 0))
    if event.get("fail"):
        raise ValueError("no")
    return {"n": event.get("n", 0), "tenant": getattr(context, "tenant_id", None), "id": context.aws_request_id}
`

// told are the lines that telling wrote.
func (n node) told(t *testing.T, function string) (all []told) {
	t.Helper()
	group := "/aws/lambda/" + function
	if groups, err := n.Logs.DescribeLogGroups(t.Context(), &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: &group}); err != nil || len(groups.LogGroups) == 0 {
		return nil // it has not run yet
	}
	pages := cloudwatchlogs.NewFilterLogEventsPaginator(n.Logs, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: &group, FilterPattern: aws.String(`"ran"`)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			_, text, ok := strings.Cut(aws.ToString(e.Message), "ran ")
			var one told
			if ok && json.Unmarshal([]byte(text), &one) == nil {
				all = append(all, one)
			}
		}
	}
	return all
}
