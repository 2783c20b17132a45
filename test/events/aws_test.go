package events

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// services stands for SQS, SNS, EventBridge and S3: it reads their protocols as the
// services do, from nothing but the bytes that come, refuses what is not signed for the
// service with the node's key, and can be down.
type services struct {
	t   *testing.T
	url string
	key aws.Credentials

	mu   sync.Mutex
	sent []message // guarded by mu
	down bool      // guarded by mu: every request is answered with 503
	// hold is called for each message before it is taken. Guarded by mu.
	hold func(message)
	// tries counts requests that were answered with 503. Guarded by mu.
	tries int
}

// message is what one of the services was sent.
type message struct {
	service, target string // a queue's, topic's or bus's name or ARN; a bucket and a key
	body            string
	attributes      map[string]string // by name: type and value
	// Of an event for a bus.
	source, detailType string
	resources          []string
	record             record
}

// record is AWS's record of an invocation, and nothing else.
type record struct {
	Version        string `json:"version"`
	Timestamp      string `json:"timestamp"`
	RequestContext struct {
		RequestID              string `json:"requestId"`
		FunctionARN            string `json:"functionArn"`
		Condition              string `json:"condition"`
		ApproximateInvokeCount int    `json:"approximateInvokeCount"`
	} `json:"requestContext"`
	RequestPayload  json.RawMessage `json:"requestPayload"`
	ResponseContext *struct {
		StatusCode      int    `json:"statusCode"`
		ExecutedVersion string `json:"executedVersion"`
		FunctionError   string `json:"functionError"`
	} `json:"responseContext"`
	ResponsePayload json.RawMessage `json:"responsePayload"`
}

func startServices(t *testing.T) *services {
	s := &services{t: t, key: aws.Credentials{AccessKeyID: "none", SecretAccessKey: "none"}}
	srv := httptest.NewServer(s)
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	s.url = srv.URL
	return s
}

// flag is --destinations with all services here.
func (s *services) flag() string {
	return "sqs=" + s.url + ";sns=" + s.url + ";events=" + s.url + ";s3=" + s.url
}

func (s *services) set(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

func (s *services) messages() []message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sent)
}

func (s *services) refused() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tries
}

func (s *services) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the node was killed
	}
	m, answer, err := read(r, body)
	if err == nil {
		err = s.signed(r, m.service, body)
	}
	if err != nil {
		s.t.Errorf("%s %s: %v: %s", r.Method, r.URL, err, body)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	down, hold := s.down, s.hold
	if down {
		s.tries++
	}
	s.mu.Unlock()
	if down {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if hold != nil {
		hold(m)
	}
	s.mu.Lock()
	s.sent = append(s.sent, m)
	s.mu.Unlock()
	io.WriteString(w, answer)
}

// read reads a request by the protocol of its service, and gives the service's answer.
func read(r *http.Request, body []byte) (m message, answer string, err error) {
	strict := func(into any) error {
		d := json.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		return d.Decode(into)
	}
	target := r.Header.Get("X-Amz-Target")
	switch {
	case target == "AmazonSQS.SendMessage": // JSON 1.0
		var in struct {
			QueueUrl, MessageBody string
			MessageAttributes     map[string]struct{ DataType, StringValue string }
		}
		if err = strict(&in); err != nil {
			return m, "", err
		}
		u, err := url.Parse(in.QueueUrl)
		if err != nil || !strings.HasPrefix(u.Path, "/000000000000/") {
			return m, "", fmt.Errorf("queue %s: %v", in.QueueUrl, err)
		}
		m = message{service: "sqs", target: strings.TrimPrefix(u.Path, "/000000000000/"), body: in.MessageBody}
		for name, a := range in.MessageAttributes {
			m.attribute(name, a.DataType, a.StringValue)
		}
		sum := md5.Sum([]byte(in.MessageBody))
		answer = fmt.Sprintf(`{"MessageId":"1","MD5OfMessageBody":%q}`, hex.EncodeToString(sum[:]))
	case target == "AWSEvents.PutEvents": // JSON 1.1
		var in struct {
			Entries []struct {
				EventBusName, Source, DetailType, Detail string
				Resources                                []string
				Time                                     float64
			}
		}
		if err = strict(&in); err != nil || len(in.Entries) != 1 {
			return m, "", fmt.Errorf("%d entries: %v", len(in.Entries), err)
		}
		e := in.Entries[0]
		m = message{service: "events", target: e.EventBusName, body: e.Detail, source: e.Source, detailType: e.DetailType, resources: e.Resources}
		answer = `{"FailedEntryCount":0,"Entries":[{"EventId":"1"}]}`
	case r.Method == http.MethodPost && r.Header.Get("Content-Type") == "application/x-www-form-urlencoded": // AWS query
		form, err := url.ParseQuery(string(body))
		if err != nil || form.Get("Action") != "Publish" || form.Get("Version") != "2010-03-31" {
			return m, "", fmt.Errorf("action %q: %v", form.Get("Action"), err)
		}
		m = message{service: "sns", target: form.Get("TopicArn"), body: form.Get("Message")}
		for i := 1; ; i++ {
			p := fmt.Sprintf("MessageAttributes.entry.%d.", i)
			if !form.Has(p + "Name") {
				break
			}
			m.attribute(form.Get(p+"Name"), form.Get(p+"Value.DataType"), form.Get(p+"Value.StringValue"))
		}
		answer = `<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>`
	case r.Method == http.MethodPut: // REST
		m = message{service: "s3", target: strings.TrimPrefix(r.URL.Path, "/"), body: string(body)}
	default:
		return m, "", fmt.Errorf("no protocol that is known (%s)", target)
	}
	if len(m.attributes) == 0 { // no dead letter
		d := json.NewDecoder(strings.NewReader(m.body))
		d.DisallowUnknownFields()
		if err := d.Decode(&m.record); err != nil {
			return m, "", fmt.Errorf("record: %w", err)
		}
	}
	return m, answer, nil
}

func (m *message) attribute(name, kind, value string) {
	if m.attributes == nil {
		m.attributes = map[string]string{}
	}
	m.attributes[name] = kind + " " + value
}

// signed says whether a request is signed for a service with the node's key.
func (s *services) signed(r *http.Request, service string, body []byte) error {
	got := r.Header.Get("Authorization")
	_, names, ok := strings.Cut(got, "SignedHeaders=")
	names, _, _ = strings.Cut(names, ",")
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil || !ok {
		return fmt.Errorf("not signed: %q %v", got, err)
	}
	again := &http.Request{Method: r.Method, URL: &url.URL{Scheme: "http", Host: r.Host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}, Host: r.Host, Header: http.Header{}}
	for name := range strings.SplitSeq(names, ";") {
		if name == "content-length" {
			again.ContentLength = r.ContentLength
		} else if name != "host" {
			again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	if h := r.Header.Get("X-Amz-Content-Sha256"); h != "" && h != hash {
		return fmt.Errorf("signed for another body: %s", h)
	}
	err = v4.NewSigner().SignHTTP(s.t.Context(), s.key, again, hash, service, "us-east-1", at, func(o *v4.SignerOptions) { o.DisableURIPathEscaping = service == "s3" })
	if want := again.Header.Get("Authorization"); err != nil || got != want {
		return fmt.Errorf("signed %q, want %q: %v", got, want, err)
	}
	return nil
}
