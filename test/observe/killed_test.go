package observe

import (
	"encoding/csv"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"github.com/alcove-run/alcove/test/testnode"
)

// numbered is a function that writes down what it was called with.
const numbered = `
def handler(event, context):
    print('line', event, 'of', context.tenant_id)
    return event
`

// TestLogsOfAKilledNode counts what is left of answered invocations when a node is
// killed: all of the ledger; of the logs all that was read once, and of what came after
// that all but the last lines of each stream, each line whole.
func TestLogsOfAKilledNode(t *testing.T) {
	data := t.TempDir()
	n := testnode.Start(t, program, data, "--isolation", "namespace")
	name := n.Deploy(t, testnode.Python, testnode.Files{"main.py": numbered}, testnode.Isolated)
	tenants := []string{"blue", "green", "red"}
	const before, after = 18, 60 // of each, a third is a tenant's
	call := func(from, to int) {
		for i := from; i < to; i++ {
			if got := n.Run(t, name, tenants[i%3], strconv.Itoa(i)); got != strconv.Itoa(i) {
				t.Fatalf("answer %s to %d", got, i)
			}
		}
	}
	// lines are the numbers of a tenant's lines, in the order of their times.
	lines := func(tenant string) (list []int) {
		pages := cloudwatchlogs.NewFilterLogEventsPaginator(n.Logs, &cloudwatchlogs.FilterLogEventsInput{
			LogGroupName: aws.String("/aws/lambda/" + name), FilterPattern: aws.String(`line of "` + tenant + `"`)})
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page.Events {
				var i int
				var of string
				if _, err := fmt.Sscanf(*e.Message, "line %d of %s\n", &i, &of); err != nil || of != tenant || *e.Message != fmt.Sprintf("line %d of %s\n", i, tenant) {
					t.Fatalf("a line of %s: %q", tenant, *e.Message)
				}
				list = append(list, i)
			}
		}
		return list
	}
	call(0, before)
	for _, tenant := range tenants {
		if got := lines(tenant); len(got) != before/3 {
			t.Fatalf("%s has %d lines", tenant, len(got))
		}
	}
	call(before, before+after)
	n.Kill(t)
	n = testnode.Start(t, program, data, "--isolation", "namespace")
	lost := 0
	for at, tenant := range tenants {
		var want []int
		for i := at; i < before+after; i += 3 {
			want = append(want, i)
		}
		got := lines(tenant)
		if len(got) < before/3 || len(got) > len(want) || !slices.Equal(got, want[:len(got)]) {
			t.Errorf("%s has %v of %v", tenant, got, want)
		}
		lost += len(want) - len(got)
	}
	t.Logf("the kill cost %d lines of the last %d answers", lost, after)
	testnode.Eventually(t, "the ledger has every invocation", func() bool {
		out, errs, err := n.Alcove(t, "usage", "--by", "tenant", "--format", "csv")
		if err != nil {
			t.Fatal(err, errs)
		}
		rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
		if err != nil || len(rows) == 0 {
			t.Fatal(err, out)
		}
		place := slices.Index(rows[0], "invocations")
		sum := 0
		for _, r := range rows[1:] {
			if slices.Contains(tenants, r[slices.Index(rows[0], "tenant")]) {
				one, _ := strconv.Atoi(r[place])
				sum += one
			}
		}
		if sum > before+after {
			t.Fatalf("%d invocations are billed, of %d:\n%s", sum, before+after, out)
		}
		return sum == before+after
	})
}
