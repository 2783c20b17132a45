package async

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/invoke"
)

// TestIdempotencyKeysAreShared has one tenant keep long results: it is told to stop
// before another is, and may go on when they are forgotten.
func TestIdempotencyKeysAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.limits.PartyBytes = 4 << 20
		b.sync = func(invoke.Request) (*alcove.Result, error) {
			return &alcove.Result{Payload: make([]byte, 300<<10)}, nil
		}
		b.open()
		once := func(tenant alcove.Tenant, key string) error {
			_, _, err := b.q.Once(t.Context(), alcove.Caller{}, invoke.Request{Ref: alcove.Ref{Name: "f"}, Tenant: tenant, Payload: []byte("{}")}, false, key)
			return err
		}
		for i, want := range []string{"", "", "", alcove.CodeTooManyRequests} {
			if err := once("blue", fmt.Sprint(i)); want == "" && err != nil || want != "" && (err == nil || alcove.AsError(err).Code != want) {
				t.Errorf("key %d: %v, want %q", i, err, want)
			}
		}
		b.close()
		b.open()
		if err := once("blue", "3"); err == nil {
			t.Error("a restart forgot how much is kept")
		}
		if err := once("red", "0"); err != nil {
			t.Errorf("another tenant: %v", err)
		}
		time.Sleep(25 * time.Hour)
		if err := once("blue", "3"); err != nil {
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
