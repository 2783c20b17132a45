package async

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/invoke"
)

const queueARN = "arn:aws:sqs:us-east-1:000000000000:q"

// Results go to where the function's configuration says, in AWS's shapes.
func TestDestinations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		retries := 0
		b.configs["f"] = &alcove.EventInvokeConfig{MaximumRetryAttempts: &retries, OnSuccess: "arn:aws:sqs:us-east-1:000000000000:good", OnFailure: "arn:aws:sqs:us-east-1:000000000000:bad"}
		b.versions["f"].Config.DeadLetter = "arn:aws:sns:us-east-1:000000000000:dead"
		b.run = func(_ alcove.Caller, req invoke.Request) (*alcove.Result, error) {
			if strings.Contains(string(req.Payload), "fail") {
				return functionError("no")
			}
			return &alcove.Result{Payload: []byte(`"done"`), Report: alcove.Report{Version: "3"}}, nil
		}
		b.open()
		good, bad := b.accept("f", "blue", `{"a":1}`), b.accept("f", "blue", `"fail"`)
		synctest.Wait()
		if len(b.sent) != 3 {
			t.Fatalf("sent %+v", b.sent)
		}
		bodies := map[string]Message{}
		for _, m := range b.sent {
			bodies[m.Target[strings.LastIndexByte(m.Target, ':')+1:]] = m
		}
		head := `{"version":"1.0","timestamp":"2000-01-01T00:00:00.000Z","requestContext":{"requestId":"`
		arn := `","functionArn":"arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST","condition":"`
		if got, want := string(bodies["good"].Body), head+good+arn+`Success","approximateInvokeCount":1},"requestPayload":{"a":1},"responseContext":{"statusCode":200,"executedVersion":"3"},"responsePayload":"done"}`; got != want {
			t.Errorf("success %s\nwant    %s", got, want)
		}
		if got, want := string(bodies["bad"].Body), head+bad+arn+`RetriesExhausted","approximateInvokeCount":1},"requestPayload":"fail","responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":"Unhandled"},"responsePayload":{"errorMessage":"no","errorType":"Error"}}`; got != want {
			t.Errorf("failure %s\nwant    %s", got, want)
		}
		if m := bodies["dead"]; string(m.Body) != `"fail"` || m.ErrorCode != 200 || m.ErrorMessage != "no" || m.RequestID != bad || !m.DeadLetter {
			t.Errorf("dead letter %+v", m)
		}
		b.empty()
		b.close()
	})
}

// A destination that is down is tried again, over restarts, and what it does not
// take is a dead letter that can be delivered later without another run.
func TestADestinationThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.configs["f"] = &alcove.EventInvokeConfig{OnSuccess: queueARN}
		down := errors.New("connection refused")
		tries := 0
		b.refuse = func(Message) error { tries++; return down }
		b.open()
		b.accept("f", "blue", `{}`)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if tries < 5 || tries > 15 {
			t.Errorf("%d tries in ten minutes", tries)
		}
		b.close()
		b.open()
		b.refuse = nil
		time.Sleep(6 * time.Minute)
		synctest.Wait()
		if len(b.sent) != 1 || len(b.runs) != 1 {
			t.Fatalf("sent %d, ran %d", len(b.sent), len(b.runs))
		}
		b.empty()
		// One that stays down.
		b.refuse = func(Message) error { return down }
		b.accept("f", "blue", `{}`)
		time.Sleep(7 * time.Hour)
		synctest.Wait()
		if b.q.dead != 1 || b.q.depth != 0 {
			t.Fatalf("%d dead letters, %d events", b.q.dead, b.q.depth)
		}
		b.close()
		b.open()
		b.refuse = nil
		if n, err := b.q.Replay("id of f", "blue"); n != 1 || err != nil {
			t.Fatalf("replayed %d, %v", n, err)
		}
		synctest.Wait()
		if len(b.sent) != 2 || len(b.runs) != 2 || !strings.Contains(string(b.sent[1].Body), `"condition":"Success"`) {
			t.Errorf("sent %d, ran %d: %s", len(b.sent), len(b.runs), b.sent[len(b.sent)-1].Body)
		}
		if _, all := b.q.Counts(); all.DestinationDeliveryFailures != 0 {
			t.Errorf("counts %+v", all) // since the last start
		}
		b.empty()
		b.close()
	})
}

// A function of the node is a destination: an isolated one gets the tenant.
func TestAFunctionAsDestination(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.function("next", true)
		b.configs["f"] = &alcove.EventInvokeConfig{OnSuccess: b.place.FunctionARN("next")}
		b.configs["next"] = &alcove.EventInvokeConfig{OnSuccess: b.place.FunctionARN("plain")}
		b.open()
		b.accept("f", "blue", `{"a":1}`)
		synctest.Wait()
		if len(b.runs) != 3 || b.runs[1].function != "next" || b.runs[1].tenant != "blue" || b.runs[2].function != "plain" || b.runs[2].tenant != "" {
			t.Fatalf("runs %+v", b.runs)
		}
		var r invocationRecord
		if err := json.Unmarshal([]byte(b.runs[1].payload), &r); err != nil || string(r.RequestPayload) != `{"a":1}` || string(r.ResponsePayload) != `"done"` {
			t.Errorf("record %s", b.runs[1].payload)
		}
		b.empty()
		b.close()
	})
}

func TestDeadLettersAreReplayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		fails := true
		b.run = func(alcove.Caller, invoke.Request) (*alcove.Result, error) {
			if fails {
				return functionError("no")
			}
			return &alcove.Result{}, nil
		}
		b.open()
		id := b.accept("f", "blue", `{}`)
		b.accept("f", "red", `{}`)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		b.close()
		b.open()
		if d := b.q.Status("id of f"); len(d) != 2 || d[0].Tenant != "blue" || d[0].DeadLetters != 1 || d[1].DeadLetters != 1 {
			t.Fatalf("status %+v", d)
		}
		fails = false
		if n, err := b.q.Replay("id of f", "blue"); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		synctest.Wait()
		if r := b.runsOf(id); len(r) != 4 || r[3].attempt != 4 {
			t.Errorf("runs %+v", r)
		}
		if n, err := b.q.Purge("id of f", "red"); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		b.empty()
		b.close()
	})
}
