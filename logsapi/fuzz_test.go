package logsapi

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/internal/eventstream"
	"github.com/alcove-run/alcove/internal/turns"
)

// validInputs are inputs that succeed, by operation; KNOWN is the id of a query that
// has ended, POINTER a record of its results, ARN the group's.
var validInputs = map[string][]string{
	"CreateLogGroup":        {`{"logGroupName":"new","tags":{"a":"b"}}`},
	"CreateLogStream":       {`{"logGroupName":"/aws/lambda/hello","logStreamName":"new"}`},
	"DeleteLogGroup":        {`{"logGroupName":"/aws/lambda/hello"}`},
	"DeleteLogStream":       {`{"logGroupName":"/aws/lambda/hello","logStreamName":"2026/11/23/[$LATEST]b"}`},
	"DeleteRetentionPolicy": {`{"logGroupName":"/aws/lambda/hello"}`},
	"DescribeLogGroups":     {`{"logGroupNamePrefix":"/aws","limit":1}`, `{"logGroupNamePattern":"lambda"}`, `{"logGroupIdentifiers":["ARN"]}`},
	"DescribeLogStreams":    {`{"logGroupName":"/aws/lambda/hello","orderBy":"LastEventTime","descending":true,"limit":1}`, `{"logGroupIdentifier":"ARN:*","logStreamNamePrefix":"2026"}`},
	"DescribeQueries":       {`{"logGroupName":"/aws/lambda/hello","status":"Complete","maxResults":1,"queryLanguage":"CWLI"}`},
	"FilterLogEvents": {`{"logGroupName":"/aws/lambda/hello","filterPattern":"{ $.n = 1 }","startTime":1,"endTime":9223372036854775807,"limit":3}`,
		`{"logGroupIdentifier":"ARN","logStreamNames":["2026/11/23/[$LATEST]b"],"filterPattern":"?plain %b0[12]%"}`},
	"GetLogEvents":        {`{"logGroupName":"/aws/lambda/hello","logStreamName":"2026/11/23/[$LATEST]b","startFromHead":true,"limit":3}`},
	"GetLogRecord":        {`{"logRecordPointer":"POINTER"}`},
	"GetQueryResults":     {`{"queryId":"KNOWN","maxItems":2}`},
	"ListTagsForResource": {`{"resourceArn":"ARN"}`},
	"ListTagsLogGroup":    {`{"logGroupName":"/aws/lambda/hello"}`},
	"PutLogEvents":        {`{"logGroupName":"/aws/lambda/hello","logStreamName":"2026/11/23/[$LATEST]b","logEvents":[{"timestamp":1795435200000,"message":"x"}]}`},
	"PutRetentionPolicy":  {`{"logGroupName":"/aws/lambda/hello","retentionInDays":1}`},
	"StartLiveTail":       {`{"logGroupIdentifiers":["ARN"],"logStreamNamePrefixes":["2026"],"logEventFilterPattern":"{ $.n = 1 }"}`},
	"StartQuery": {`{"logGroupNames":["/aws/lambda/hello"],"startTime":0,"endTime":1900000000,"limit":5,"queryString":"fields @message, n * 2 as m | filter tenantId = 'blue' | sort m desc"}`,
		`{"logGroupIdentifiers":["ARN"],"startTime":1,"endTime":2,"queryLanguage":"CWLI","queryString":"stats count(*) by bin(1h)"}`},
	"StopQuery":     {`{"queryId":"KNOWN"}`},
	"TagLogGroup":   {`{"logGroupName":"/aws/lambda/hello","tags":{"a":"b"}}`},
	"TagResource":   {`{"resourceArn":"ARN","tags":{"a":"b"}}`},
	"UntagLogGroup": {`{"logGroupName":"/aws/lambda/hello","tags":["a"]}`},
	"UntagResource": {`{"resourceArn":"ARN","tagKeys":["a"]}`},
}

// FuzzHandler sends anything to any operation, from somebody who may everything or
// from somebody who is bound to a tenant. Nothing panics, no answer blames the
// platform, and every answer is what the protocol has.
func FuzzHandler(f *testing.F) {
	fx := start(f)
	var names *strings.Replacer // puts in what cannot be guessed of what there is
	furnish := func(t testing.TB) {
		fx.fill()
		known := fx.query(t, "fields @message")
		results := await(t, fx.Client, known).Results
		pointer := results[0][len(results[0])-1].Value
		names = strings.NewReplacer("KNOWN", known, "POINTER", *pointer, "ARN", "arn:aws:logs:us-east-1:"+account+":log-group:"+group)
	}
	furnish(f)
	keys := realKeys(f)
	made, _, err := keys.CreateKey(f.Context(), alcove.Caller{}, "blue", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"lambda:InvokeFunction","Resource":"*","Condition":{"StringEquals":{"lambda:TenantId":"blue"}}},
		{"Effect":"Allow","Action":"logs:*","Resource":"*"}]}`)
	if err != nil {
		f.Fatal(err)
	}
	blue := alcove.Caller{AccessKeyID: made.AccessKeyID, Account: account, ARN: "arn:aws:iam::" + account + ":user/blue"}
	var caller alcove.Caller // of the next request
	over := make(chan struct{})
	close(over) // so that what is followed ends at once
	api := New(Config{Store: fx.store, Queries: fx.queries, Turns: turns.New(1), Place: here, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now },
		Authenticate: func(*http.Request, []byte) (alcove.Caller, error) { return caller, nil },
		Authorize: func(caller alcove.Caller, o auth.Operation) (*auth.Scope, error) {
			if caller.AccessKeyID == "" {
				return everything(caller, o)
			}
			return keys.Authorize(caller, o)
		},
		Ending: over, Revoked: func(alcove.Caller) <-chan struct{} { return over }})
	for v, i := reflect.ValueOf(api.Config), 0; i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			f.Fatalf("requests would reach nothing where %s should be", v.Type().Field(i).Name)
		}
	}
	send := func(t testing.TB, from alcove.Caller, operation, input string) *httptest.ResponseRecorder {
		caller = from
		body := []byte(names.Replace(input))
		r := httptest.NewRequest("POST", "/", bytes.NewReader(body))
		r.Header["X-Amz-Target"] = []string{targetPrefix + operation}
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		if w.Code == 200 && strings.HasPrefix(operation, "Delete") {
			furnish(t) // so that the next request finds something
		}
		return w
	}
	for operation := range operations() {
		if len(validInputs[operation]) == 0 {
			f.Fatalf("the seeds have nothing for %s", operation)
		}
		for _, input := range validInputs[operation] {
			// A query that has ended cannot be stopped.
			if w := send(f, alcove.Caller{}, operation, input); w.Code != 200 && operation != "StopQuery" {
				f.Fatalf("a seed is refused: %s %s: %d %s", operation, input, w.Code, w.Body)
			}
			f.Add(operation, false, []byte(input))
			f.Add(operation, true, []byte(input))
		}
	}
	f.Fuzz(func(t *testing.T, operation string, bound bool, body []byte) {
		var from alcove.Caller
		if bound {
			from = blue
		}
		w := send(t, from, operation, string(body))
		if w.Code >= 500 || w.Code != 200 && !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%s %s: %d %s", operation, body, w.Code, w.Body)
		}
		if w.Code == 200 && w.Body.Len() > 0 && w.Header().Get("Content-Type") != eventstream.Type && !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%s %s: %s", operation, body, w.Body)
		}
	})
}
