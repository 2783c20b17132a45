package async

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/invoke"
	"github.com/alcove-run/alcove/invoke/async/spool/spooltest"
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

// A purge takes one tenant's events, whatever they wait for, and nobody else's; and
// of a tenant that is taken off the node no byte is left.
func TestPurge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		fs := spooltest.New()
		retries := 0
		b.configs["f"] = &alcove.EventInvokeConfig{OnSuccess: queueARN}
		b.configs["g"] = &alcove.EventInvokeConfig{MaximumRetryAttempts: &retries}
		b.function("g", true)
		b.refuse = func(Message) error { return errors.New("down") }
		b.run = func(_ alcove.Caller, req invoke.Request) (*alcove.Result, error) {
			switch {
			case strings.Contains(string(req.Payload), "throttled"):
				return nil, alcove.Throttled("", alcove.LimitTenantShare)
			case strings.Contains(string(req.Payload), "fails"):
				return functionError("no")
			}
			return &alcove.Result{}, nil
		}
		b.openOn(fs)
		for _, tenant := range []alcove.Tenant{"blue", "red"} {
			for range 3 {
				b.accept("f", tenant, `"delivered of `+string(tenant)+`"`)
				b.accept("f", tenant, `"fails of `+string(tenant)+`"`)
				b.accept("g", tenant, `"fails of `+string(tenant)+`"`)
				b.accept("f", tenant, `"throttled of `+string(tenant)+`"`)
			}
			synctest.Wait()
		}
		before := b.q.Status("id of f")
		if n, err := b.q.Purge("id of f", "blue"); n != 9 || err != nil {
			t.Fatalf("purged %d of 9, %v; status %+v", n, err, before)
		}
		if d := b.q.Status("id of f"); len(d) != 1 || d[0] != before[1] {
			t.Errorf("after the purge %+v, before %+v", d, before)
		}
		if d := b.q.Status("id of g"); len(d) != 2 {
			t.Errorf("of another function %+v", d)
		}
		if err := b.q.PurgeTenant(t.Context(), "blue"); err != nil {
			t.Fatal(err)
		}
		for name, text := range fs.Files() {
			if strings.Contains(string(text), "blue") {
				t.Errorf("%s has bytes of the tenant", name)
			}
		}
		b.close()
		b.openOn(fs)
		if d := b.q.Status("id of f"); len(d) != 1 || d[0].Tenant != "red" || d[0].Waiting+d[0].Delayed+d[0].Delivering+d[0].Running != 9 {
			t.Errorf("after a restart %+v", d)
		}
		if d := b.q.Status("id of g"); len(d) != 1 || d[0].DeadLetters != 3 {
			t.Errorf("after a restart %+v", d)
		}
		b.close()
	})
}

func (b *bench) openOn(fs *spooltest.FS) {
	b.t.Helper()
	c := b.config()
	c.FS, c.SegmentBytes = fs, 4096
	q, err := Open(c)
	if err != nil {
		b.t.Fatal(err)
	}
	b.q = q
	q.Start()
}

// TestIdempotencyKeysAreShared has one tenant keep long results: it is told to stop
// before another is, and may go on when they are forgotten.
func TestIdempotencyKeysAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.limits.PartyBytes = 4 << 20
		b.sync = func(invoke.Request) (*alcove.Result, error) {
			return &alcove.Result{Payload: make([]byte, 600<<10)}, nil
		}
		b.open()
		once := func(tenant alcove.Tenant, key string) error {
			_, _, err := b.q.Once(t.Context(), alcove.Caller{}, invoke.Request{Ref: alcove.Ref{Name: "f"}, Tenant: tenant, Payload: []byte("{}")}, false, key)
			return err
		}
		for i, want := range []string{"", "", alcove.CodeTooManyRequests} {
			if err := once("blue", fmt.Sprint(i)); want == "" && err != nil || want != "" && (err == nil || alcove.AsError(err).Code != want) {
				t.Errorf("key %d: %v, want %q", i, err, want)
			}
		}
		b.close()
		b.open()
		if err := once("blue", "2"); err == nil {
			t.Error("a restart forgot how much is kept")
		}
		if err := once("red", "0"); err != nil {
			t.Errorf("another tenant: %v", err)
		}
		time.Sleep(25 * time.Hour)
		if err := once("blue", "2"); err != nil {
			t.Errorf("a day later: %v", err)
		}
		b.close()
	})
}

func TestIdempotencyKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.sync = func(req invoke.Request) (*alcove.Result, error) {
			time.Sleep(time.Second)
			if string(req.Payload) == "429" {
				return nil, alcove.Throttled("", alcove.LimitConcurrency)
			}
			return &alcove.Result{Payload: fmt.Appendf(nil, "%d", b.calls), FunctionError: "Unhandled", Report: alcove.Report{RequestID: "id", Version: "7"}}, nil
		}
		b.open()
		once := func(tenant alcove.Tenant, key, payload string, event bool) (*alcove.Result, bool, error) {
			return b.q.Once(t.Context(), alcove.Caller{}, invoke.Request{Ref: alcove.Ref{Name: "f"}, Tenant: tenant, Payload: []byte(payload)}, event, key)
		}
		var calls sync.WaitGroup
		var mu sync.Mutex
		answers := map[string]int{}
		repeats := 0
		for range 10 {
			calls.Go(func() {
				res, repeated, err := once("blue", "k", `{}`, false)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				answers[string(res.Payload)+res.FunctionError+res.Report.Version]++
				if repeated {
					repeats++
				}
			})
		}
		calls.Wait()
		if fmt.Sprint(answers) != "map[1Unhandled7:10]" || repeats != 9 || b.calls != 1 {
			t.Errorf("answers %v, %d repeated, %d calls", answers, repeats, b.calls)
		}
		b.close()
		b.open()
		if res, repeated, err := once("blue", "k", `{}`, false); err != nil || !repeated || string(res.Payload) != "1" {
			t.Errorf("after a restart: %+v %v %v", res, repeated, err)
		}
		if res, _, err := once("red", "k", `{}`, false); err != nil || string(res.Payload) != "2" {
			t.Errorf("of another tenant: %+v %v", res, err)
		}
		if _, _, err := once("blue", "k", `{"other":1}`, false); err == nil || alcove.AsError(err).Code != alcove.CodeInvalidParameterValue {
			t.Errorf("with another payload: %v", err)
		}
		// Who may invoke one alias does not read what another answered.
		_, _, err := b.q.Once(t.Context(), alcove.Caller{}, invoke.Request{Ref: alcove.Ref{Name: "f", Qualifier: "dev"}, Tenant: "blue", Payload: []byte("{}")}, false, "k")
		if err == nil || alcove.AsError(err).Code != alcove.CodeInvalidParameterValue {
			t.Errorf("by another alias: %v", err)
		}
		for range 2 { // what did not run leaves the key free
			if _, _, err := once("blue", "throttled", "429", false); err == nil || alcove.AsError(err).Code != alcove.CodeTooManyRequests {
				t.Error(err)
			}
		}
		first, _, err := once("blue", "event", `{}`, true)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		b.close()
		b.open()
		if again, repeated, err := once("blue", "event", `{}`, true); err != nil || !repeated || again.Report.RequestID != first.Report.RequestID {
			t.Errorf("an event again: %+v %v %v", again, repeated, err)
		}
		synctest.Wait()
		if len(b.runs) != 1 {
			t.Errorf("the event ran %d times", len(b.runs))
		}
		time.Sleep(25 * time.Hour)
		synctest.Wait()
		b.empty()
		if res, repeated, err := once("blue", "k", `{}`, false); err != nil || repeated || string(res.Payload) == "1" {
			t.Errorf("after a day: %+v %v %v", res, repeated, err)
		}
		b.close()
	})
}

// Setting the system's clock, by an hour or to another year, changes no event's age
// and no wait, and neither does a restart after it.
func TestTheSystemsClockIsSet(t *testing.T) {
	for _, by := range []time.Duration{-365 * 24 * time.Hour, -time.Hour, time.Hour, 365 * 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			var shift time.Duration
			b.wall = func() time.Time { return time.Now().Add(shift) }
			b.run = func(alcove.Caller, invoke.Request) (*alcove.Result, error) { return functionError("no") }
			b.open()
			began := time.Now()
			b.accept("f", "blue", `{}`)
			time.Sleep(30 * time.Second)
			shift = by
			time.Sleep(10 * time.Second)
			synctest.Wait()
			b.close()
			b.open()
			if age := b.q.Status("id of f")[0].Oldest; age < 39*time.Second || age > 41*time.Second {
				t.Errorf("set by %v: an event of 40 s is %v old", by, age)
			}
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			var at []time.Duration
			for _, r := range b.runs {
				at = append(at, r.at.Sub(began).Round(time.Second))
			}
			if fmt.Sprint(at) != "[0s 1m0s 3m0s]" {
				t.Errorf("set by %v: runs at %v", by, at)
			}
			b.close()
		})
	}
}

func TestAFullDiskLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		fs := spooltest.New()
		release := make(chan struct{})
		b.run = func(_ alcove.Caller, req invoke.Request) (*alcove.Result, error) {
			req.Event.Begin()
			<-release
			return &alcove.Result{}, nil
		}
		b.openOn(fs)
		for range 100 {
			b.accept("f", "blue", `{}`)
		}
		synctest.Wait()
		began := len(b.runs)
		fs.Room(5)
		_, err := b.q.Accept(t.Context(), alcove.Caller{}, invoke.Request{Ref: alcove.Ref{Name: "f"}, Tenant: "red"})
		if e := alcove.AsError(err); err == nil || e.Fault != alcove.FaultPlatform || !strings.Contains(e.Message, "not accepted") {
			t.Errorf("accepted on a full disk: %v", err)
		}
		close(release) // runs end, and it cannot be written down
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(b.runs); n != began {
			t.Errorf("%d runs began, and what becomes of them cannot be written down", n-began)
		}
		fs.Room(-1)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := len(b.runs); n != 100 {
			t.Errorf("%d of 100 ran with room again", n)
		}
		b.empty()
		b.free = 1
		if _, err := b.q.Accept(t.Context(), alcove.Caller{}, invoke.Request{Ref: alcove.Ref{Name: "f"}, Tenant: "red"}); err == nil {
			t.Error("accepted below the reserve")
		}
		b.close()
	})
}

func TestCapsOfWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.limits.Events, b.limits.PartyEvents = 10, 4
		b.run = func(alcove.Caller, invoke.Request) (*alcove.Result, error) {
			time.Sleep(time.Hour)
			return &alcove.Result{}, nil
		}
		b.open()
		limitOf := func(tenant alcove.Tenant) alcove.Limit {
			_, err := b.q.Accept(t.Context(), alcove.Caller{}, invoke.Request{Ref: alcove.Ref{Name: "f"}, Tenant: tenant})
			if err == nil {
				return ""
			}
			return alcove.AsError(err).Limit
		}
		var got []alcove.Limit
		for _, tenant := range []alcove.Tenant{"a", "a", "a", "a", "a", "b", "b", "b", "b", "c", "c", "c"} {
			got = append(got, limitOf(tenant))
		}
		if fmt.Sprintf("%q", got) != `["" "" "" "" "tenant-events" "" "" "" "" "" "" "events"]` {
			t.Errorf("%q", got)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		b.empty()
		if len(b.q.parties) != 0 {
			t.Errorf("parties are left: %v", b.q.parties)
		}
		b.close()
	})
}

// The machine stops at random, and its disk forgets what was not synced. Every
// event that was accepted runs, for its tenant, with its payload; one that was
// done and synced does not run again; and results that were kept are there.
func TestPowerLossAtRandom(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		fs := spooltest.New()
		chance := func(n int) int { return rapid.IntRange(0, n-1).Draw(r, "chance") }
		accepted := map[string]ran{} // by id
		seen := map[string]bool{}
		for life := range rapid.IntRange(1, 4).Draw(r, "lives") {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				fails := chance(2) == 0
				b.run = func(alcove.Caller, invoke.Request) (*alcove.Result, error) {
					time.Sleep(time.Duration(1+len(b.runs)%7) * 300 * time.Millisecond)
					if fails {
						return functionError("no")
					}
					return &alcove.Result{}, nil
				}
				b.openOn(fs)
				for n := range 1 + chance(12) {
					tenant := alcove.Tenant(fmt.Sprint("t", chance(3)))
					payload := fmt.Sprintf(`"%s of %d in %d %s"`, tenant, n, life, strings.Repeat("x", chance(2000)))
					if id, err := b.q.Accept(t.Context(), alcove.Caller{}, invoke.Request{Ref: alcove.Ref{Name: "f"}, Tenant: tenant, Payload: []byte(payload)}); err == nil {
						accepted[id] = ran{tenant: tenant, payload: payload}
					}
					time.Sleep(time.Duration(chance(3)) * 400 * time.Millisecond)
				}
				time.Sleep(time.Duration(chance(4)) * 20 * time.Second)
				b.mu.Lock()
				after := fs.Crash(chance)
				runs := slices.Clone(b.runs)
				b.mu.Unlock()
				for _, one := range runs {
					seen[one.id] = true
					if want, ok := accepted[one.id]; ok && (one.tenant != want.tenant || one.payload != want.payload) {
						t.Errorf("ran %+v, accepted was %+v", one, want)
					}
				}
				b.close() // on the file system that is lost
				fs = after
			})
		}
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			b.openOn(fs)
			time.Sleep(20 * time.Minute)
			synctest.Wait()
			for _, one := range b.runs {
				seen[one.id] = true
				if want, ok := accepted[one.id]; ok && (one.tenant != want.tenant || one.payload != want.payload) {
					t.Errorf("ran %+v, accepted was %+v", one, want)
				}
			}
			b.close()
		})
		for id := range accepted {
			if !seen[id] {
				r.Fatalf("event %s was accepted and never ran", id)
			}
		}
	})
}

// Whatever a record says, reading it ends, and what was read is written the same.
func FuzzRecords(f *testing.F) {
	f.Add((&event{seq: 7, stage: stageReady, functionID: "id", name: "f", tenant: "blue", request: 3}).encode(), 3)
	f.Add((&event{seq: 7, stage: stageOwed, outcome: outcome{condition: "Success", ran: true, status: 200, destination: "arn"}}).encode(), 0)
	f.Add(change{kindRetry, 9, 1, 2, 3, 4}.encode(), 0)
	f.Add(step{-5}.encode(), 0)
	f.Add((&key{seq: 1, party: "p", report: "r"}).encode(), 0)
	f.Fuzz(func(t *testing.T, meta []byte, body int) {
		if len(meta) == 0 || body < 0 {
			return
		}
		var again []byte
		var err error
		switch meta[0] {
		case kindEvent:
			var e *event
			if e, err = decodeEvent(meta, body); err == nil {
				again = e.encode()
				_, err = decodeEvent(again, body)
			}
		case kindKey:
			var k *key
			if k, err = decodeKey(meta); err == nil {
				_, err = decodeKey(k.encode())
			}
		case kindClock:
			var s step
			if s, err = decodeStep(meta); err == nil {
				_, err = decodeStep(s.encode())
			}
		default:
			var c change
			if c, err = decodeChange(meta); err == nil {
				_, err = decodeChange(c.encode())
			}
		}
		if err != nil && again != nil {
			t.Fatalf("%q was read, and written as %q it is not", meta, again)
		}
	})
}
