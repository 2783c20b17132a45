package logsapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/smithy-go"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/logs"
	"github.com/alcove-run/alcove/logs/queries"
)

const (
	group   = "/aws/lambda/hello"
	account = "000000000000"
)

// now is the tests' clock.
var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

type fixture struct {
	*cloudwatchlogs.Client
	store   *logs.Store
	queries *queries.Runner
	api     *API
	url     string
}

func start(t testing.TB) *fixture {
	t.Helper()
	clock := func() time.Time { return now }
	store, err := logs.Open(logs.Config{Dir: t.TempDir(), Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	runner := queries.New(queries.Config{Lines: store.Lines, Account: account, Now: clock})
	t.Cleanup(func() { runner.Close() })
	api := New(Config{Store: store, Queries: runner, Now: clock, Place: here,
		Authenticate: func(r *http.Request, body []byte) (alcove.Caller, error) {
			if !strings.Contains(r.Header.Get("Authorization"), "AKIDGOOD") {
				return alcove.Caller{}, alcove.ClientError("UnrecognizedClientException", "The security token included in the request is invalid.")
			}
			return alcove.Caller{Account: account}, nil
		}, Authorize: everything})
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	return &fixture{store: store, queries: runner, api: api, url: server.URL, Client: client(server.URL, "AKIDGOOD")}
}

// everything may everybody.
func everything(_ alcove.Caller, o auth.Operation) (*auth.Scope, error) {
	if !strings.HasPrefix(o.Action, "logs:") || !strings.HasPrefix(o.Resource, "arn:aws:logs:us-east-1:"+account+":log-group:") || o.PerTenant == o.Whole {
		return nil, fmt.Errorf("not what is to be authorised: %+v", o)
	}
	return nil, nil
}

func client(url, key string) *cloudwatchlogs.Client {
	return cloudwatchlogs.New(cloudwatchlogs.Options{Region: "us-east-1", BaseEndpoint: &url,
		Credentials: credentials.NewStaticCredentialsProvider(key, "secret", "")})
}

// fill writes what two tenants' environments and an Init would, and a hostile
// function of red's that claims to be blue.
func (f *fixture) fill() {
	blue, red := f.store.Stream(group, "2026/11/23/[$LATEST]b"), f.store.Stream(group, "2026/11/23/[$LATEST]r")
	for i := range 50 {
		at := now.Add(time.Duration(i) * time.Second / 100)
		blue.Append("blue", at, fmt.Appendf(nil, `{"level":"INFO","tenantId":"blue","message":"b%02d","n":%d}`, i, i))
		red.Append("red", at, fmt.Appendf(nil, `{"level":"INFO","tenantId":"red","message":"r%02d","n":%d}`, i, i))
	}
	blue.Append("", now.Add(-time.Second), []byte(`{"type":"platform.initStart","record":{}}`))
	blue.Append("blue", now.Add(time.Second), []byte(`{"type":"platform.report","record":{"tenantId":"blue"}}`))
	blue.Append("blue", now.Add(time.Second), []byte("plain text of blue\n"))
	red.Append("red", now.Add(time.Second), []byte(`{"tenantId":"blue","message":"spoofed"}`))
}

// code is the code of an API error, and its text.
func code(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode() + ": " + e.ErrorMessage()
	}
	return fmt.Sprint(err)
}

func (f *fixture) filter(t *testing.T, in cloudwatchlogs.FilterLogEventsInput) (messages []string) {
	t.Helper()
	in.LogGroupName = aws.String(group)
	pages := cloudwatchlogs.NewFilterLogEventsPaginator(f.Client, &in)
	for n := 0; pages.HasMorePages(); n++ {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			messages = append(messages, *e.Message)
			if len(*e.EventId) != 56 || *e.IngestionTime != now.UnixMilli() || !strings.HasPrefix(*e.LogStreamName, "2026/11/23/") || *e.Timestamp == 0 {
				t.Errorf("event %v %v %v %v", *e.EventId, *e.IngestionTime, *e.LogStreamName, *e.Timestamp)
			}
		}
		if in.Limit != nil && len(page.Events) > int(*in.Limit) {
			t.Errorf("%d events on a page of %d", len(page.Events), *in.Limit)
		}
		if n > 1000 {
			t.Fatal("pages without end")
		}
	}
	return messages
}

const tenantPattern = `{ $.tenantId = "blue" || $.record.tenantId = "blue" }`

// The published filter finds what the tenant's environments wrote in JSON, page
// by page in both directions, and nothing that another tenant's function wrote.
func TestFilterOneTenant(t *testing.T) {
	f := start(t)
	f.fill()
	for _, limit := range []*int32{nil, aws.Int32(1), aws.Int32(7)} {
		got := f.filter(t, cloudwatchlogs.FilterLogEventsInput{FilterPattern: aws.String(tenantPattern), Limit: limit})
		if len(got) != 51 || !strings.Contains(got[0], `"b00"`) || !strings.Contains(got[50], "platform.report") {
			t.Errorf("limit %v: %d events: %q", limit, len(got), got)
		}
		for _, m := range got {
			if strings.Contains(m, "red") || strings.Contains(m, "spoofed") {
				t.Errorf("got %s", m)
			}
		}
		back := f.filter(t, cloudwatchlogs.FilterLogEventsInput{FilterPattern: aws.String(tenantPattern), Limit: limit,
			StartFromHead: aws.Bool(false), StartTime: aws.Int64(now.Add(-time.Hour).UnixMilli())})
		slices.Reverse(back)
		if !slices.Equal(back, got) {
			t.Errorf("limit %v, newest first: %d events", limit, len(back))
		}
	}
}

// An ordinary function may log a tenantId: its lines are found by their text.
func TestFilterTenantOfOrdinaryFunction(t *testing.T) {
	f := start(t)
	f.store.Stream(group, "2026/11/23/[$LATEST]x").Append("", now, []byte(`{"tenantId":"blue"}`))
	if got := f.filter(t, cloudwatchlogs.FilterLogEventsInput{FilterPattern: aws.String(tenantPattern)}); len(got) != 1 {
		t.Errorf("got %q", got)
	}
}

func TestFilter(t *testing.T) {
	f := start(t)
	f.fill()
	ms := func(d time.Duration) *int64 { return aws.Int64(now.Add(d).UnixMilli()) }
	tests := []struct {
		name string
		in   cloudwatchlogs.FilterLogEventsInput
		want int
	}{
		{"everything", cloudwatchlogs.FilterLogEventsInput{}, 104},
		{"empty pattern", cloudwatchlogs.FilterLogEventsInput{FilterPattern: aws.String("")}, 104},
		{"start is included", cloudwatchlogs.FilterLogEventsInput{StartTime: ms(time.Second)}, 3},
		{"end is included", cloudwatchlogs.FilterLogEventsInput{EndTime: ms(0)}, 3},
		{"range", cloudwatchlogs.FilterLogEventsInput{StartTime: ms(100 * time.Millisecond), EndTime: ms(190 * time.Millisecond)}, 20},
		{"stream", cloudwatchlogs.FilterLogEventsInput{LogStreamNames: []string{"2026/11/23/[$LATEST]r"}}, 51},
		{"prefix", cloudwatchlogs.FilterLogEventsInput{LogStreamNamePrefix: aws.String("2026/11/23/[$LATEST]b")}, 53},
		{"term", cloudwatchlogs.FilterLogEventsInput{FilterPattern: aws.String(`"plain text"`)}, 1},
		{"number", cloudwatchlogs.FilterLogEventsInput{FilterPattern: aws.String(`{ $.n >= 48 }`)}, 4},
		{"nothing", cloudwatchlogs.FilterLogEventsInput{FilterPattern: aws.String("absent")}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			all := f.filter(t, tt.in)
			if len(all) != tt.want {
				t.Errorf("%d events, want %d: %q", len(all), tt.want, all)
			}
			tt.in.Limit = aws.Int32(3)
			if paged := f.filter(t, tt.in); !slices.Equal(paged, all) {
				t.Errorf("in pages: %d events", len(paged))
			}
		})
	}
	out, err := f.FilterLogEvents(t.Context(), &cloudwatchlogs.FilterLogEventsInput{
		LogGroupIdentifier: aws.String("arn:aws:logs:us-east-1:" + account + ":log-group:" + group + ":*")})
	if err != nil || len(out.Events) != 104 || out.NextToken != nil || out.SearchedLogStreams == nil {
		t.Errorf("by ARN: %v", err)
	}
}

func TestGetLogEvents(t *testing.T) {
	f := start(t)
	f.fill()
	stream := aws.String("2026/11/23/[$LATEST]r")
	in := func(more func(*cloudwatchlogs.GetLogEventsInput)) *cloudwatchlogs.GetLogEventsInput {
		in := &cloudwatchlogs.GetLogEventsInput{LogGroupName: aws.String(group), LogStreamName: stream}
		more(in)
		return in
	}
	get := func(in *cloudwatchlogs.GetLogEventsInput) *cloudwatchlogs.GetLogEventsOutput {
		t.Helper()
		out, err := f.GetLogEvents(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(*out.NextForwardToken, "f/") || !strings.HasPrefix(*out.NextBackwardToken, "b/") || len(*out.NextForwardToken) != 58 {
			t.Errorf("tokens %s %s", *out.NextForwardToken, *out.NextBackwardToken)
		}
		return out
	}
	texts := func(events []types.OutputLogEvent) (list []string) {
		for _, e := range events {
			list = append(list, *e.Message)
		}
		return list
	}
	all := texts(get(in(func(in *cloudwatchlogs.GetLogEventsInput) { in.StartFromHead = aws.Bool(true) })).Events)
	if len(all) != 51 || !strings.Contains(all[0], "r00") || !strings.Contains(all[50], "spoofed") {
		t.Fatalf("%d events: %q", len(all), all)
	}
	if newest := texts(get(in(func(in *cloudwatchlogs.GetLogEventsInput) { in.Limit = aws.Int32(5) })).Events); !slices.Equal(newest, all[46:]) {
		t.Errorf("the newest five: %q", newest)
	}

	// Forward through pages, as the paginator does, until the token repeats.
	pages := cloudwatchlogs.NewGetLogEventsPaginator(f.Client, in(func(in *cloudwatchlogs.GetLogEventsInput) {
		in.StartFromHead, in.Limit = aws.Bool(true), aws.Int32(10)
	}), func(o *cloudwatchlogs.GetLogEventsPaginatorOptions) { o.StopOnDuplicateToken = true })
	var forward []string
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		forward = append(forward, texts(page.Events)...)
	}
	if !slices.Equal(forward, all) {
		t.Errorf("forward: %d events", len(forward))
	}

	// Backward, then at the end of the stream round again, losing nothing.
	var backward []string
	out := get(in(func(in *cloudwatchlogs.GetLogEventsInput) { in.Limit = aws.Int32(10) }))
	for len(out.Events) > 0 {
		backward = append(texts(out.Events), backward...)
		out = get(in(func(in *cloudwatchlogs.GetLogEventsInput) {
			in.Limit, in.NextToken = aws.Int32(10), out.NextBackwardToken
		}))
	}
	if !slices.Equal(backward, all) {
		t.Errorf("backward: %d events", len(backward))
	}
	again := get(in(func(in *cloudwatchlogs.GetLogEventsInput) { in.NextToken = out.NextBackwardToken }))
	if len(again.Events) != 0 || *again.NextBackwardToken != *out.NextBackwardToken {
		t.Error("the token at the beginning does not repeat")
	}
	round := get(in(func(in *cloudwatchlogs.GetLogEventsInput) { in.NextToken = out.NextForwardToken }))
	if !slices.Equal(texts(round.Events), all) {
		t.Errorf("from the beginning: %d events", len(round.Events))
	}
	end := get(in(func(in *cloudwatchlogs.GetLogEventsInput) { in.NextToken = round.NextForwardToken }))
	if len(end.Events) != 0 || *end.NextForwardToken != *round.NextForwardToken {
		t.Error("the token at the end does not repeat")
	}
	if last := get(in(func(in *cloudwatchlogs.GetLogEventsInput) { in.NextToken = end.NextBackwardToken })); !slices.Equal(texts(last.Events), all) {
		t.Errorf("back from the end: %d events", len(last.Events))
	}
	f.store.Stream(group, *stream).Append("red", now.Add(2*time.Second), []byte("later"))
	if got := texts(get(in(func(in *cloudwatchlogs.GetLogEventsInput) { in.NextToken = end.NextForwardToken })).Events); !slices.Equal(got, []string{"later"}) {
		t.Errorf("after the end: %q", got)
	}

	// endTime is not included here.
	some := get(in(func(in *cloudwatchlogs.GetLogEventsInput) {
		in.StartTime, in.EndTime = aws.Int64(now.Add(100*time.Millisecond).UnixMilli()), aws.Int64(now.Add(200*time.Millisecond).UnixMilli())
	}))
	if !slices.Equal(texts(some.Events), all[10:20]) {
		t.Errorf("a range: %q", texts(some.Events))
	}
	// A stream without events has tokens that find what comes.
	if _, err := f.CreateLogStream(t.Context(), &cloudwatchlogs.CreateLogStreamInput{LogGroupName: aws.String(group), LogStreamName: aws.String("new")}); err != nil {
		t.Fatal(err)
	}
	stream = aws.String("new")
	empty := get(in(func(*cloudwatchlogs.GetLogEventsInput) {}))
	f.store.Stream(group, "new").Append("", now, []byte("first"))
	if got := texts(get(in(func(in *cloudwatchlogs.GetLogEventsInput) { in.NextToken = empty.NextForwardToken })).Events); !slices.Equal(got, []string{"first"}) {
		t.Errorf("after an empty page: %q", got)
	}
}

func TestDescribe(t *testing.T) {
	f := start(t)
	f.fill()
	for i := range 60 {
		f.store.Stream(fmt.Sprintf("/aws/lambda/f%02d", i), "s").Append("", now, []byte("x"))
		f.store.Stream(group, fmt.Sprintf("many/%02d", i)).Append("", now.Add(-time.Duration(i)*time.Second), []byte("x"))
	}
	var groups []types.LogGroup
	pages := cloudwatchlogs.NewDescribeLogGroupsPaginator(f.Client, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String("/aws/")})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		groups = append(groups, page.LogGroups...)
	}
	if len(groups) != 61 {
		t.Fatalf("%d groups", len(groups))
	}
	arn := "arn:aws:logs:us-east-1:" + account + ":log-group:" + group
	if g := groups[60]; *g.LogGroupName != group || *g.Arn != arn+":*" || *g.LogGroupArn != arn || *g.CreationTime != now.UnixMilli() ||
		*g.StoredBytes == 0 || g.RetentionInDays != nil || g.LogGroupClass != types.LogGroupClassStandard || *g.MetricFilterCount != 0 {
		t.Errorf("group %s", try(json.Marshal(g)))
	}
	some, err := f.DescribeLogGroups(t.Context(), &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePattern: aws.String("HELL")})
	if err != nil || len(some.LogGroups) != 1 {
		t.Errorf("by pattern: %v", err)
	}
	some, err = f.DescribeLogGroups(t.Context(), &cloudwatchlogs.DescribeLogGroupsInput{LogGroupIdentifiers: []string{arn, "absent", "/aws/lambda/f00"}})
	if err != nil || len(some.LogGroups) != 2 {
		t.Errorf("by identifiers: %v", err)
	}

	in := &cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: aws.String(group), OrderBy: types.OrderByLastEventTime, Descending: aws.Bool(true), Limit: aws.Int32(20)}
	var streams []types.LogStream
	streamPages := cloudwatchlogs.NewDescribeLogStreamsPaginator(f.Client, in)
	for streamPages.HasMorePages() {
		page, err := streamPages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, page.LogStreams...)
	}
	if len(streams) != 62 || !slices.IsSortedFunc(streams, func(a, b types.LogStream) int { return int(*b.LastEventTimestamp - *a.LastEventTimestamp) }) {
		t.Fatalf("%d streams", len(streams))
	}
	st := streams[slices.IndexFunc(streams, func(s types.LogStream) bool { return *s.LogStreamName == "2026/11/23/[$LATEST]b" })]
	if *st.Arn != arn+":log-stream:2026/11/23/[$LATEST]b" || *st.FirstEventTimestamp != now.Add(-time.Second).UnixMilli() ||
		*st.LastEventTimestamp != now.Add(time.Second).UnixMilli() || *st.LastIngestionTime != now.UnixMilli() || *st.CreationTime != now.UnixMilli() {
		t.Errorf("stream %s", try(json.Marshal(st)))
	}
	byPrefix, err := f.DescribeLogStreams(t.Context(), &cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: aws.String(group), LogStreamNamePrefix: aws.String("2026/")})
	if err != nil || len(byPrefix.LogStreams) != 2 || byPrefix.NextToken != nil {
		t.Errorf("by prefix: %v", err)
	}
}

func try(b []byte, err error) []byte {
	if err != nil {
		return []byte(err.Error())
	}
	return b
}

func TestManage(t *testing.T) {
	f := start(t)
	ctx := t.Context()
	name, stream := aws.String("/custom"), aws.String("s")
	do := func(want string, err error) {
		t.Helper()
		if got := code(err); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	const fine = "<nil>"
	createGroup := func() error {
		_, err := f.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: name})
		return err
	}
	createStream := func() error {
		_, err := f.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: name, LogStreamName: stream})
		return err
	}
	do("ResourceNotFoundException: The specified log group does not exist.", createStream())
	do(fine, createGroup())
	do("ResourceAlreadyExistsException: The specified log group already exists", createGroup())
	do(fine, createStream())
	do("ResourceAlreadyExistsException: The specified log stream already exists", createStream())

	put, err := f.PutLogEvents(ctx, &cloudwatchlogs.PutLogEventsInput{LogGroupName: name, LogStreamName: stream, LogEvents: []types.InputLogEvent{
		{Timestamp: aws.Int64(now.Add(-time.Hour).UnixMilli()), Message: aws.String("a")}, {Timestamp: aws.Int64(now.UnixMilli()), Message: aws.String("b é\n")},
		{Timestamp: aws.Int64(now.Add(3 * time.Hour).UnixMilli()), Message: aws.String("too new")}}})
	if err != nil || put.RejectedLogEventsInfo == nil || *put.RejectedLogEventsInfo.TooNewLogEventStartIndex != 2 || put.RejectedLogEventsInfo.TooOldLogEventEndIndex != nil {
		t.Errorf("put: %+v, %v", put, err)
	}
	events, err := f.GetLogEvents(ctx, &cloudwatchlogs.GetLogEventsInput{LogGroupName: name, LogStreamName: stream})
	if err != nil || len(events.Events) != 2 || *events.Events[1].Message != "b é\n" {
		t.Errorf("events: %v", err)
	}
	putting := func(events ...types.InputLogEvent) error {
		_, err := f.PutLogEvents(ctx, &cloudwatchlogs.PutLogEventsInput{LogGroupName: name, LogStreamName: stream, LogEvents: events})
		return err
	}
	one := types.InputLogEvent{Timestamp: aws.Int64(now.UnixMilli()), Message: aws.String("x")}
	older := types.InputLogEvent{Timestamp: aws.Int64(now.Add(-time.Minute).UnixMilli()), Message: aws.String("x")}
	large := types.InputLogEvent{Timestamp: one.Timestamp, Message: aws.String(strings.Repeat("x", 1<<20))}
	old := types.InputLogEvent{Timestamp: aws.Int64(now.Add(-48 * time.Hour).UnixMilli()), Message: aws.String("x")}
	do("InvalidParameterException: Log events in a single PutLogEvents request must be in chronological order.", putting(one, older))
	do("InvalidParameterException: Upload too large: 1048602 bytes exceeds limit of 1048576", putting(large))
	do("InvalidParameterException: The batch of log events in a single PutLogEvents request cannot span more than 24 hours.", putting(old, one))
	do("InvalidParameterException: 1 validation error detected: Value '[]' at 'logEvents' failed to satisfy constraint: Member must have length greater than or equal to 1", putting([]types.InputLogEvent{}...))

	_, err = f.PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: name, RetentionInDays: aws.Int32(7)})
	do(fine, err)
	for age, want := range map[time.Duration]types.RejectedLogEventsInfo{
		15 * 24 * time.Hour: {TooOldLogEventEndIndex: aws.Int32(2)},
		8 * 24 * time.Hour:  {ExpiredLogEventEndIndex: aws.Int32(2)},
	} {
		var batch []types.InputLogEvent
		for i := range 2 {
			batch = append(batch, types.InputLogEvent{Timestamp: aws.Int64(now.Add(-age).UnixMilli() + int64(i)), Message: aws.String("old")})
		}
		put, err := f.PutLogEvents(ctx, &cloudwatchlogs.PutLogEventsInput{LogGroupName: name, LogStreamName: stream, LogEvents: batch})
		if err != nil || put.RejectedLogEventsInfo == nil || !reflect.DeepEqual(*put.RejectedLogEventsInfo, want) {
			t.Errorf("events %v old: %+v, %v", age, put.RejectedLogEventsInfo, err)
		}
	}
	groups, err := f.DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: name})
	if err != nil || len(groups.LogGroups) != 1 || *groups.LogGroups[0].RetentionInDays != 7 {
		t.Errorf("retention: %v", err)
	}
	_, err = f.PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: name, RetentionInDays: aws.Int32(8)})
	if !strings.HasPrefix(code(err), "InvalidParameterException: 1 validation error detected: Value '8' at 'retentionInDays'") {
		t.Error(code(err))
	}
	_, err = f.DeleteRetentionPolicy(ctx, &cloudwatchlogs.DeleteRetentionPolicyInput{LogGroupName: name})
	do(fine, err)
	_, err = f.DeleteLogStream(ctx, &cloudwatchlogs.DeleteLogStreamInput{LogGroupName: name, LogStreamName: stream})
	do(fine, err)
	_, err = f.DeleteLogStream(ctx, &cloudwatchlogs.DeleteLogStreamInput{LogGroupName: name, LogStreamName: stream})
	do("ResourceNotFoundException: The specified log stream does not exist.", err)
	_, err = f.DeleteLogGroup(ctx, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: name})
	do(fine, err)
	_, err = f.DeleteLogGroup(ctx, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: name})
	do("ResourceNotFoundException: The specified log group does not exist.", err)
}
