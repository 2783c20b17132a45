package logsapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	frames "github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/logs"
)

// sessionClient is one who reads a session's frames, or does not.
type sessionClient struct {
	mu       sync.Mutex
	got      bytes.Buffer
	deadline time.Time
	blocked  bool
}

func (c *sessionClient) Write(b []byte) (int, error) {
	c.mu.Lock()
	blocked, deadline := c.blocked, c.deadline
	c.mu.Unlock()
	if blocked {
		time.Sleep(time.Until(deadline))
		return 0, errors.New("timeout")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got.Write(b)
}
func (c *sessionClient) Flush() error { return nil }
func (c *sessionClient) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	return nil
}

func (c *sessionClient) set(blocked bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.blocked = blocked
}

// frame is a frame that a client got.
type frame struct{ kind, payload string }

func (c *sessionClient) frames(t *testing.T) (list []frame) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	d := frames.NewDecoder()
	for r := bytes.NewReader(c.got.Bytes()); r.Len() > 0; {
		m, err := d.Decode(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		kind := m.Headers.Get(":event-type")
		if kind == nil {
			kind = m.Headers.Get(":exception-type")
		}
		list = append(list, frame{kind.String(), string(m.Payload)})
	}
	return list
}

// update is an update that a client got.
func (f frame) update(t *testing.T) (u liveTailSessionUpdate) {
	t.Helper()
	if err := json.Unmarshal([]byte(f.payload), &u); err != nil || f.kind != "sessionUpdate" {
		t.Fatalf("%s %s: %v", f.kind, f.payload, err)
	}
	return u
}

// session runs one in a bubble whose events come from a channel.
func session(t *testing.T, s *liveTail) (client *sessionClient, events chan<- logs.Event, ended <-chan struct{}) {
	t.Helper()
	client = new(sessionClient)
	feed, done := make(chan logs.Event), make(chan struct{})
	s.out, s.start, s.log = client, []byte(`{"sessionId":"1"}`), slog.New(slog.DiscardHandler)
	s.groups = []tailed{{identifier: "g"}}
	s.tail = func(ctx context.Context, _ logs.Query, ready func(), fn func(logs.Event) error) error {
		ready()
		for {
			select {
			case e := <-feed:
				if err := fn(e); err != nil {
					return err
				}
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
	go func() { defer close(done); s.run(t.Context()) }()
	time.Sleep(headStart)
	synctest.Wait()
	return client, feed, done
}

func event(i, size int) logs.Event {
	return logs.Event{Stream: "s", At: time.UnixMilli(int64(i)), Ingested: time.UnixMilli(int64(i)), Message: fmt.Appendf(nil, "%d %s", i, strings.Repeat("x", size))}
}

// A session begins with what it is, says every second what came, and ends after
// three hours with a word.
func TestLiveTailSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, events, ended := session(t, &liveTail{wants: func(stream string) bool { return stream != "other" }})
		events <- event(1, 0)
		other := event(2, 0)
		other.Stream = "other"
		events <- other
		events <- event(3, 0)
		time.Sleep(updateEvery + time.Millisecond)
		synctest.Wait()
		time.Sleep(updateEvery)
		synctest.Wait()
		got := client.frames(t)
		if len(got) != 4 || got[0] != (frame{"initial-response", "{}"}) || got[1] != (frame{"sessionStart", `{"sessionId":"1"}`}) {
			t.Fatalf("%q", got)
		}
		if u := got[2].update(t); u.SessionMetadata.Sampled || len(u.SessionResults) != 2 || u.SessionResults[1] !=
			(liveTailSessionLogEvent{IngestionTime: 3, Timestamp: 3, LogGroupIdentifier: "g", LogStreamName: "s", Message: "3 "}) {
			t.Errorf("%+v", u)
		}
		if got[3].payload != `{"sessionMetadata":{"sampled":false},"sessionResults":[]}` {
			t.Errorf("nothing new: %s", got[3].payload)
		}
		time.Sleep(sessionTime)
		<-ended
		if got := client.frames(t); got[len(got)-1].kind != "SessionTimeoutException" {
			t.Errorf("the last frame is %q", got[len(got)-1])
		}
	})
}

// Of more than fits into an update there is a sample, in order.
func TestLiveTailSamples(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, events, _ := session(t, &liveTail{})
		for i := range 3000 {
			events <- event(i, 0)
		}
		time.Sleep(updateEvery + time.Millisecond)
		for i := range 40 {
			events <- event(i, 100_000)
		}
		time.Sleep(updateEvery)
		for range 3 {
			events <- event(7, 0)
		}
		time.Sleep(updateEvery)
		synctest.Wait()
		got := client.frames(t)[2:]
		many, large, few := got[0].update(t), got[1].update(t), got[2].update(t)
		if !many.SessionMetadata.Sampled || len(many.SessionResults) != updateEvents || many.SessionResults[updateEvents-1].Timestamp < 1500 {
			t.Errorf("of 3000 events %d, the last is %d", len(many.SessionResults), many.SessionResults[updateEvents-1].Timestamp)
		}
		if !slices.IsSortedFunc(many.SessionResults, func(a, b liveTailSessionLogEvent) int { return int(a.Timestamp - b.Timestamp) }) {
			t.Error("a sample is out of order")
		}
		if !large.SessionMetadata.Sampled || len(got[1].payload) > updateBytes+(64<<10) || len(large.SessionResults) != 10 {
			t.Errorf("%d large events in %d bytes", len(large.SessionResults), len(got[1].payload))
		}
		if few.SessionMetadata.Sampled || len(few.SessionResults) != 3 {
			t.Errorf("%+v", few)
		}
	})
}

// A client who reads slowly misses the oldest updates; one who does not read is
// left.
func TestLiveTailOfASlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(liveTail)
		client, events, ended := session(t, s)
		time.Sleep(updateEvery / 2)
		client.set(true)
		for i := range 30 {
			events <- event(i, 0)
			time.Sleep(updateEvery)
			s.mu.Lock()
			if len(s.queue) > waitingUpdates {
				t.Fatalf("%d updates wait", len(s.queue))
			}
			s.mu.Unlock()
		}
		select {
		case <-ended:
			t.Fatal("ended early")
		default:
		}
		time.Sleep(stalled)
		<-ended
	})
}

func TestLiveTailEnds(t *testing.T) {
	for name, end := range map[string]func(s *liveTail) func(){
		"key":  func(s *liveTail) func() { c := make(chan struct{}); s.revoked = c; return func() { close(c) } },
		"node": func(s *liveTail) func() { c := make(chan struct{}); s.ending = c; return func() { close(c) } },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := new(liveTail)
				f := end(s)
				client, _, ended := session(t, s)
				synctest.Wait()
				f()
				<-ended
				got := client.frames(t)
				if last := got[len(got)-1]; last.kind != "SessionStreamingException" || !strings.Contains(last.payload, name) {
					t.Errorf("%q", last)
				}
			})
		})
	}
	t.Run("failure", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &liveTail{out: new(sessionClient), log: slog.New(slog.DiscardHandler), groups: []tailed{{}, {}}, tail: func(context.Context, logs.Query, func(), func(logs.Event) error) error {
				return errors.New("a secret of the platform")
			}}
			s.run(t.Context())
			got := s.out.(*sessionClient).frames(t)
			if last := got[len(got)-1]; last.kind != "SessionStreamingException" || strings.Contains(last.payload, "secret") {
				t.Errorf("%q", last)
			}
		})
	})
}

// tailStream begins a session with the official SDK, which has to be told to leave
// the host as it is.
func tailStream(t *testing.T, c *cloudwatchlogs.Client, in cloudwatchlogs.StartLiveTailInput) *cloudwatchlogs.StartLiveTailEventStream {
	t.Helper()
	out, err := c.StartLiveTail(t.Context(), &in, withoutPrefix)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.GetStream().Close() })
	first := <-out.GetStream().Events()
	start, ok := first.(*types.StartLiveTailResponseStreamMemberSessionStart)
	if !ok || *start.Value.SessionId == "" || !slices.Equal(start.Value.LogGroupIdentifiers, in.LogGroupIdentifiers) {
		t.Fatalf("%#v", first)
	}
	return out.GetStream()
}

func withoutPrefix(o *cloudwatchlogs.Options) {
	o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
		return s.Initialize.Add(middleware.InitializeMiddlewareFunc("without prefix", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
			return next.HandleInitialize(smithyhttp.DisableEndpointHostPrefix(ctx, true), in)
		}), middleware.Before)
	})
}

// next are the next messages of a session, so many.
func next(t *testing.T, s *cloudwatchlogs.StartLiveTailEventStream, n int) (messages []string) {
	t.Helper()
	for len(messages) < n {
		e, ok := <-s.Events()
		u, is := e.(*types.StartLiveTailResponseStreamMemberSessionUpdate)
		if !ok || !is {
			t.Fatalf("%#v after %q: %v", e, messages, s.Err())
		}
		for _, r := range u.Value.SessionResults {
			messages = append(messages, *r.Message)
			if *r.LogGroupIdentifier == "" || *r.LogStreamName == "" || *r.Timestamp == 0 || *r.IngestionTime == 0 {
				t.Errorf("%+v", r)
			}
		}
	}
	return messages
}

func TestStartLiveTail(t *testing.T) {
	f := start(t)
	f.fill()
	ctx := t.Context()
	const arn = "arn:aws:logs:us-east-1:" + account + ":log-group:"
	if _, err := f.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("second")}); err != nil {
		t.Fatal(err)
	}
	all := tailStream(t, f.Client, cloudwatchlogs.StartLiveTailInput{LogGroupIdentifiers: []string{arn + group, arn + "second"}})
	blue := tailStream(t, f.Client, cloudwatchlogs.StartLiveTailInput{LogGroupIdentifiers: []string{arn + group}, LogEventFilterPattern: aws.String(`{ $.tenantId = "blue" }`)})
	some := tailStream(t, f.Client, cloudwatchlogs.StartLiveTailInput{LogGroupIdentifiers: []string{arn + group}, LogStreamNamePrefixes: []string{"no", "2026/11/23/[$LATEST]r"}})
	named := tailStream(t, f.Client, cloudwatchlogs.StartLiveTailInput{LogGroupIdentifiers: []string{arn + group}, LogStreamNames: []string{"new"}})
	f.store.Stream(group, "2026/11/23/[$LATEST]b").Append("blue", now, []byte(`{"tenantId":"blue","n":1}`))
	f.store.Stream(group, "2026/11/23/[$LATEST]r").Append("red", now, []byte(`{"tenantId":"blue","n":"forged"}`))
	f.store.Stream("second", "x").Append("", now, []byte(`two`))
	f.store.Stream(group, "new").Append("", now, []byte(`of the new stream`))
	f.store.Flush(ctx)
	got := next(t, all, 4)
	if slices.Sort(got); !slices.Equal(got, []string{`of the new stream`, `two`, `{"tenantId":"blue","n":"forged"}`, `{"tenantId":"blue","n":1}`}) {
		t.Errorf("all: %q", got)
	}
	if got := next(t, blue, 1); !slices.Equal(got, []string{`{"tenantId":"blue","n":1}`}) {
		t.Errorf("blue: %q", got)
	}
	if got := next(t, some, 1); !slices.Equal(got, []string{`{"tenantId":"blue","n":"forged"}`}) {
		t.Errorf("by prefix: %q", got)
	}
	if got := next(t, named, 1); !slices.Equal(got, []string{`of the new stream`}) {
		t.Errorf("by name: %q", got)
	}
}

func TestStartLiveTailRefuses(t *testing.T) {
	f := start(t)
	f.fill()
	f.store.Flush(t.Context())
	many := strings.Split(strings.Repeat("g ", 11), " ")[:11]
	for _, tt := range []struct {
		in   cloudwatchlogs.StartLiveTailInput
		want string
	}{
		{cloudwatchlogs.StartLiveTailInput{LogGroupIdentifiers: []string{}}, "InvalidParameterException: 1 validation error detected: Value '[…]' at 'logGroupIdentifiers' failed to satisfy constraint: Member must have length between 1 and 10"},
		{cloudwatchlogs.StartLiveTailInput{LogGroupIdentifiers: many}, "InvalidParameterException: 1 validation error detected: Value '[…]' at 'logGroupIdentifiers'"},
		{cloudwatchlogs.StartLiveTailInput{LogGroupIdentifiers: []string{"arn:aws:logs:us-east-1:" + account + ":log-group:g:*"}}, "InvalidParameterException: 1 validation error detected: Value 'arn:aws:logs:us-east-1:000000000000:log-group:g:*' at 'logGroupIdentifiers' failed to satisfy constraint: Member must not end with *"},
		{cloudwatchlogs.StartLiveTailInput{LogGroupIdentifiers: []string{"none"}}, "ResourceNotFoundException: The specified log group does not exist."},
		{cloudwatchlogs.StartLiveTailInput{LogGroupIdentifiers: []string{"arn:aws:logs:us-east-1:111111111111:log-group:g"}}, "ResourceNotFoundException"},
		{cloudwatchlogs.StartLiveTailInput{LogGroupIdentifiers: []string{group, group}}, "InvalidParameterException: logGroupIdentifiers names a log group more than once."},
		{cloudwatchlogs.StartLiveTailInput{LogGroupIdentifiers: []string{group, "b"}, LogStreamNames: []string{"s"}}, "InvalidParameterException: logStreamNames and logStreamNamePrefixes can be"},
		{cloudwatchlogs.StartLiveTailInput{LogGroupIdentifiers: []string{group}, LogStreamNames: []string{"s"}, LogStreamNamePrefixes: []string{"s"}}, "InvalidParameterException: logStreamNames and logStreamNamePrefixes are mutually"},
		{cloudwatchlogs.StartLiveTailInput{LogGroupIdentifiers: []string{group}, LogEventFilterPattern: aws.String("{")}, "InvalidParameterException: Invalid filter pattern"},
	} {
		if _, err := f.StartLiveTail(t.Context(), &tt.in, withoutPrefix); !strings.HasPrefix(code(err), tt.want) {
			t.Errorf("%+v: %s, want %s", tt.in, code(err), tt.want)
		}
	}
	// Sessions that ended give their places back.
	for range 2 {
		var open []*cloudwatchlogs.StartLiveTailEventStream
		for range maxSessions {
			open = append(open, tailStream(t, f.Client, cloudwatchlogs.StartLiveTailInput{LogGroupIdentifiers: []string{group}}))
		}
		if _, err := f.StartLiveTail(t.Context(), &cloudwatchlogs.StartLiveTailInput{LogGroupIdentifiers: []string{group}}, withoutPrefix); !strings.HasPrefix(code(err), "LimitExceededException: ") {
			t.Errorf("one more: %s", code(err))
		}
		for _, s := range open {
			s.Close()
		}
		for f.api.tails.Taken() > 0 {
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// Who has many sessions keeps nobody else from the first one, and learns why one of
// them ends.
func TestLiveTailSessionsAreShared(t *testing.T) {
	f := start(t)
	f.fill()
	f.store.Flush(t.Context())
	server := httptest.NewServer(New(Config{Store: f.store, Place: f.api.Place,
		Authorize: func(alcove.Caller, auth.Operation) (*auth.Scope, error) { return nil, nil },
		Authenticate: func(r *http.Request, _ []byte) (alcove.Caller, error) {
			_, rest, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
			key, _, _ := strings.Cut(rest, "/")
			return alcove.Caller{AccessKeyID: key, Account: account}, nil
		}}))
	t.Cleanup(server.Close) // after the sessions have ended
	in := cloudwatchlogs.StartLiveTailInput{LogGroupIdentifiers: []string{group}}
	many := client(server.URL, "many")
	var open []*cloudwatchlogs.StartLiveTailEventStream
	for range maxSessions {
		open = append(open, tailStream(t, many, in))
	}
	tailStream(t, client(server.URL, "few"), in)
	for range open[0].Events() { // until it ends
	}
	if err := open[0].Err(); err == nil || !strings.Contains(err.Error(), "others have fewer sessions") {
		t.Errorf("the oldest ended with %v", err)
	}
	if _, err := many.StartLiveTail(t.Context(), &in, withoutPrefix); !strings.HasPrefix(code(err), "LimitExceededException: ") {
		t.Errorf("one more: %s", code(err))
	}
}
