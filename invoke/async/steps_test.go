package async

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/invoke"
	"github.com/alcove-run/alcove/invoke/async/spool/spooltest"
)

// life is what the world saw of a queue while its process was there.
type life struct {
	mu       sync.Mutex     // guards what runs and deliveries write
	accepted map[string]ran // by id
	ended    map[string]bool
	runs     []ran
	sent     map[string]bool
	purged   bool   // red's events of g are gone: that was said
	key      string // what the call with an idempotency key was answered
	calls    int
	letters  bool // red has dead letters of g
}

// ran notes a run that a function saw.
func (w *life) ran(req invoke.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.runs = append(w.runs, ran{tenant: req.Tenant, id: req.RequestID, attempt: req.Event.Attempt, payload: string(req.Payload)})
}

// TestTheProcessEndsAtEveryStep has everything happen that happens to events, and
// ends the process before each single change that it makes to the disk, once as a
// kill -9 does and some times as power loss does. The next process runs what was
// accepted, for its tenant, delivers what is owed, and runs nothing that is gone. After
// a kill only what was under way runs twice.
func TestTheProcessEndsAtEveryStep(t *testing.T) {
	const underWay = 3
	live := func(t *testing.T, fs *spooltest.FS, steps int) *life {
		w := &life{accepted: map[string]ran{}, ended: map[string]bool{}, sent: map[string]bool{}}
		b := newBench(t)
		gone := func() bool { return steps >= 0 && fs.Steps() >= steps }
		b.function("g", true)
		retries := 1
		b.configs["f"] = &alcove.EventInvokeConfig{OnSuccess: queueARN, MaximumRetryAttempts: &retries}
		b.configs["g"] = &alcove.EventInvokeConfig{MaximumRetryAttempts: new(int)}
		never := errors.New("the process has ended")
		b.run = func(_ alcove.Caller, req invoke.Request) (*alcove.Result, error) {
			if gone() {
				return nil, never
			}
			w.ran(req)
			req.Event.Begin()
			time.Sleep(100 * time.Millisecond)
			if gone() {
				return nil, never
			}
			w.mu.Lock()
			w.ended[req.RequestID] = true
			w.mu.Unlock()
			if strings.Contains(string(req.Payload), "fails") {
				return functionError("no")
			}
			return &alcove.Result{Payload: []byte(`"done"`)}, nil
		}
		b.sync = func(invoke.Request) (*alcove.Result, error) {
			w.calls++
			return &alcove.Result{Payload: fmt.Appendf(nil, "%d", w.calls)}, nil
		}
		b.refuse = func(m Message) error {
			if gone() {
				return never
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			w.sent[m.RequestID] = true
			return nil
		}
		c := b.config()
		c.FS, c.SegmentBytes, c.Runs = fs, 2048, underWay
		if steps >= 0 {
			fs.StopAfter(steps)
		}
		q, err := Open(c)
		if err != nil {
			return w
		}
		b.q = q
		q.Start()
		accept := func(name string, tenant alcove.Tenant, payload string) {
			payload = fmt.Sprintf(`"%s of %s for %s %s"`, payload, name, tenant, strings.Repeat("x", 300))
			if id, _, err := q.Accept(t.Context(), alcove.Caller{}, invoke.Request{Ref: alcove.Ref{Name: name}, Tenant: tenant, Payload: []byte(payload)}); err == nil {
				w.accepted[id] = ran{function: name, tenant: tenant, payload: payload}
			}
		}
		for _, tenant := range []alcove.Tenant{"blue", "red"} {
			accept("f", tenant, "delivered")
			accept("f", tenant, "fails, twice")
			accept("g", tenant, "works")
			accept("g", tenant, "fails, a dead letter")
			time.Sleep(50 * time.Millisecond)
		}
		if res, _, err := q.Once(t.Context(), alcove.Caller{}, invoke.Request{Ref: alcove.Ref{Name: "f"}, Tenant: "blue", Payload: []byte("{}")}, false, "key"); err == nil && !gone() {
			w.key = string(res.Payload)
		}
		time.Sleep(2 * time.Minute) // retries and sweeps
		if n, err := q.Purge("id of g", "red"); err == nil && n > 0 {
			w.purged = true
		}
		for range 6 { // segments fill, and are moved
			accept("f", "blue", "delivered")
			time.Sleep(10 * time.Second)
		}
		if _, err := q.Replay("id of g", "blue"); err == nil {
			time.Sleep(time.Minute)
		}
		synctest.Wait()
		q.Close(context.Background())
		return w
	}
	var total int
	synctest.Test(t, func(t *testing.T) {
		fs := spooltest.New()
		w := live(t, fs, -1)
		total = fs.Steps()
		if len(w.accepted) != 14 || !w.purged || w.key != "1" || len(w.runs) < 17 {
			t.Fatalf("undisturbed: %d accepted, purged %v, key %q, %d runs", len(w.accepted), w.purged, w.key, len(w.runs))
		}
	})
	every := 1
	if testing.Short() {
		every = 7
	}
	for steps := 0; steps < total; steps += every {
		for end := range 4 {
			synctest.Test(t, func(t *testing.T) {
				fs := spooltest.New()
				before := live(t, fs, steps)
				how := "killed"
				if end == 0 {
					fs = fs.Kill()
				} else {
					how = fmt.Sprintf("without power (%d)", end)
					fs = fs.Crash(rand.New(rand.NewPCG(uint64(steps), uint64(end))).IntN)
				}
				after := followed(t, fs)
				for id, want := range before.accepted {
					saw := 0
					for _, r := range append(before.runs, after.runs...) {
						if r.id != id {
							continue
						}
						saw++
						if r.tenant != want.tenant || r.payload != want.payload {
							t.Errorf("%s before step %d: ran %+v, accepted was %+v", how, steps, r, want)
						}
					}
					gone := before.purged && want.function == "g" && want.tenant == "red"
					if saw == 0 && !gone {
						t.Errorf("%s before step %d: %+v was accepted and never ran", how, steps, want)
					}
					if want.function == "f" && strings.Contains(want.payload, "delivered") && !before.sent[id] && !after.sent[id] {
						t.Errorf("%s before step %d: the result of %+v was never delivered", how, steps, want)
					}
				}
				if before.purged && after.letters {
					t.Errorf("%s before step %d: dead letters that were purged are there", how, steps)
				}
				twice := 0
				for _, r := range after.runs {
					want := before.accepted[r.id]
					if before.purged && want.function == "g" && want.tenant == "red" {
						t.Errorf("%s before step %d: ran after it was purged: %+v", how, steps, r)
					}
					if before.ended[r.id] && !strings.Contains(r.payload, "fails") {
						twice++
					}
				}
				if end == 0 && twice > underWay {
					t.Errorf("killed before step %d: %d of %d events ran twice, %d were under way", steps, twice, len(before.accepted), underWay)
				}
				if before.key != "" && after.key != before.key {
					t.Errorf("%s before step %d: the key was answered %q, then %q", how, steps, before.key, after.key)
				}
			})
		}
	}
	t.Logf("ended at each of %d steps, by a kill and three times by power loss", total)
}

// followed is what the next process does with what is on the disk.
func followed(t *testing.T, fs *spooltest.FS) *life {
	w := &life{sent: map[string]bool{}}
	b := newBench(t)
	b.function("g", true)
	b.configs["f"] = &alcove.EventInvokeConfig{OnSuccess: queueARN, MaximumRetryAttempts: new(int)}
	b.configs["g"] = &alcove.EventInvokeConfig{MaximumRetryAttempts: new(int)}
	b.run = func(_ alcove.Caller, req invoke.Request) (*alcove.Result, error) {
		w.ran(req)
		req.Event.Begin()
		return &alcove.Result{}, nil
	}
	b.sync = func(invoke.Request) (*alcove.Result, error) { return &alcove.Result{Payload: []byte("anew")}, nil }
	b.refuse = func(m Message) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.sent[m.RequestID] = true
		return nil
	}
	c := b.config()
	c.FS, c.SegmentBytes = fs, 2048
	q, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	q.Start()
	time.Sleep(10 * time.Minute)
	synctest.Wait()
	res, _, err := q.Once(t.Context(), alcove.Caller{}, invoke.Request{Ref: alcove.Ref{Name: "f"}, Tenant: "blue", Payload: []byte("{}")}, false, "key")
	if err != nil {
		t.Error(err)
	} else {
		w.key = string(res.Payload)
	}
	for _, d := range q.Status("id of g") {
		w.letters = w.letters || d.Tenant == "red" && d.DeadLetters > 0
	}
	if events, _, _ := q.Depths(); events != 0 {
		t.Errorf("%d events wait for nothing", events)
	}
	if err := q.Close(context.Background()); err != nil {
		t.Error(err)
	}
	return w
}
