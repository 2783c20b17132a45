package async

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/invoke"
)

// Tenants who together take all that they may, of events, of dead letters and of kept
// results, leave room for whoever comes.
func TestManyWhoFillTheirSharesLeaveRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.limits = Limits{Events: 400, PartyEvents: 100, Bytes: 1 << 20, PartyBytes: 1 << 18, Reserve: 1 << 20, Keys: 40}
		retries := 0
		b.configs["f"] = &alcove.EventInvokeConfig{MaximumRetryAttempts: &retries}
		fails := false
		b.run = func(alcove.Caller, invoke.Request) (*alcove.Result, error) {
			if fails {
				return functionError("no")
			}
			return nil, alcove.Throttled("", alcove.LimitTenantShare)
		}
		b.sync = func(invoke.Request) (*alcove.Result, error) {
			return &alcove.Result{Payload: make([]byte, 20<<10)}, nil
		}
		b.open()
		send := func(tenant alcove.Tenant) error {
			_, _, err := b.q.Accept(t.Context(), alcove.Caller{}, invoke.Request{Ref: alcove.Ref{Name: "f"}, Tenant: tenant, Payload: []byte(fmt.Sprintf(`"%1000d"`, 1))})
			return err
		}
		once := func(tenant alcove.Tenant, key int) error {
			_, _, err := b.q.Once(t.Context(), alcove.Caller{}, invoke.Request{Ref: alcove.Ref{Name: "f"}, Tenant: tenant, Payload: []byte("{}")}, false, fmt.Sprint(key))
			return err
		}
		for i := range 8 {
			tenant := alcove.Tenant(fmt.Sprint("greedy ", i))
			for n := 0; send(tenant) == nil; n++ {
				if n > 100 {
					t.Fatal("no bound")
				}
			}
			for n := 0; once(tenant, n) == nil; n++ {
				if n > 40 {
					t.Fatal("no bound")
				}
			}
		}
		if err := send("new"); err != nil {
			t.Errorf("an event of somebody new: %v", err)
		}
		if err := once("new", 1); err != nil {
			t.Errorf("a key of somebody new: %v", err)
		}
		// All of them fail, and are dead letters.
		b.mu.Lock()
		fails = true
		b.mu.Unlock()
		time.Sleep(time.Hour)
		synctest.Wait()
		for range 20 { // fill what is left
			for i := range 8 {
				_ = send(alcove.Tenant(fmt.Sprint("greedy ", i)))
			}
			synctest.Wait()
		}
		if err := send("newer"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		dead := map[alcove.Tenant]int{}
		for _, d := range b.q.Status("id of f") {
			dead[d.Tenant] = d.DeadLetters
		}
		if dead["newer"] != 1 || dead["new"] != 1 {
			t.Errorf("dead letters of those who came late are gone: %v", dead)
		}
		b.close()
	})
}
