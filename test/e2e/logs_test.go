package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
)

const talks = `
import logging
logging.getLogger().setLevel(logging.INFO)
def handler(event, context):
    logging.info('hello from %s', context.tenant_id)
    print('printed by %s' % context.tenant_id)
`

// filter reads all events of a group that match, page by page.
func (n *node) filter(t *testing.T, in *cloudwatchlogs.FilterLogEventsInput) []types.FilteredLogEvent {
	t.Helper()
	var all []types.FilteredLogEvent
	pages := cloudwatchlogs.NewFilterLogEventsPaginator(n.logs, in)
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatalf("FilterLogEvents: %v", err)
		}
		all = append(all, page.Events...)
	}
	return all
}

// settled waits until all REPORT records of so many invocations are stored.
func (n *node) settled(t *testing.T, group string, invocations int) {
	t.Helper()
	eventually(t, "the log store has every report", func() bool {
		reports := 0
		out, err := n.logs.FilterLogEvents(t.Context(), &cloudwatchlogs.FilterLogEventsInput{LogGroupName: &group, Limit: aws.Int32(10000)})
		if err != nil {
			return false // the group is made with its first record
		}
		for _, e := range out.Events {
			if m := aws.ToString(e.Message); strings.HasPrefix(m, "REPORT ") || strings.Contains(m, `"platform.report"`) {
				reports++
			}
		}
		return reports >= invocations
	})
}

// TestTenantLogs reads one tenant's records of a JSON-format function, with the
// filter that works on CloudWatch.
func TestTenantLogs(t *testing.T) {
	onEach(t, func(t *testing.T, n *node) {
		f := n.deploy(t, python, files{"main.py": talks}, isolated, jsonLog)
		group := "/aws/lambda/" + f
		began := time.Now()
		for range 3 {
			for _, tenant := range []string{"blue", "green"} {
				n.run(t, f, call{tenant: tenant}, nil)
			}
		}
		n.settled(t, group, 6)
		events := n.filter(t, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: &group, Limit: aws.Int32(4),
			FilterPattern: aws.String(`{ $.tenantId = "blue" || $.record.tenantId = "blue" }`)})
		count := map[string]int{}
		stream := ""
		for _, e := range events {
			m := aws.ToString(e.Message)
			var record struct {
				Type     string `json:"type"`
				TenantID string `json:"tenantId"`
				Message  string `json:"message"`
				Level    string `json:"level"`
				Record   struct {
					TenantID string `json:"tenantId"`
				} `json:"record"`
			}
			if err := json.Unmarshal([]byte(m), &record); err != nil {
				t.Errorf("%q: %v", m, err)
			}
			if record.TenantID != "blue" && record.Record.TenantID != "blue" || strings.Contains(m, "green") {
				t.Errorf("not of tenant blue: %s", m)
			}
			if stream == "" {
				stream = aws.ToString(e.LogStreamName)
			}
			if aws.ToString(e.LogStreamName) != stream {
				t.Errorf("records in two streams, %s and %s: one environment has one", stream, aws.ToString(e.LogStreamName))
			}
			if at := time.UnixMilli(aws.ToInt64(e.Timestamp)); at.Before(began.Add(-time.Minute)) || at.After(time.Now().Add(time.Minute)) {
				t.Errorf("a record of %s", at)
			}
			count[record.Type]++
			if strings.HasPrefix(record.Message, "hello from") {
				count["hello"]++
			}
		}
		if count["hello"] != 3 || count["platform.start"] != 3 || count["platform.report"] != 3 {
			t.Errorf("records of tenant blue: %v", count)
		}

		streams, err := n.logs.DescribeLogStreams(t.Context(), &cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: &group})
		if err != nil || len(streams.LogStreams) != 2 {
			t.Fatalf("DescribeLogStreams: %+v, %v", streams, err)
		}
		if !slices.ContainsFunc(streams.LogStreams, func(s types.LogStream) bool { return aws.ToString(s.LogStreamName) == stream }) {
			t.Errorf("%s is not listed", stream)
		}
		for _, e := range n.environments(t, f) {
			if e.Tenant == "blue" && e.LogStream != stream {
				t.Errorf("tenant blue's environment says %s, its records are in %s", e.LogStream, stream)
			}
		}
		got, err := n.logs.GetLogEvents(t.Context(), &cloudwatchlogs.GetLogEventsInput{LogGroupName: &group, LogStreamName: &stream, StartFromHead: aws.Bool(true)})
		if err != nil || len(got.Events) < len(events) {
			t.Errorf("GetLogEvents: %d events of at least %d, %v", len(got.Events), len(events), err)
		}
		for _, e := range got.Events {
			if strings.Contains(aws.ToString(e.Message), "green") {
				t.Errorf("in tenant blue's stream: %s", aws.ToString(e.Message))
			}
		}
		groups, err := n.logs.DescribeLogGroups(t.Context(), &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: &group})
		if err != nil || len(groups.LogGroups) != 1 || aws.ToString(groups.LogGroups[0].LogGroupName) != group {
			t.Errorf("DescribeLogGroups: %+v, %v", groups, err)
		}
	})
}

// TestTextLogs checks the text format's lines, and the command line's view of
// one tenant: in text lines no tenant is named, but the binding knows.
func TestTextLogs(t *testing.T) {
	n := on(t, "namespace")
	f := n.deploy(t, python, files{"main.py": talks}, isolated)
	for range 2 {
		for _, tenant := range []string{"blue", "green"} {
			n.run(t, f, call{tenant: tenant}, nil)
		}
	}
	n.settled(t, "/aws/lambda/"+f, 4)
	out, errs, err := n.alcove(t, "logs", f, "--tenant", "blue")
	if err != nil {
		t.Fatalf("%v\n%s", err, errs)
	}
	for part, want := range map[string]int{"hello from blue": 2, "printed by blue": 2, "green": 0, "START RequestId: ": 2, "END RequestId: ": 2, "REPORT RequestId: ": 2} {
		if got := strings.Count(out, part); got != want {
			t.Errorf("%d times %q, want %d, in\n%s", got, part, want, out)
		}
	}
	all, errs, err := n.alcove(t, "logs", f)
	if err != nil || strings.Count(all, "hello from green") != 2 || strings.Count(all, "hello from blue") != 2 {
		t.Errorf("all tenants: %v\n%s%s", err, all, errs)
	}
	none, errs, err := n.alcove(t, "logs", f, "--tenant", "red")
	if err != nil || strings.TrimSpace(none) != "" {
		t.Errorf("a tenant that never called: %v\n%s%s", err, none, errs)
	}
}

// TestLogsSurvive checks that records are there after SIGKILL and a restart.
func TestLogsSurvive(t *testing.T) {
	n := start(t, "--isolation", "namespace")
	f := n.deploy(t, python, files{"main.py": talks}, isolated)
	n.run(t, f, call{tenant: "blue"}, nil)
	group := "/aws/lambda/" + f
	n.settled(t, group, 1)
	n.kill(t)
	again := startIn(t, n.data, n.flags...)
	found := again.filter(t, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: &group})
	if !slices.ContainsFunc(found, func(e types.FilteredLogEvent) bool {
		return strings.Contains(aws.ToString(e.Message), "hello from blue")
	}) {
		t.Errorf("after the restart, %d records without the function's own", len(found))
	}
}
