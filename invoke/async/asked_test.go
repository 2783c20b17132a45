package async

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/invoke"
)

// Who sent an event is recorded before it is kept, whatever becomes of it, and so is
// who was answered with an earlier answer. What cannot be recorded is not done.
func TestWhoAskedIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		var recorded []string
		var refuse error
		b.sync = func(invoke.Request) (*alcove.Result, error) {
			return &alcove.Result{Report: alcove.Report{RequestID: "of the first"}}, nil
		}
		b.run = func(alcove.Caller, invoke.Request) (*alcove.Result, error) {
			return nil, alcove.Throttled("", alcove.LimitTenantShare)
		}
		c := b.config()
		c.Record = func(caller alcove.Caller, req invoke.Request, id string, repeated bool) error {
			if refuse == nil {
				recorded = append(recorded, fmt.Sprint(caller.ARN, " ", req.Tenant, " ", id, " ", repeated))
			}
			return refuse
		}
		q, err := Open(c)
		if err != nil {
			t.Fatal(err)
		}
		b.q = q
		q.Start()
		id := b.accept("f", "blue", `{}`)
		once := func(event bool, key string) (*alcove.Result, bool, error) {
			return q.Once(t.Context(), alcove.Caller{ARN: "caller"}, invoke.Request{Ref: alcove.Ref{Name: "f"}, Tenant: "red", Payload: []byte(`{}`)}, event, key)
		}
		for range 2 {
			if _, _, err := once(false, "a call"); err != nil {
				t.Fatal(err)
			}
		}
		event, _, err := once(true, "an event")
		if err != nil {
			t.Fatal(err)
		}
		if _, repeated, err := once(true, "an event"); err != nil || !repeated {
			t.Fatal(repeated, err)
		}
		synctest.Wait()
		if n, err := q.Purge("id of f", "blue"); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		want := fmt.Sprint([]string{"caller blue " + id + " false", "caller red of the first true",
			"caller red " + event.Report.RequestID + " false", "caller red " + event.Report.RequestID + " true"})
		if got := fmt.Sprint(recorded); got != want {
			t.Errorf("recorded %s\nwant     %s", got, want)
		}
		refuse = errors.New("no")
		if _, _, err := q.Accept(t.Context(), alcove.Caller{}, invoke.Request{Ref: alcove.Ref{Name: "f"}, Tenant: "blue"}); !errors.Is(err, refuse) {
			t.Errorf("an event that cannot be recorded: %v", err)
		}
		if _, _, err := once(false, "a call"); !errors.Is(err, refuse) {
			t.Errorf("an earlier answer that cannot be recorded: %v", err)
		}
		if d := q.Status("id of f"); len(d) != 1 || d[0].Tenant != "red" || d[0].Waiting != 1 {
			t.Errorf("waits: %+v", d)
		}
		synctest.Wait()
		if n, err := q.Purge("id of f", "red"); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		time.Sleep(25 * time.Hour)
		synctest.Wait()
		b.empty()
		b.close()
	})
}

// A call with a key is begun only if the disk has room for its answer. If there is
// none for it when it comes, that it ran is kept: it does not run twice, nobody has
// more than a share, and another tenant is not kept from anything.
func TestNoRoomForAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.limits.Bytes, b.limits.PartyBytes = 64<<20, 8<<20
		size := 1 << 20
		b.sync = func(req invoke.Request) (*alcove.Result, error) {
			time.Sleep(time.Second)
			return &alcove.Result{Payload: make([]byte, size), Report: alcove.Report{RequestID: string(req.Tenant) + " ran"}}, nil
		}
		b.open()
		once := func(tenant alcove.Tenant, key string) error {
			_, _, err := b.q.Once(t.Context(), alcove.Caller{}, invoke.Request{Ref: alcove.Ref{Name: "f"}, Tenant: tenant, Payload: []byte("{}")}, false, key)
			return err
		}
		done := make(chan error)
		for i := range 10 { // none knows of the others
			go func() { done <- once("blue", fmt.Sprint(i)) }()
		}
		for range 10 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if b.q.keyBytes > 3<<20+64<<10 {
			t.Errorf("%d bytes of one tenant are kept, of 2 MB and one answer that it may have", b.q.keyBytes)
		}
		ran := b.calls
		answers := map[string]int{}
		for i := range 10 {
			answer := "kept"
			if err := once("blue", fmt.Sprint(i)); err != nil {
				answer = alcove.AsError(err).Code
			}
			answers[answer]++
		}
		if kept := answers["kept"]; kept < 1 || kept > 3 || kept+answers[alcove.CodeResourceConflict] != 10 || b.calls != ran {
			t.Errorf("again: %v, %d runs, then %d", answers, ran, b.calls)
		}
		if err := once("red", "0"); err != nil {
			t.Errorf("another tenant: %v", err)
		}
		b.mu.Lock()
		b.free = b.limits.Reserve + keyRoom - 1
		b.mu.Unlock()
		ran = b.calls
		if err := once("red", "1"); err == nil || alcove.AsError(err).Fault != alcove.FaultPlatform || b.calls != ran {
			t.Errorf("on a disk without room: %v, and %d runs", err, b.calls-ran)
		}
		b.mu.Lock()
		b.free = 1 << 40
		b.mu.Unlock()
		if err := once("red", "1"); err != nil {
			t.Errorf("with room again: %v", err)
		}
		b.close()
		b.open()
		if err := once("blue", "9"); err == nil && b.calls > ran+1 {
			t.Error("it ran again after a restart")
		}
		b.close()
	})
}
