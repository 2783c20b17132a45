package destination

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/alcove-run/alcove/invoke/async"
)

// service is what a service would see.
type service struct {
	request *http.Request
	body    string
	status  int
	answer  string
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	s.request, s.body = r, string(b)
	if s.status == http.StatusFound {
		w.Header().Set("Location", "http://127.0.0.1:1/")
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	if s.status != 0 {
		w.WriteHeader(s.status)
	}
	io.WriteString(w, s.answer)
}

func start(t *testing.T) (*service, *Sender) {
	s := &service{}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	c := Config{Endpoints: map[string]string{}, Account: "000000000000", Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("ID", "secret", "")}
	for _, name := range Services() {
		c.Endpoints[name] = srv.URL
	}
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	return s, New(c)
}

func message(target string) async.Message {
	return async.Message{Target: target, Body: []byte(`{"version":"1.0"}`), RequestID: "11111111-2222-3333-4444-555555555555", Success: true,
		Function: "f", FunctionARN: "arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST", Ended: time.Date(2026, 11, 27, 8, 9, 10, 0, time.UTC)}
}

func TestQueue(t *testing.T) {
	s, to := start(t)
	s.answer = `{"MessageId":"1","MD5OfMessageBody":"` + "4bb0dea0f5e29e1d0f1a1c2d8b6f3f5e" + `"}`
	m := message("arn:aws:sqs:us-east-1:000000000000:q")
	m.DeadLetter, m.ErrorCode, m.ErrorMessage = true, 200, "no"
	// The client compares a digest of what it sent with the answer's, which this
	// service does not make.
	_ = to.Deliver(t.Context(), m)
	var in struct {
		QueueUrl, MessageBody string
		MessageAttributes     map[string]struct{ DataType, StringValue string }
	}
	if err := json.Unmarshal([]byte(s.body), &in); err != nil {
		t.Fatal(err)
	}
	a := in.MessageAttributes
	if s.request.Header.Get("X-Amz-Target") != "AmazonSQS.SendMessage" || in.MessageBody != string(m.Body) || !strings.HasSuffix(in.QueueUrl, "/000000000000/q") ||
		a["RequestID"].StringValue != m.RequestID || a["ErrorCode"].DataType != "Number" || a["ErrorCode"].StringValue != "200" || a["ErrorMessage"].StringValue != "no" || len(a) != 3 {
		t.Errorf("sent %s", s.body)
	}
	if !strings.Contains(s.request.Header.Get("Authorization"), "/us-east-1/sqs/aws4_request") {
		t.Errorf("signed %q", s.request.Header.Get("Authorization"))
	}
}

func TestTopic(t *testing.T) {
	s, to := start(t)
	s.answer = `<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>`
	m := message("arn:aws:sns:us-east-1:000000000000:t")
	if err := to.Deliver(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	form, _ := url.ParseQuery(s.body)
	if form.Get("Action") != "Publish" || form.Get("TopicArn") != m.Target || form.Get("Message") != string(m.Body) || strings.Contains(s.body, "MessageAttributes") {
		t.Errorf("sent %s", s.body)
	}
}

func TestBus(t *testing.T) {
	s, to := start(t)
	s.answer = `{"FailedEntryCount":0,"Entries":[{"EventId":"1"}]}`
	m := message("arn:aws:events:us-east-1:000000000000:event-bus/b")
	if err := to.Deliver(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	var in struct {
		Entries []struct {
			EventBusName, Source, DetailType, Detail string
			Resources                                []string
		}
	}
	if err := json.Unmarshal([]byte(s.body), &in); err != nil || len(in.Entries) != 1 {
		t.Fatal(s.body, err)
	}
	e := in.Entries[0]
	if e.EventBusName != m.Target || e.Source != "lambda" || e.DetailType != "Lambda Function Invocation Result - Success" || e.Detail != string(m.Body) ||
		len(e.Resources) != 2 || e.Resources[0] != m.Target || e.Resources[1] != m.FunctionARN {
		t.Errorf("sent %s", s.body)
	}
	s.answer = `{"FailedEntryCount":1,"Entries":[{"ErrorCode":"ThrottlingException","ErrorMessage":"later"}]}`
	if err := to.Deliver(t.Context(), m); err == nil || errors.Is(err, async.ErrRejected) {
		t.Errorf("an entry that failed: %v", err)
	}
}

func TestBucket(t *testing.T) {
	s, to := start(t)
	m := message("arn:aws:s3:::bucket")
	if err := to.Deliver(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if want := "/bucket/aws/lambda/async/f/2026/11/27/2026-11-27T08.09.10-" + m.RequestID; s.request.Method != "PUT" || s.request.URL.Path != want || s.body != string(m.Body) {
		t.Errorf("%s %s %s, want %s", s.request.Method, s.request.URL.Path, s.body, want)
	}
}

// What is refused for good is told apart from what may work later.
func TestErrors(t *testing.T) {
	s, to := start(t)
	m := message("arn:aws:events:us-east-1:000000000000:event-bus/b")
	for _, c := range []struct {
		status   int
		answer   string
		rejected bool
	}{
		{400, `{"__type":"ValidationException","message":"too large"}`, true},
		{400, `{"__type":"ResourceNotFoundException"}`, false},
		{429, `{"__type":"ThrottlingException"}`, false},
		{503, `busy`, false},
		{302, ``, false},
	} {
		s.status, s.answer = c.status, c.answer
		err := to.Deliver(t.Context(), m)
		if err == nil || errors.Is(err, async.ErrRejected) != c.rejected {
			t.Errorf("%d %s: %v", c.status, c.answer, err)
		}
	}
}

func TestOnlyWhatTheOperatorNamed(t *testing.T) {
	_, to := start(t)
	delete(to.cfg.Endpoints, "sns")
	for arn, want := range map[string]bool{
		"arn:aws:sqs:us-east-1:000000000000:q":                    true,
		"arn:aws:sns:us-east-1:000000000000:t":                    false, // no endpoint
		"arn:aws:sqs:eu-west-1:000000000000:q":                    false,
		"arn:aws:sqs:us-east-1:111111111111:q":                    false,
		"arn:aws:sqs:us-east-1:000000000000:q?Action=DeleteQueue": false,
		"arn:aws:s3:::bucket":                                     true,
		"arn:aws:s3:::bucket/key":                                 false,
		"arn:aws:lambda:us-east-1:000000000000:function:f":        false,
		"sqs": false, "": false,
	} {
		if to.Reaches(arn) != want {
			t.Errorf("%s: reached %v", arn, !want)
		}
		if err := to.Deliver(t.Context(), message(arn)); !want && err == nil {
			t.Errorf("%s: delivered", arn)
		}
	}
	for _, c := range []map[string]string{{"dynamodb": "http://x"}, {"sqs": "x"}, {"sqs": "ftp://x"}, {"sqs": "http://x?y"}} {
		if (Config{Endpoints: c}).Check() == nil {
			t.Errorf("%v is taken", c)
		}
	}
}
