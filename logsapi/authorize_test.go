package logsapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/store"
)

// here is where the tests' groups are.
var here = alcove.Place{Partition: "aws", Region: "us-east-1", Account: account}

// realKeys opens the keys of a node, of which there are none yet but the root's.
func realKeys(t testing.TB) *auth.Auth {
	t.Helper()
	dir := t.TempDir()
	st, err := store.Open(t.Context(), store.Config{Dir: filepath.Join(dir, "state")})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := auth.Open(t.Context(), auth.Config{File: filepath.Join(dir, "root"), Mode: auth.ModeSigV4, Place: here, Keys: st.Bucket(auth.KeysBucket)})
	if err != nil {
		t.Fatal(errors.Join(err, st.Close()))
	}
	t.Cleanup(func() {
		if err := errors.Join(keys.Close(), st.Close()); err != nil {
			t.Error(err)
		}
	})
	return keys
}

// TestABoundKeyReadsItsTenantsRecords has a real key, bound to blue, ask for all
// that there is.
func TestABoundKeyReadsItsTenantsRecords(t *testing.T) {
	f := start(t)
	f.fill()
	keys := realKeys(t)
	made, _, err := keys.CreateKey(t.Context(), alcove.Caller{}, "blue", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"lambda:InvokeFunction","Resource":"*","Condition":{"StringEquals":{"lambda:TenantId":"blue"}}},
		{"Effect":"Allow","Action":"logs:*","Resource":"arn:aws:logs:*:*:log-group:/aws/lambda/hello*"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(New(Config{Store: f.store, Place: here, Authorize: keys.Authorize,
		Authenticate: func(*http.Request, []byte) (alcove.Caller, error) {
			return alcove.Caller{AccessKeyID: made.AccessKeyID, Account: account, ARN: "arn:aws:iam::000000000000:user/blue"}, nil
		}}))
	defer server.Close()
	c := client(server.URL, "any")
	name := group
	seen := 0
	pages := cloudwatchlogs.NewFilterLogEventsPaginator(c, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: &name})
	for pages.HasMorePages() {
		page, err := pages.NextPage(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			if seen++; !strings.HasSuffix(*e.LogStreamName, "b") {
				t.Errorf("reads %s of %s", *e.Message, *e.LogStreamName)
			}
		}
	}
	if seen < 50 {
		t.Errorf("reads %d records", seen)
	}
	red := "2026/11/23/[$LATEST]r"
	if got, err := c.GetLogEvents(t.Context(), &cloudwatchlogs.GetLogEventsInput{LogGroupName: &name, LogStreamName: &red}); err != nil || len(got.Events) != 0 {
		t.Errorf("of red's stream: %v %v", got, err)
	}
	tail := tailStream(t, c, cloudwatchlogs.StartLiveTailInput{LogGroupIdentifiers: []string{group}})
	f.store.Stream(group, red).Append("red", now, []byte("red's"))
	f.store.Stream(group, "2026/11/23/[$LATEST]b").Append("", now, []byte("nobody's"))
	f.store.Stream(group, "2026/11/23/[$LATEST]b").Append("blue", now, []byte("blue's"))
	if got := next(t, tail, 1); !slices.Equal(got, []string{"blue's"}) {
		t.Errorf("tails %q", got)
	}
	tail.Close()
	other := "/aws/lambda/other"
	if _, err := c.StartLiveTail(t.Context(), &cloudwatchlogs.StartLiveTailInput{LogGroupIdentifiers: []string{group, other}}, withoutPrefix); err == nil ||
		!strings.Contains(err.Error(), "not authorized to perform: logs:StartLiveTail on resource: arn:aws:logs:us-east-1:000000000000:log-group:/aws/lambda/other:*") {
		t.Errorf("tails another group: %v", err)
	}
	_, err = c.FilterLogEvents(t.Context(), &cloudwatchlogs.FilterLogEventsInput{LogGroupName: &other})
	if err == nil || !strings.Contains(err.Error(), "AccessDeniedException: User: arn:aws:iam::000000000000:user/blue is not authorized to perform: logs:FilterLogEvents on resource: arn:aws:logs:us-east-1:000000000000:log-group:/aws/lambda/other:*") {
		t.Errorf("another group: %v", err)
	}
}

// TestEveryOperationIsAuthorised sends every operation of the table for a caller
// who may nothing, over a store that is asked for nothing but tags.
func TestEveryOperationIsAuthorised(t *testing.T) {
	arn := "arn:aws:logs:us-east-1:" + account + ":log-group:"
	f := start(t)
	if err := f.store.CreateGroup(t.Context(), "g", map[string]string{"team": "a"}); err != nil {
		t.Fatal(err)
	}
	subjects := map[string]string{"DescribeLogGroups": arn + "*:*", "CreateLogStream": arn + "g:log-stream:s", "DeleteLogStream": arn + "g:log-stream:s",
		"GetLogEvents": arn + "g:log-stream:s", "PutLogEvents": arn + "g:log-stream:s",
		"StartLiveTail": arn + "*:*", "GetLogRecord": arn + "*:*", "GetQueryResults": arn + "*:*", "StopQuery": arn + "*:*",
		"ListTagsForResource": arn + "g", "TagResource": arn + "g", "UntagResource": arn + "g"}
	for name := range operations() {
		var asked auth.Operation
		api := New(Config{Store: f.store, Place: alcove.Place{Partition: "aws", Region: "us-east-1", Account: account},
			Authenticate: func(*http.Request, []byte) (alcove.Caller, error) { return alcove.Caller{}, nil },
			Authorize: func(_ alcove.Caller, o auth.Operation) (*auth.Scope, error) {
				asked = o
				return nil, alcove.ClientError("AccessDeniedException", "no")
			}})
		r := httptest.NewRequest("POST", "/", strings.NewReader(`{"logGroupName":"g","logStreamName":"s","resourceArn":"`+arn+`g"}`))
		r.Header.Set("X-Amz-Target", targetPrefix+name)
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		var answer struct {
			Type string `json:"__type"`
		}
		if err := errors.Join(json.Unmarshal(w.Body.Bytes(), &answer)); err != nil || answer.Type != "AccessDeniedException" {
			t.Errorf("%s: %s", name, w.Body)
		}
		want := subjects[name]
		if want == "" {
			want = arn + "g:*"
		}
		if asked.Action != "logs:"+name || asked.Resource != want || asked.PerTenant == asked.Whole {
			t.Errorf("%s is authorised as %+v, want on %s", name, asked, want)
		}
		if strings.Contains(want, ":g") != (asked.Tags["team"] == "a") {
			t.Errorf("%s is authorised for a group with tags %q", name, asked.Tags)
		}
	}
	// One named twice, or of another place, is none.
	for _, in := range []filterLogEventsInput{{groupRef: groupRef{new("g"), new("h")}}, {groupRef: groupRef{nil, new("arn:aws:logs:us-east-1:111111111111:log-group:g")}}, {}} {
		if got := in.about(alcove.Place{Partition: "aws", Region: "us-east-1", Account: account}); got != arn+"*:*" {
			t.Errorf("is about %s", got)
		}
	}
}
