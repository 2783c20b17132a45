package logsapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
)

// query starts a query of the fixture's group and gives its id when it has ended.
func (f *fixture) query(t testing.TB, text string) string {
	t.Helper()
	return queryWith(t, f.Client, text)
}

func queryWith(t testing.TB, c *cloudwatchlogs.Client, text string) string {
	t.Helper()
	out, err := c.StartQuery(context.Background(), &cloudwatchlogs.StartQueryInput{LogGroupName: aws.String(group), QueryString: &text,
		StartTime: aws.Int64(now.Add(-time.Hour).Unix()), EndTime: aws.Int64(now.Add(time.Hour).Unix())})
	if err != nil {
		t.Fatal(err)
	}
	await(t, c, *out.QueryId)
	return *out.QueryId
}

// await waits until a query has ended.
func await(t testing.TB, c *cloudwatchlogs.Client, id string) *cloudwatchlogs.GetQueryResultsOutput {
	t.Helper()
	for {
		got, err := c.GetQueryResults(context.Background(), &cloudwatchlogs.GetQueryResultsInput{QueryId: &id})
		if err != nil {
			t.Fatal(err)
		}
		if got.Status != types.QueryStatusRunning && got.Status != types.QueryStatusScheduled {
			return got
		}
		time.Sleep(time.Millisecond)
	}
}

// table are results as text: a row is its fields but @ptr.
func table(rows [][]types.ResultField) (list []string) {
	for _, row := range rows {
		var parts []string
		for _, f := range row {
			if *f.Field != "@ptr" {
				parts = append(parts, *f.Field+"="+*f.Value)
			}
		}
		list = append(list, strings.Join(parts, "; "))
	}
	return list
}

// The two queries that AWS's page on monitoring tenants shows, by AWS's client.
func TestQueryOneTenant(t *testing.T) {
	f := start(t)
	f.fill()
	got := await(t, f.Client, f.query(t, `fields @logStream, @message
		| filter tenantId=='blue' or record.tenantId=='blue'
		| stats count() as logCount by @logStream
		| sort @timestamp desc`))
	if want := []string{"@logStream=2026/11/23/[$LATEST]b; logCount=51"}; got.Status != "Complete" || !slices.Equal(table(got.Results), want) {
		t.Errorf("%s: %q, want %q", got.Status, table(got.Results), want)
	}
	// The other tenant's lines are not even looked at.
	if s := got.Statistics; s.RecordsMatched != 51 || s.RecordsScanned != 53 || s.BytesScanned < 51*40 || s.LogGroupsScanned != 1 {
		t.Errorf("statistics %+v", s)
	}
	got = await(t, f.Client, f.query(t, `fields @message | filter tenantId=='blue' or record.tenantId=='blue' | limit 1000`))
	rows := table(got.Results)
	if len(rows) != 51 || !strings.Contains(rows[0], "platform.report") || !strings.Contains(rows[50], `"b00"`) || strings.Contains(strings.Join(rows, ""), "spoofed") {
		t.Errorf("%d rows: %q", len(rows), rows)
	}
	all := await(t, f.Client, f.query(t, `stats count(*), count_distinct(tenantId) as tenants`))
	if want := []string{"count(*)=104; tenants=2"}; !slices.Equal(table(all.Results), want) || all.Statistics.RecordsScanned != 104 || all.QueryLanguage != "CWLI" {
		t.Errorf("%q %+v", table(all.Results), all.Statistics)
	}
	// A pointer leads to the whole record.
	ptr := got.Results[0][len(got.Results[0])-1]
	record, err := f.GetLogRecord(t.Context(), &cloudwatchlogs.GetLogRecordInput{LogRecordPointer: ptr.Value})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"@ingestionTime": fmt.Sprint(now.UnixMilli()), "@log": account + ":" + group, "@logStream": "2026/11/23/[$LATEST]b", "@message": `{"type":"platform.report","record":{"tenantId":"blue"}}`,
		"@ptr": *ptr.Value, "@timestamp": fmt.Sprint(now.Add(time.Second).UnixMilli()), "type": "platform.report", "record.tenantId": "blue"}
	if *ptr.Field != "@ptr" || fmt.Sprint(record.LogRecord) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", record.LogRecord, want)
	}
}

// Results come page by page to whoever asks for pages.
func TestQueryPages(t *testing.T) {
	f := start(t)
	f.fill()
	id := f.query(t, "fields n | filter ispresent(n) | sort n desc")
	var rows []string
	in := &cloudwatchlogs.GetQueryResultsInput{QueryId: &id, MaxItems: aws.Int32(7)}
	for {
		got, err := f.GetQueryResults(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, table(got.Results)...)
		if in.NextToken = got.NextToken; in.NextToken == nil {
			break
		}
		if len(got.Results) != 7 {
			t.Fatalf("%d rows on a page", len(got.Results))
		}
	}
	if len(rows) != 100 || rows[0] != "n=49" || rows[99] != "n=0" {
		t.Errorf("%d rows: %q", len(rows), rows)
	}
}

// Groups are read as one, and named in all the ways that AWS has.
func TestQuerySeveralGroups(t *testing.T) {
	f := start(t)
	f.fill()
	second := "/aws/lambda/second"
	w := f.store.Stream(second, "s")
	for i := range 10 {
		w.Append("", now.Add(time.Duration(i)*100*time.Millisecond+50*time.Millisecond), fmt.Appendf(nil, "second %d", i))
	}
	run := func(in cloudwatchlogs.StartQueryInput, text string) []string {
		in.QueryString, in.StartTime, in.EndTime = &text, aws.Int64(now.Add(-time.Hour).UnixMilli()), aws.Int64(now.Add(time.Hour).UnixMilli())
		out, err := f.StartQuery(t.Context(), &in)
		if err != nil {
			t.Fatal(err)
		}
		return table(await(t, f.Client, *out.QueryId).Results)
	}
	arn := "arn:aws:logs:us-east-1:" + account + ":log-group:"
	both := []cloudwatchlogs.StartQueryInput{{LogGroupNames: []string{group, second, second}}, {LogGroupIdentifiers: []string{arn + group, second}}}
	for _, in := range both {
		if got, want := run(in, "stats count(*) as n by @log"), []string{"@log=" + account + ":" + group + "; n=104", "@log=" + account + ":" + second + "; n=10"}; !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
	}
	got := run(both[0], "fields @timestamp | sort @timestamp asc | limit 104")
	if len(got) != 104 || !slices.IsSorted(got) {
		t.Errorf("%d in order: %v", len(got), slices.IsSorted(got))
	}
	if got := run(cloudwatchlogs.StartQueryInput{LogGroupIdentifiers: []string{second}, Limit: aws.Int32(2)}, "fields @message"); !slices.Equal(got, []string{"@message=second 9", "@message=second 8"}) {
		t.Errorf("%q", got)
	}
}

func TestQueryErrors(t *testing.T) {
	f := start(t)
	f.fill()
	query := func(change func(*cloudwatchlogs.StartQueryInput)) error {
		in := &cloudwatchlogs.StartQueryInput{LogGroupName: aws.String(group), QueryString: aws.String("fields @message"), StartTime: aws.Int64(1), EndTime: aws.Int64(2)}
		change(in)
		_, err := f.StartQuery(t.Context(), in)
		return err
	}
	text := func(s string) error {
		return query(func(in *cloudwatchlogs.StartQueryInput) { in.QueryString = &s })
	}
	err := text("fields @message\n| dedup x | sort y")
	malformed, ok := errors.AsType[*types.MalformedQueryException](err)
	if !ok || *malformed.Message != "unexpected symbol found sort at line 2 and position 12" || malformed.QueryCompileError == nil ||
		*malformed.QueryCompileError.Location.StartCharOffset != 28 || *malformed.QueryCompileError.Location.EndCharOffset != 32 ||
		*malformed.QueryCompileError.Message != *malformed.Message {
		t.Errorf("%v %+v", err, malformed)
	}
	unknown := "00000000-0000-0000-0000-000000000000"
	_, unknownResults := f.GetQueryResults(t.Context(), &cloudwatchlogs.GetQueryResultsInput{QueryId: &unknown})
	_, unknownStop := f.StopQuery(t.Context(), &cloudwatchlogs.StopQueryInput{QueryId: &unknown})
	id := f.query(t, "fields @message")
	_, stopEnded := f.StopQuery(t.Context(), &cloudwatchlogs.StopQueryInput{QueryId: &id})
	_, badToken := f.GetQueryResults(t.Context(), &cloudwatchlogs.GetQueryResultsInput{QueryId: &id, NextToken: aws.String("!")})
	_, badItems := f.GetQueryResults(t.Context(), &cloudwatchlogs.GetQueryResultsInput{QueryId: &id, MaxItems: aws.Int32(10001)})
	_, badPointer := f.GetLogRecord(t.Context(), &cloudwatchlogs.GetLogRecordInput{LogRecordPointer: aws.String("nonsense")})
	const invalid, missing = "InvalidParameterException: ", "ResourceNotFoundException: "
	for i, tt := range []struct {
		err  error
		want string
	}{
		{text("fields @message | unmask @message"), "MalformedQueryException: the command unmask is not available here at line 1 and position 18"},
		{text("SOURCE logGroups() | fields @message"), "MalformedQueryException: the command SOURCE is not available here at line 1 and position 0"},
		{text(""), "MalformedQueryException: unexpected end of the query at line 1 and position 0"},
		{query(func(in *cloudwatchlogs.StartQueryInput) { in.LogGroupName = aws.String("absent") }), missing + "Log group 'absent' does not exist for account ID '" + account + "'"},
		{query(func(in *cloudwatchlogs.StartQueryInput) { in.LogGroupNames = []string{group} }), invalid + "Exactly one of logGroupName, logGroupNames and logGroupIdentifiers must be given."},
		{query(func(in *cloudwatchlogs.StartQueryInput) { in.LogGroupName = nil }), invalid + "Exactly one of logGroupName, logGroupNames and logGroupIdentifiers must be given."},
		{query(func(in *cloudwatchlogs.StartQueryInput) { in.EndTime = aws.Int64(0) }), invalid + "The end time is before the start time."},
		{query(func(in *cloudwatchlogs.StartQueryInput) { in.QueryLanguage = types.QueryLanguagePpl }), invalid + "The query language PPL is not available here."},
		{query(func(in *cloudwatchlogs.StartQueryInput) { in.Limit = aws.Int32(100_001) }), invalid + "1 validation error detected: Value '100001' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 100000"},
		{query(func(in *cloudwatchlogs.StartQueryInput) { in.LogGroupName = aws.String("bad name") }), invalid + `1 validation error detected: Value 'bad name' at 'logGroupName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\.\-_/#A-Za-z0-9]+`},
		{unknownResults, missing + "The specified query does not exist."},
		{unknownStop, missing + "The specified query does not exist."},
		{stopEnded, invalid + "The specified query is not running."},
		{badToken, invalid + "The specified nextToken is invalid."},
		{badItems, invalid + "1 validation error detected: Value '10001' at 'maxItems' failed to satisfy constraint: Member must have value between 0 and 10000"},
		{badPointer, invalid + "The specified log record pointer is invalid."},
	} {
		if got := code(tt.err); got != tt.want {
			t.Errorf("%d: got  %s\nwant %s", i, got, tt.want)
		}
	}
}

func TestDescribeQueries(t *testing.T) {
	f := start(t)
	f.fill()
	var ids []string
	for i := range 5 {
		ids = append(ids, f.query(t, fmt.Sprint("limit ", i+1)))
	}
	in := &cloudwatchlogs.DescribeQueriesInput{MaxResults: aws.Int32(2), LogGroupName: aws.String(group), Status: types.QueryStatusComplete}
	var got []string
	for {
		out, err := f.DescribeQueries(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range out.Queries {
			got = append(got, *q.QueryId)
			if *q.LogGroupName != group || !strings.HasPrefix(*q.QueryString, "limit ") || *q.CreateTime != now.UnixMilli() || q.Status != types.QueryStatusComplete || *q.BytesScanned == 0 {
				t.Errorf("%+v", q)
			}
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			break
		}
	}
	slices.Sort(got)
	slices.Sort(ids)
	if !slices.Equal(got, ids) {
		t.Errorf("%q, want %q", got, ids)
	}
	for _, in := range []cloudwatchlogs.DescribeQueriesInput{{LogGroupName: aws.String("other")}, {Status: types.QueryStatusRunning}, {QueryLanguage: types.QueryLanguagePpl}} {
		if out, err := f.DescribeQueries(t.Context(), &in); err != nil || len(out.Queries) != 0 {
			t.Errorf("%+v: %v %v", in, out, err)
		}
	}
}

// TestQueriesOfABoundKey has two keys that are bound to tenants, and one that is not,
// ask for each other's queries.
func TestQueriesOfABoundKey(t *testing.T) {
	f := start(t)
	f.fill()
	keys := realKeys(t)
	server := httptest.NewServer(New(Config{Store: f.store, Queries: f.queries, Place: here, Authorize: keys.Authorize,
		Authenticate: func(r *http.Request, _ []byte) (alcove.Caller, error) {
			id := strings.TrimPrefix(strings.Split(r.Header.Get("Authorization"), "/")[0], "AWS4-HMAC-SHA256 Credential=")
			return alcove.Caller{AccessKeyID: id, Account: account, ARN: "arn:aws:iam::000000000000:user/" + id}, nil
		}}))
	defer server.Close()
	as := func(name, condition, resource string) *cloudwatchlogs.Client {
		invoke := ""
		if condition != "" {
			invoke = `{"Effect":"Allow","Action":"lambda:InvokeFunction","Resource":"*","Condition":{"StringEquals":{"lambda:TenantId":"` + condition + `"}}},`
		}
		made, _, err := keys.CreateKey(t.Context(), alcove.Caller{}, name, `{"Version":"2012-10-17","Statement":[`+invoke+`{"Effect":"Allow","Action":"logs:*","Resource":"`+resource+`"}]}`)
		if err != nil {
			t.Fatal(err)
		}
		return client(server.URL, made.AccessKeyID)
	}
	blue, red := as("blue", "blue", "*"), as("red", "red", "*")
	all, elsewhere := as("all", "", "*"), as("elsewhere", "", "arn:aws:logs:*:*:log-group:/aws/lambda/other*")
	id := queryWith(t, blue, "fields @message, @logStream | filter @message like 'blue'")
	got := await(t, blue, id)
	if len(got.Results) != 52 || strings.Contains(strings.Join(table(got.Results), ""), "spoofed") {
		t.Errorf("blue reads %d: %q", len(got.Results), table(got.Results))
	}
	if got := await(t, all, id); len(got.Results) != 52 {
		t.Errorf("a key that sees everybody's records reads %d", len(got.Results))
	}
	const gone = "ResourceNotFoundException: The specified query does not exist."
	_, err := red.GetQueryResults(t.Context(), &cloudwatchlogs.GetQueryResultsInput{QueryId: &id})
	if code(err) != gone {
		t.Errorf("red: %v", err)
	}
	_, err = red.StopQuery(t.Context(), &cloudwatchlogs.StopQueryInput{QueryId: &id})
	if code(err) != gone {
		t.Errorf("red: %v", err)
	}
	for c, want := range map[*cloudwatchlogs.Client]int{blue: 1, red: 0, all: 1} {
		if out, err := c.DescribeQueries(t.Context(), &cloudwatchlogs.DescribeQueriesInput{}); err != nil || len(out.Queries) != want {
			t.Errorf("lists %v %v, want %d", out, err, want)
		}
	}
	_, err = elsewhere.GetQueryResults(t.Context(), &cloudwatchlogs.GetQueryResultsInput{QueryId: &id})
	if !strings.Contains(code(err), "AccessDeniedException") || !strings.Contains(code(err), "logs:GetQueryResults on resource: arn:aws:logs:us-east-1:000000000000:log-group:/aws/lambda/hello:*") {
		t.Errorf("elsewhere: %v", err)
	}
	_, err = elsewhere.StartQuery(t.Context(), &cloudwatchlogs.StartQueryInput{LogGroupNames: []string{"/aws/lambda/other", group}, QueryString: aws.String("limit 1"), StartTime: aws.Int64(1), EndTime: aws.Int64(2)})
	if !strings.Contains(code(err), "AccessDeniedException") || !strings.Contains(code(err), "logs:StartQuery on resource: arn:aws:logs:us-east-1:000000000000:log-group:/aws/lambda/hello:*") {
		t.Errorf("elsewhere: %v", err)
	}
	// A pointer is no way round.
	ptr := got.Results[0][len(got.Results[0])-1].Value
	if _, err := red.GetLogRecord(t.Context(), &cloudwatchlogs.GetLogRecordInput{LogRecordPointer: ptr}); code(err) != "ResourceNotFoundException: The specified log record does not exist." {
		t.Errorf("red: %v", err)
	}
	if _, err := blue.GetLogRecord(t.Context(), &cloudwatchlogs.GetLogRecordInput{LogRecordPointer: ptr}); err != nil {
		t.Errorf("blue: %v", err)
	}
}

// TestQueriesOfEnvironments has the code of tenants' environments query the log: each
// reads its own tenant's records alone, in whichever of its environments it runs.
func TestQueriesOfEnvironments(t *testing.T) {
	f := start(t)
	f.fill()
	role := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["logs:StartQuery","logs:GetQueryResults","logs:StopQuery","logs:DescribeQueries"],"Resource":"*"}]}`
	keys, err := auth.Open(t.Context(), auth.Config{File: filepath.Join(t.TempDir(), "root"), Mode: auth.ModeSigV4, Place: here, RolePolicy: func(string) string { return role }})
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close()
	callers := make(map[string]alcove.Caller)
	server := httptest.NewServer(New(Config{Store: f.store, Queries: f.queries, Place: here, Authorize: keys.Authorize,
		Authenticate: func(r *http.Request, _ []byte) (alcove.Caller, error) {
			return callers[strings.TrimPrefix(strings.Split(r.Header.Get("Authorization"), "/")[0], "AWS4-HMAC-SHA256 Credential=")], nil
		}}))
	defer server.Close()
	environment := func(name string, tenant alcove.Tenant) *cloudwatchlogs.Client {
		key, _ := keys.OpenSession(auth.Session{Environment: name, Function: "router", Role: "arn:aws:iam::" + account + ":role/r", Isolated: true,
			Tenant: func() (alcove.Tenant, bool) { return tenant, true }})
		callers[key.ID] = alcove.Caller{AccessKeyID: key.ID, Account: account, ARN: "arn:aws:sts::" + account + ":assumed-role/r/router"}
		return client(server.URL, key.ID)
	}
	blue, again, red := environment("e1", "blue"), environment("e2", "blue"), environment("e3", "red")
	id := queryWith(t, blue, "fields @message")
	got := await(t, again, id)
	if len(got.Results) != 52 || got.Statistics.RecordsScanned != 52 || strings.Contains(strings.Join(table(got.Results), ""), "initStart") {
		t.Errorf("blue reads %d, scanned %v: %q", len(got.Results), got.Statistics.RecordsScanned, table(got.Results))
	}
	if got := await(t, red, queryWith(t, red, "fields @message | filter tenantId = 'blue'")); len(got.Results) != 0 || got.Statistics.RecordsScanned != 0 {
		t.Errorf("red reads %q", table(got.Results))
	}
	if _, err := red.GetQueryResults(t.Context(), &cloudwatchlogs.GetQueryResultsInput{QueryId: &id}); code(err) != "ResourceNotFoundException: The specified query does not exist." {
		t.Errorf("red: %v", err)
	}
	for c, want := range map[*cloudwatchlogs.Client]int{again: 1, red: 1} {
		if out, err := c.DescribeQueries(t.Context(), &cloudwatchlogs.DescribeQueriesInput{}); err != nil || len(out.Queries) != want {
			t.Errorf("lists %v %v, want %d", out, err, want)
		}
	}
	name := group
	if _, err := blue.DeleteLogGroup(t.Context(), &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: &name}); !strings.HasPrefix(code(err), "AccessDeniedException") {
		t.Errorf("an environment deletes: %v", err)
	}
}
