package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// event sends an event with the official client and gives its request id.
func (n *node) event(t *testing.T, function, tenant, payload string) string {
	t.Helper()
	id, err := n.tryEvent(t, function, tenant, payload)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (n *node) tryEvent(t *testing.T, function, tenant, payload string) (string, error) {
	in := &lambda.InvokeInput{FunctionName: &function, InvocationType: types.InvocationTypeEvent, Payload: []byte(payload)}
	if tenant != "" {
		in.TenantId = &tenant
	}
	out, err := n.lambda.Invoke(t.Context(), in)
	if err != nil {
		return "", err
	}
	if out.StatusCode != 202 || len(out.Payload) > 0 {
		t.Errorf("an event is answered with %d and %s", out.StatusCode, out.Payload)
	}
	id, _ := awsmiddleware.GetRequestIDMetadata(out.ResultMetadata)
	return id, nil
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
		if _, err := n.tryEvent(t, f, "", `{}`); err == nil || !strings.Contains(err.Error(), "Add a valid tenant ID") {
			t.Errorf("without a tenant: %v", err)
		}
		if _, err := n.tryEvent(t, f, "a", `{"x":"`+strings.Repeat("x", 1<<20)+`"}`); err == nil || !strings.Contains(err.Error(), "Request must be smaller than 1048576 bytes") {
			t.Errorf("more than a megabyte: %v", err)
		}
	})
}
