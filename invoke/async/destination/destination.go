// Package destination sends what came of events to services outside the node: SQS,
// SNS, EventBridge and S3, through AWS's own clients, at the endpoints that the
// operator names and nowhere else. What a function's owner chooses is a name within
// a service, never a host.
//
// It keeps nothing and tries once: whoever calls it tries again.
package destination

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	ebtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/alcove-run/alcove/invoke/async"
)

// Services are the names of the services, as ARNs have them.
func Services() []string { return []string{"sqs", "sns", "events", "s3"} }

// AWS stands for AWS's own endpoint of the region.
const AWS = "aws"

// Config is what a [Sender] is made from.
type Config struct {
	// Endpoints are URLs by service, or [AWS]. A service without one is not
	// reached.
	Endpoints map[string]string
	// Account and Region are those that destinations belong to: what is
	// elsewhere is not reached.
	Account, Region string
	Credentials     aws.CredentialsProvider
}

// Check says what is wrong with a configuration.
func (c Config) Check() error {
	for service, endpoint := range c.Endpoints {
		known := false
		for _, s := range Services() {
			known = known || s == service
		}
		if !known {
			return fmt.Errorf("%q is no service that takes results: %s are", service, strings.Join(Services(), ", "))
		}
		u, err := url.Parse(endpoint)
		if endpoint != AWS && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.User != nil) {
			return fmt.Errorf("%s=%s: give a URL, as http://127.0.0.1:9324, or %q for AWS's own", service, endpoint, AWS)
		}
	}
	return nil
}

// Sender implements [async.Deliverer].
type Sender struct {
	cfg    Config
	sqs    *sqs.Client
	sns    *sns.Client
	events *eventbridge.Client
	s3     *s3.Client
}

// New makes a Sender. The configuration was checked.
func New(c Config) *Sender {
	s := &Sender{cfg: c}
	// A redirect would go where the operator did not send it, with credentials.
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	once := aws.NopRetryer{}
	base := func(service string) *string {
		if e := c.Endpoints[service]; e != AWS {
			return &e
		}
		return nil
	}
	if c.Endpoints["sqs"] != "" {
		s.sqs = sqs.New(sqs.Options{Region: c.Region, BaseEndpoint: base("sqs"), Credentials: c.Credentials, HTTPClient: client, Retryer: once})
	}
	if c.Endpoints["sns"] != "" {
		s.sns = sns.New(sns.Options{Region: c.Region, BaseEndpoint: base("sns"), Credentials: c.Credentials, HTTPClient: client, Retryer: once})
	}
	if c.Endpoints["events"] != "" {
		s.events = eventbridge.New(eventbridge.Options{Region: c.Region, BaseEndpoint: base("events"), Credentials: c.Credentials, HTTPClient: client, Retryer: once})
	}
	if c.Endpoints["s3"] != "" {
		s.s3 = s3.New(s3.Options{Region: c.Region, BaseEndpoint: base("s3"), Credentials: c.Credentials, HTTPClient: client, Retryer: once,
			UsePathStyle: base("s3") != nil, RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired})
	}
	return s
}

// target is an ARN that results go to.
type target struct{ service, region, account, name string }

func parse(arn string) (target, bool) {
	p := strings.SplitN(arn, ":", 6)
	if len(p) < 6 || p[0] != "arn" || p[5] == "" {
		return target{}, false
	}
	return target{p[2], p[3], p[4], p[5]}, true
}

// Reaches says whether there is an endpoint for an ARN. Buckets belong to no
// account and no region by their names; everything else has to be of this place.
func (s *Sender) Reaches(arn string) bool {
	t, ok := parse(arn)
	if !ok || s.cfg.Endpoints[t.service] == "" {
		return false
	}
	if t.service == "s3" {
		return !strings.Contains(t.name, "/")
	}
	return t.region == s.cfg.Region && t.account == s.cfg.Account && !strings.ContainsAny(t.name, "?#%\\ ")
}

// Deliver sends one message.
func (s *Sender) Deliver(ctx context.Context, m async.Message) error {
	t, ok := parse(m.Target)
	if !ok || !s.Reaches(m.Target) {
		return fmt.Errorf("this node has no endpoint for %s", m.Target)
	}
	var err error
	switch t.service {
	case "sqs":
		err = s.toQueue(ctx, t, m)
	case "sns":
		err = s.toTopic(ctx, m)
	case "events":
		err = s.toBus(ctx, m)
	case "s3":
		err = s.toBucket(ctx, t, m)
	}
	if rejected(err) {
		return fmt.Errorf("%w: %w", async.ErrRejected, err)
	}
	return err
}

// attributes are those of a dead letter (developer guide, "Adding a dead-letter
// queue"). A code is there only if the function answered.
func attributes[V any](m async.Message, value func(kind, text string) V) map[string]V {
	if !m.DeadLetter {
		return nil
	}
	a := map[string]V{"RequestID": value("String", m.RequestID)}
	if m.ErrorCode != 0 {
		a["ErrorCode"] = value("Number", strconv.Itoa(m.ErrorCode))
	}
	if m.ErrorMessage != "" {
		a["ErrorMessage"] = value("String", m.ErrorMessage)
	}
	return a
}

func (s *Sender) toQueue(ctx context.Context, t target, m async.Message) error {
	base := s.cfg.Endpoints["sqs"]
	if base == AWS {
		base = "https://sqs." + t.region + ".amazonaws.com"
	}
	queue := strings.TrimSuffix(base, "/") + "/" + t.account + "/" + t.name
	_, err := s.sqs.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &queue, MessageBody: aws.String(string(m.Body)),
		MessageAttributes: attributes(m, func(kind, text string) sqstypes.MessageAttributeValue {
			return sqstypes.MessageAttributeValue{DataType: &kind, StringValue: &text}
		})})
	return err
}

func (s *Sender) toTopic(ctx context.Context, m async.Message) error {
	_, err := s.sns.Publish(ctx, &sns.PublishInput{TopicArn: &m.Target, Message: aws.String(string(m.Body)),
		MessageAttributes: attributes(m, func(kind, text string) snstypes.MessageAttributeValue {
			return snstypes.MessageAttributeValue{DataType: &kind, StringValue: &text}
		})})
	return err
}

// toBus sends an event whose source is "lambda", as the service was recorded; its
// documentation says aws.lambda.
func (s *Sender) toBus(ctx context.Context, m async.Message) error {
	kind := "Failure"
	if m.Success {
		kind = "Success"
	}
	out, err := s.events.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: []ebtypes.PutEventsRequestEntry{{
		EventBusName: &m.Target, Source: aws.String("lambda"), DetailType: aws.String("Lambda Function Invocation Result - " + kind),
		Detail: aws.String(string(m.Body)), Time: &m.Ended, Resources: []string{m.Target, m.FunctionARN},
	}}})
	if err != nil {
		return err
	}
	for _, e := range out.Entries {
		if e.ErrorCode != nil {
			return &smithy.GenericAPIError{Code: *e.ErrorCode, Message: aws.ToString(e.ErrorMessage)}
		}
	}
	return nil
}

// toBucket writes an object under AWS's name for it. The id in it is the
// request's: delivered twice, it is there once.
func (s *Sender) toBucket(ctx context.Context, t target, m async.Message) error {
	key := "aws/lambda/async/" + m.Function + m.Ended.Format("/2006/01/02/2006-01-02T15.04.05-") + m.RequestID
	_, err := s.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: &t.name, Key: &key, Body: bytes.NewReader(m.Body),
		ContentType: aws.String("application/json")})
	return err
}

// rejected says whether an answer would be the same the next time.
func rejected(err error) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return false
	}
	switch api.ErrorCode() {
	case "InvalidMessageContents", "InvalidParameterValue", "InvalidParameter", "ValidationException", "EntityTooLarge", "RequestEntityTooLarge":
		return true
	}
	return false
}
