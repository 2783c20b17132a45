package logsapi

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
)

func TestErrors(t *testing.T) {
	f := start(t)
	f.fill()
	ctx, g := t.Context(), aws.String(group)
	filter := func(in *cloudwatchlogs.FilterLogEventsInput) error {
		_, err := f.FilterLogEvents(ctx, in)
		return err
	}
	get := func(in *cloudwatchlogs.GetLogEventsInput) error {
		_, err := f.GetLogEvents(ctx, in)
		return err
	}
	streams := func(in *cloudwatchlogs.DescribeLogStreamsInput) error {
		_, err := f.DescribeLogStreams(ctx, in)
		return err
	}
	const invalid, notFound = "InvalidParameterException: ", "ResourceNotFoundException: "
	s := aws.String("2026/11/23/[$LATEST]b")
	for i, tt := range []struct {
		err  error
		want string
	}{
		{filter(&cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String("absent")}), notFound + "The specified log group does not exist."},
		{filter(&cloudwatchlogs.FilterLogEventsInput{LogGroupName: g, LogStreamNames: []string{"absent"}}), notFound + "The specified log stream does not exist."},
		{get(&cloudwatchlogs.GetLogEventsInput{LogGroupName: g, LogStreamName: aws.String("absent")}), notFound + "The specified log stream does not exist."},
		{filter(&cloudwatchlogs.FilterLogEventsInput{LogGroupIdentifier: aws.String("arn:aws:logs:eu-west-1:" + account + ":log-group:" + group)}), notFound + "The specified log group does not exist."},
		{filter(&cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String("bad name")}), invalid + `1 validation error detected: Value 'bad name' at 'logGroupName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\.\-_/#A-Za-z0-9]+`},
		{filter(&cloudwatchlogs.FilterLogEventsInput{}), invalid + "1 validation error detected: Value 'null' at 'logGroupName' failed to satisfy constraint: Member must not be null"},
		{filter(&cloudwatchlogs.FilterLogEventsInput{LogGroupName: g, LogGroupIdentifier: g}), invalid + "LogGroup name and LogGroup ARN are mutually exclusive parameters."},
		{filter(&cloudwatchlogs.FilterLogEventsInput{LogGroupName: g, Limit: aws.Int32(0), StartTime: aws.Int64(-1)}), invalid + "2 validation errors detected: Value '-1' at 'startTime' failed to satisfy constraint: Member must have value greater than or equal to 0; Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		{filter(&cloudwatchlogs.FilterLogEventsInput{LogGroupName: g, Limit: aws.Int32(10001)}), invalid + "1 validation error detected: Value '10001' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 10000"},
		{filter(&cloudwatchlogs.FilterLogEventsInput{LogGroupName: g, NextToken: aws.String("nonsense")}), invalid + "The specified nextToken is invalid."},
		{filter(&cloudwatchlogs.FilterLogEventsInput{LogGroupName: g, NextToken: aws.String(encodeToken("f/12"))}), invalid + "The specified nextToken is invalid."},
		{filter(&cloudwatchlogs.FilterLogEventsInput{LogGroupName: g, FilterPattern: aws.String("a:b")}), invalid + "Invalid character(s) in term ':'"},
		{filter(&cloudwatchlogs.FilterLogEventsInput{LogGroupName: g, StartFromHead: aws.Bool(false)}), invalid + "startFromHead can be false only with a startTime on or after 2024-01-01T00:00:00Z."},
		{filter(&cloudwatchlogs.FilterLogEventsInput{LogGroupName: g, LogStreamNames: []string{*s}, LogStreamNamePrefix: s}), invalid + "logStreamNamePrefix and logStreamNames are mutually exclusive parameters."},
		{get(&cloudwatchlogs.GetLogEventsInput{LogGroupName: g, LogStreamName: s, NextToken: aws.String("x/1")}), invalid + "The specified nextToken is invalid."},
		{get(&cloudwatchlogs.GetLogEventsInput{LogGroupName: g, LogStreamName: s, NextToken: aws.String("f/")}), invalid + "The specified nextToken is invalid."},
		{streams(&cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: g, OrderBy: types.OrderByLastEventTime, LogStreamNamePrefix: s}), invalid + "Cannot order by LastEventTime with a logStreamNamePrefix."},
		{streams(&cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: g, Limit: aws.Int32(51)}), invalid + "1 validation error detected: Value '51' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 50"},
		{streams(&cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: g, NextToken: aws.String(encodeToken("x"))}), invalid + "The specified nextToken is invalid."},
	} {
		if got := code(tt.err); got != tt.want {
			t.Errorf("%d: got  %s\nwant %s", i, got, tt.want)
		}
	}
	_, err := f.CreateExportTask(ctx, &cloudwatchlogs.CreateExportTaskInput{LogGroupName: g, From: aws.Int64(1), To: aws.Int64(2), Destination: g})
	if got := code(err); got != `UnknownOperationException: Operation "CreateExportTask" is not available here.` {
		t.Error(got)
	}
	_, err = client(f.url, "AKIDBAD").DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{})
	if got := code(err); got != "UnrecognizedClientException: The security token included in the request is invalid." {
		t.Error(got)
	}
}

// post sends a body as it is.
func (f *fixture) post(t *testing.T, target, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequest("POST", f.url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", target)
	r.Header.Set("Authorization", "AKIDGOOD")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Header.Get("X-Amzn-RequestId") == "" || resp.Header.Get("Content-Type") != "application/x-amz-json-1.1" {
		t.Errorf("headers %v", resp.Header)
	}
	return resp.StatusCode, string(b)
}

func TestRawRequests(t *testing.T) {
	f := start(t)
	for _, tt := range []struct {
		target, body string
		status       int
		want         string
	}{
		{"Logs_20140328.DescribeLogGroups", `{}`, 200, `{"logGroups":[]}`},
		{"Logs_20140328.DescribeLogGroups", `{"unknown":1}`, 200, `{"logGroups":[]}`},
		{"Logs_20140328.DescribeLogGroups", `{"limit":"x"}`, 400, `{"__type":"SerializationException","message":"A member of the request has the wrong type."}`},
		{"Logs_20140328.DescribeLogGroups", `[]`, 400, `{"__type":"SerializationException","message":"A member of the request has the wrong type."}`},
		{"Logs_20140328.DescribeLogGroups", ``, 400, `{"__type":"SerializationException","message":"The request is not a JSON object."}`},
		{"Logs_20140328.CreateLogGroup", `{"logGroupName":"g"}`, 200, ``},
		{"Logs_20140328.Nonsense", `{}`, 400, `{"__type":"UnknownOperationException","message":"Operation \"Nonsense\" is not available here."}`},
		{"Other.DescribeLogGroups", `{}`, 400, `{"__type":"UnknownOperationException","message":"The request names no operation of CloudWatch Logs."}`},
		{"Logs_20140328.DescribeLogGroups", strings.Repeat(" ", maxBody+1), 400, `{"__type":"InvalidParameterException","message":"The request is larger than 262144 bytes."}`},
	} {
		if status, body := f.post(t, tt.target, tt.body); status != tt.status || body != tt.want {
			t.Errorf("%s %.40s: %d %s", tt.target, tt.body, status, body)
		}
	}
}
