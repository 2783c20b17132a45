package observe

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"github.com/alcove-run/alcove/test/testnode"
)

const talks = `
import logging
logging.getLogger().setLevel(logging.INFO)
def handler(event, context):
    logging.info('hello from %s', context.tenant_id)
    return 'done'
`

// The queries that AWS's page on monitoring functions with tenant isolation shows,
// with a tenant of ours.
const (
	streamsQuery = `fields @logStream, @message | filter tenantId=='blue' or record.tenantId=='blue' | stats count() as logCount by @logStream | sort @timestamp desc`
	linesQuery   = `fields @message | filter tenantId=='blue' or record.tenantId=='blue' | limit 1000`
)

// found is the answer to a query, by whichever client.
type found struct {
	Status     string
	Results    [][]struct{ Field, Value string }
	Statistics struct{ RecordsMatched, RecordsScanned, BytesScanned float64 }
}

// rows are the results as text, @ptr left out.
func (a *found) rows() (list []string) {
	for _, row := range a.Results {
		var parts []string
		for _, f := range row {
			if f.Field != "@ptr" {
				parts = append(parts, f.Field+"="+f.Value)
			}
		}
		list = append(list, strings.Join(parts, "; "))
	}
	return list
}

// asks runs queries of a group.
type asks func(t *testing.T, group, query string) (id string, a found)

// byGo asks with AWS's SDK for Go.
func byGo(n *testnode.Node) asks {
	return func(t *testing.T, group, query string) (string, found) {
		t.Helper()
		out, err := n.Logs.StartQuery(t.Context(), &cloudwatchlogs.StartQueryInput{LogGroupName: &group, QueryString: &query,
			StartTime: aws.Int64(time.Now().Add(-time.Hour).Unix()), EndTime: aws.Int64(time.Now().Add(time.Hour).Unix())})
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		var a found
		testnode.Eventually(t, "the query has ended", func() bool {
			got, err := n.Logs.GetQueryResults(t.Context(), &cloudwatchlogs.GetQueryResultsInput{QueryId: out.QueryId})
			if err != nil {
				t.Fatal(err)
			}
			// The CLI's output has the members' names as they are on the wire.
			text, err := json.Marshal(map[string]any{"status": got.Status, "results": got.Results, "statistics": got.Statistics})
			if err == nil {
				err = json.Unmarshal(text, &a)
			}
			if err != nil {
				t.Fatal(err)
			}
			return got.Status != types.QueryStatusRunning && got.Status != types.QueryStatusScheduled
		})
		return *out.QueryId, a
	}
}

// byCLI asks with the AWS CLI.
func byCLI(n *testnode.Node, path string) asks {
	run := func(t *testing.T, to any, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), path, append([]string{"logs"}, args...)...)
		cmd.Env = testnode.CleanEnv("AWS_ENDPOINT_URL="+n.URL, "AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1", "AWS_PAGER=", "AWS_DEFAULT_OUTPUT=json",
			"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_ACCESS_KEY_ID="+n.Key.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+n.Key.SecretAccessKey)
		// Older ones know no AWS_ENDPOINT_URL.
		cmd.Args = append(cmd.Args, "--endpoint-url", n.URL)
		out, err := cmd.Output()
		if e, ok := err.(*exec.ExitError); ok {
			t.Fatalf("aws %q: %v %s", args, err, e.Stderr)
		}
		if err == nil {
			err = json.Unmarshal(out, to)
		}
		if err != nil {
			t.Fatalf("aws %q: %v", args, err)
		}
	}
	return func(t *testing.T, group, query string) (string, found) {
		t.Helper()
		var begun struct{ QueryID string }
		run(t, &begun, "start-query", "--log-group-name", group, "--start-time", fmt.Sprint(time.Now().Add(-time.Hour).Unix()),
			"--end-time", fmt.Sprint(time.Now().Add(time.Hour).Unix()), "--query-string", query)
		var a found
		testnode.Eventually(t, "the query has ended", func() bool {
			run(t, &a, "get-query-results", "--query-id", begun.QueryID)
			return a.Status != "Running" && a.Status != "Scheduled"
		})
		return begun.QueryID, a
	}
}

func TestLogsInsights(t *testing.T) {
	n := testnode.Start(t, program, t.TempDir(), "--isolation", "namespace")
	f := n.Deploy(t, testnode.Python, testnode.Files{"main.py": talks}, testnode.Isolated, testnode.JSONLog)
	group := "/aws/lambda/" + f
	for range 3 {
		for _, tenant := range []string{"blue", "green"} {
			n.Run(t, f, tenant, `{}`)
		}
	}
	text := n.Deploy(t, testnode.Python, testnode.Files{"main.py": talks})
	n.Run(t, text, "", `{}`)
	n.Run(t, text, "", `{}`)
	clients := map[string]asks{"sdk": byGo(n)}
	if path, err := exec.LookPath("aws"); err == nil {
		clients["cli"] = byCLI(n, path)
	} else {
		t.Log("the AWS CLI is not there")
	}
	// Each invocation has START, the function's own line and REPORT; a report may come
	// after the answer.
	testnode.Eventually(t, "the log store has every report", func() bool {
		_, a := clients["sdk"](t, group, `filter type = "platform.report" | stats count(*) as n`)
		_, b := clients["sdk"](t, "/aws/lambda/"+text, `filter @type = "REPORT" | stats count(*) as n`)
		return slices.Equal(a.rows(), []string{"n=6"}) && slices.Equal(b.rows(), []string{"n=2"})
	})
	var id string
	for name, ask := range clients {
		t.Run(name, func(t *testing.T) {
			_, a := ask(t, group, linesQuery)
			lines := strings.Join(a.rows(), "\n")
			if a.Status != "Complete" || strings.Contains(lines, "green") || strings.Count(lines, "hello from blue") != 3 || strings.Count(lines, "platform.report") != 3 ||
				a.Statistics.RecordsMatched != float64(len(a.Results)) {
				t.Errorf("%s, %+v:\n%s", a.Status, a.Statistics, lines)
			}
			_, everything := clients["sdk"](t, group, `stats count(*)`)
			if a.Statistics.RecordsScanned >= everything.Statistics.RecordsScanned || a.Statistics.BytesScanned >= everything.Statistics.BytesScanned {
				t.Errorf("one tenant's lines took %+v, all of them %+v", a.Statistics, everything.Statistics)
			}
			_, s := ask(t, group, streamsQuery)
			if rows := s.rows(); len(rows) != 1 || !strings.HasPrefix(rows[0], "@logStream=20") || !strings.HasSuffix(rows[0], fmt.Sprint("; logCount=", len(a.Results))) {
				t.Errorf("%q, of %d lines", rows, len(a.Results))
			}
			if name == "cli" { // two will do: each of its calls takes seconds
				return
			}
			_, r := ask(t, "/aws/lambda/"+text, `filter @type = "REPORT" | stats count(*) as n, max(@memorySize / 1000 / 1000) as mb, min(@billedDuration) > 0 as took, count_distinct(@requestId) as ids`)
			if want := []string{"n=2; mb=128; took=1; ids=2"}; !slices.Equal(r.rows(), want) {
				t.Errorf("%q, want %q", r.rows(), want)
			}
			id, _ = ask(t, group, `fields @message | filter @message like /hello from blue/ | sort @timestamp desc`)
		})
	}
	// What was read of a tenant's records goes with them.
	if out, errs, err := n.Alcove(t, "tenants", "purge", "blue"); err != nil {
		t.Fatalf("purge: %v %s %s", err, out, errs)
	}
	_, err := n.Logs.GetQueryResults(context.Background(), &cloudwatchlogs.GetQueryResultsInput{QueryId: &id})
	if err == nil || !strings.Contains(err.Error(), "ResourceNotFoundException") {
		t.Errorf("results after the purge: %v", err)
	}
	if _, a := clients["sdk"](t, group, linesQuery); len(a.Results) != 0 || a.Status != "Complete" {
		t.Errorf("after the purge: %q", a.rows())
	}
}
