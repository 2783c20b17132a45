package async

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/invoke"
	"github.com/alcove-run/alcove/invoke/async/spool"
)

// bench is a queue with functions that do what a test says.
type bench struct {
	t     testing.TB
	dir   string
	q     *Queue
	place alcove.Place

	mu        sync.Mutex
	functions map[string]*alcove.Function
	versions  map[string]*alcove.Version
	configs   map[string]*alcove.EventInvokeConfig
	run       func(caller alcove.Caller, req invoke.Request) (*alcove.Result, error)
	sync      func(req invoke.Request) (*alcove.Result, error) // calls that are no events
	calls     int
	runs      []ran
	sent      []Message
	refuse    func(Message) error
	limits    Limits
	free      int64
	wall      func() time.Time
}

// ran is one run that a function saw.
type ran struct {
	at       time.Time
	function string
	tenant   alcove.Tenant
	id       string
	attempt  int
	payload  string
}

func newBench(t testing.TB) *bench {
	b := &bench{t: t, dir: t.TempDir(), place: alcove.Place{Partition: "aws", Region: "us-east-1", Account: "000000000000"},
		functions: map[string]*alcove.Function{}, versions: map[string]*alcove.Version{}, configs: map[string]*alcove.EventInvokeConfig{},
		limits: Limits{Events: 1e6, PartyEvents: 1e6, Bytes: 1 << 30, PartyBytes: 1 << 30, Reserve: 1 << 20, Keys: 1000}, free: 1 << 40}
	b.run = func(_ alcove.Caller, req invoke.Request) (*alcove.Result, error) {
		return &alcove.Result{Payload: []byte(`"done"`), Report: alcove.Report{Version: alcove.Latest}}, nil
	}
	b.function("f", true)
	b.function("plain", false)
	return b
}

func (b *bench) function(name string, isolated bool) *alcove.Version {
	v := &alcove.Version{FunctionID: "id of " + name, Name: name, ARN: b.place.FunctionARN(name), Number: alcove.Latest, State: alcove.StateActive}
	if isolated {
		v.Config.Tenancy = alcove.PerTenant
	}
	b.functions[name], b.versions[name] = &alcove.Function{ID: v.FunctionID, Name: name}, v
	return v
}

func (b *bench) Resolve(ref alcove.Ref) (*alcove.Version, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if v := b.versions[ref.Name]; v != nil {
		return v, nil
	}
	return nil, alcove.NotFound(ref.Name)
}

func (b *bench) Function(name string) (*alcove.Function, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if f := b.functions[name]; f != nil {
		return f, nil
	}
	return nil, alcove.NotFound(name)
}

func (b *bench) Check(req invoke.Request) (*alcove.Version, error) {
	v, err := b.Resolve(req.Ref)
	if err != nil {
		return nil, err
	}
	if e := req.Event; e != nil && e.FunctionID != v.FunctionID {
		return nil, alcove.NotFound(req.Ref.Name)
	}
	if v.Isolated() != (req.Tenant != "") {
		return nil, alcove.InvalidParameter("tenancy")
	}
	return v, nil
}

func (b *bench) Invoke(_ context.Context, caller alcove.Caller, req invoke.Request) (*alcove.Result, error) {
	if _, err := b.Check(req); err != nil {
		return nil, err
	}
	b.mu.Lock()
	run := b.run
	if req.Event == nil {
		b.calls++
		b.mu.Unlock()
		return b.sync(req)
	}
	b.mu.Unlock()
	begin := req.Event.Begin
	req.Event.Begin = func() {
		b.mu.Lock()
		b.runs = append(b.runs, ran{time.Now(), req.Ref.Name, req.Tenant, req.RequestID, req.Event.Attempt, string(req.Payload)})
		b.mu.Unlock()
		begin()
	}
	res, err := run(caller, req)
	if err == nil && len(b.runsOf(req.RequestID)) < req.Event.Attempt {
		req.Event.Begin()
	}
	return res, err
}

func (b *bench) runsOf(id string) (list []ran) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.runs {
		if r.id == id {
			list = append(list, r)
		}
	}
	return list
}

func (b *bench) Deliver(_ context.Context, m Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refuse != nil {
		if err := b.refuse(m); err != nil {
			return err
		}
	}
	b.sent = append(b.sent, m)
	return nil
}

func (b *bench) Reaches(string) bool { return true }

func (b *bench) config() Config {
	fs, err := spool.Directory(b.dir)
	if err != nil {
		b.t.Fatal(err)
	}
	return Config{FS: fs, Invoker: b, Catalog: b, Deliver: b, Place: b.place, Runs: 64, Deliveries: 16, Limits: b.limits, Wall: b.wall,
		Free: func() (int64, error) { b.mu.Lock(); defer b.mu.Unlock(); return b.free, nil },
		EventInvoke: func(ref alcove.Ref) *alcove.EventInvokeConfig {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.configs[ref.Name]
		},
		Log: slog.New(slog.NewTextHandler(b.log(), nil)),
	}
}

func (b *bench) log() io.Writer {
	if testing.Verbose() {
		return os.Stderr
	}
	return io.Discard
}

// open starts the queue, or starts it again.
func (b *bench) open() {
	b.t.Helper()
	q, err := Open(b.config())
	if err != nil {
		b.t.Fatal(err)
	}
	b.q = q
	q.Start()
}

func (b *bench) close() {
	b.t.Helper()
	if err := b.q.Close(b.t.Context()); err != nil {
		b.t.Error(err)
	}
}

func (b *bench) accept(name string, tenant alcove.Tenant, payload string) string {
	b.t.Helper()
	id, _, err := b.q.Accept(b.t.Context(), alcove.Caller{ARN: "caller", Account: b.place.Account}, invoke.Request{Ref: alcove.Ref{Name: name}, Tenant: tenant, Payload: []byte(payload)})
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

func (b *bench) empty() {
	b.t.Helper()
	b.q.mu.Lock()
	defer b.q.mu.Unlock()
	if b.q.items.used != 0 || b.q.depth != 0 || b.q.bytes != 0 || b.q.dead != 0 || b.q.deadSize != 0 {
		b.t.Errorf("the queue is not empty: %d items, %d events of %d bytes, %d dead of %d", b.q.items.used, b.q.depth, b.q.bytes, b.q.dead, b.q.deadSize)
	}
	if _, held := b.q.spool.Usage(); held != 0 {
		b.t.Errorf("%d bytes of the spool are held", held)
	}
	for _, l := range b.q.byKey {
		if n := b.q.turns.Quiet(b.q.lanes[l].turn, b.q.now()); n {
			b.t.Errorf("a quiet lane is left: %+v", b.q.lanes[l].key)
		}
	}
}

func functionError(text string) (*alcove.Result, error) {
	p, _ := json.Marshal(map[string]string{"errorMessage": text, "errorType": "Error"})
	return &alcove.Result{Payload: p, FunctionError: "Unhandled", Report: alcove.Report{Version: alcove.Latest}}, nil
}

func TestAnEventRunsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.open()
		id := b.accept("f", "blue", `{"n":1}`)
		synctest.Wait()
		if len(b.runs) != 1 || b.runs[0].id != id || b.runs[0].tenant != "blue" || b.runs[0].payload != `{"n":1}` || b.runs[0].attempt != 1 {
			t.Errorf("runs %+v", b.runs)
		}
		b.empty()
		b.close()
		b.open()
		synctest.Wait()
		if len(b.runs) != 1 {
			t.Errorf("after a restart: %+v", b.runs)
		}
		b.empty()
		b.close()
	})
}

// A function's errors are retried after one minute and after two more, under the
// same request id, and its result is then a dead letter.
func TestFunctionErrorsAreRetriedOnLambdasSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.run = func(alcove.Caller, invoke.Request) (*alcove.Result, error) { return functionError("no") }
		b.open()
		began := time.Now()
		id := b.accept("f", "blue", `{}`)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		var at []time.Duration
		for i, r := range b.runs {
			at = append(at, r.at.Sub(began).Round(time.Second))
			if r.id != id || r.attempt != i+1 {
				t.Errorf("run %d: %+v", i, r)
			}
		}
		if fmt.Sprint(at) != "[0s 1m0s 3m0s]" {
			t.Errorf("runs at %v", at)
		}
		_, all := b.q.Counts()
		if all.AsyncEventsReceived != 1 || all.AsyncEventsDropped != 1 || all.Retried != 2 || all.Started != 3 {
			t.Errorf("counts %+v", all)
		}
		if b.q.dead != 1 {
			t.Errorf("%d dead letters", b.q.dead)
		}
		b.close()
	})
}

// The end of the node at any time changes neither schedule nor counts.
func TestRetriesSurviveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.run = func(alcove.Caller, invoke.Request) (*alcove.Result, error) { return functionError("no") }
		b.open()
		began := time.Now()
		b.accept("f", "blue", `{}`)
		for range 20 {
			time.Sleep(17 * time.Second)
			synctest.Wait()
			b.close()
			b.open()
		}
		synctest.Wait()
		var at []time.Duration
		for _, r := range b.runs {
			at = append(at, r.at.Sub(began).Round(time.Second))
		}
		if fmt.Sprint(at) != "[0s 1m0s 3m0s]" || b.runs[2].attempt != 3 {
			t.Errorf("runs at %v: %+v", at, b.runs)
		}
		b.close()
	})
}

func TestThrottlesAndPlatformErrorsBackOff(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
	}{
		{"throttled", alcove.Throttled(alcove.ReasonTenantEnvironments, alcove.LimitTenantEnvironments)},
		{"platform", alcove.PlatformError(io.ErrUnexpectedEOF)},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				var tries []time.Duration
				began := time.Now()
				b.run = func(alcove.Caller, invoke.Request) (*alcove.Result, error) {
					b.mu.Lock()
					defer b.mu.Unlock()
					tries = append(tries, time.Since(began).Round(time.Second))
					return nil, c.err
				}
				b.open()
				b.accept("f", "blue", `{}`)
				time.Sleep(7 * time.Hour)
				synctest.Wait()
				if fmt.Sprint(tries[:5]) != "[0s 1s 3s 7s 15s]" || tries[12]-tries[11] != 5*time.Minute {
					t.Errorf("tries at %v", tries[:14])
				}
				if last := tries[len(tries)-1]; last > 6*time.Hour || last < 5*time.Hour+50*time.Minute {
					t.Errorf("last try after %v", last)
				}
				if b.q.dead != 1 || b.q.depth != 0 {
					t.Errorf("%d dead letters, %d events", b.q.dead, b.q.depth)
				}
				if len(b.runs) != 0 {
					t.Errorf("%d runs are counted, and the function saw none", len(b.runs))
				}
				b.close()
			})
		})
	}
}

// What does not run for one tenant's limit delays no other's.
func TestAThrottledTenantDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.run = func(_ alcove.Caller, req invoke.Request) (*alcove.Result, error) {
			if req.Tenant == "greedy" {
				return nil, alcove.Throttled(alcove.ReasonTenantEnvironments, alcove.LimitTenantShare)
			}
			return &alcove.Result{}, nil
		}
		b.open()
		for range 1000 {
			b.accept("f", "greedy", `{}`)
		}
		began := time.Now()
		for i := range 100 {
			b.accept("f", alcove.Tenant(fmt.Sprint("t", i)), `{}`)
		}
		synctest.Wait()
		if len(b.runs) != 100 || time.Since(began) > 0 {
			t.Errorf("%d of 100 ran at once, after %v", len(b.runs), time.Since(began))
		}
		b.close()
	})
}

func TestReservedConcurrencyOfZeroFailsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		zero := 0
		b.functions["f"].Reserved = &zero
		b.configs["f"] = &alcove.EventInvokeConfig{OnFailure: "arn:aws:sqs:us-east-1:000000000000:q"}
		b.open()
		id := b.accept("f", "blue", `{"a":1}`)
		synctest.Wait()
		if len(b.runs) != 0 || len(b.sent) != 1 {
			t.Fatalf("%d runs, sent %+v", len(b.runs), b.sent)
		}
		want := `{"version":"1.0","timestamp":"2000-01-01T00:00:00.000Z","requestContext":{"requestId":"` + id + `","functionArn":"arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST","condition":"ZeroReservedConcurrency","approximateInvokeCount":0},"requestPayload":{"a":1}}`
		if got := string(b.sent[0].Body); got != want {
			t.Errorf("record %s\nwant   %s", got, want)
		}
		b.empty()
		b.close()
	})
}

// An event that is older than its config allows is not tried again, whatever kept it.
func TestEventsThatAreTooOldFail(t *testing.T) {
	for _, c := range []struct {
		name string
		run  func() (*alcove.Result, error)
		runs int
	}{
		{"throttled", func() (*alcove.Result, error) {
			return nil, alcove.Throttled(alcove.ReasonTenantEnvironments, alcove.LimitTenantEnvironments)
		}, 0},
		{"error of the function", func() (*alcove.Result, error) { return functionError("no") }, 2}, // the third would be at three minutes
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				age, retries := 90, 2
				b.configs["f"] = &alcove.EventInvokeConfig{MaximumEventAge: &age, MaximumRetryAttempts: &retries, OnFailure: "arn:aws:sqs:us-east-1:000000000000:q"}
				b.run = func(alcove.Caller, invoke.Request) (*alcove.Result, error) { return c.run() }
				b.open()
				began := time.Now()
				var over time.Duration // when the record was sent
				b.accept("f", "blue", `{}`)
				for over == 0 && time.Since(began) < time.Hour {
					time.Sleep(time.Second)
					synctest.Wait()
					if len(b.sent) > 0 {
						over = time.Since(began)
					}
				}
				if len(b.sent) != 1 || len(b.runs) != c.runs || over > 3*time.Minute+time.Second {
					t.Fatalf("%d runs, sent %+v, over after %v", len(b.runs), b.sent, over)
				}
				if record := string(b.sent[0].Body); !strings.Contains(record, fmt.Sprintf(`"condition":"EventAgeExceeded","approximateInvokeCount":%d}`, c.runs)) {
					t.Errorf("the record is %s", record)
				}
				b.close()
			})
		})
	}
}
