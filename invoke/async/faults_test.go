package async

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/invoke"
	"github.com/alcove-run/alcove/invoke/async/spool/spooltest"
)

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
		_, _, err := b.q.Accept(t.Context(), alcove.Caller{}, invoke.Request{Ref: alcove.Ref{Name: "f"}, Tenant: "red"})
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
		if _, _, err := b.q.Accept(t.Context(), alcove.Caller{}, invoke.Request{Ref: alcove.Ref{Name: "f"}, Tenant: "red"}); err == nil {
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
			_, _, err := b.q.Accept(t.Context(), alcove.Caller{}, invoke.Request{Ref: alcove.Ref{Name: "f"}, Tenant: tenant})
			if err == nil {
				return ""
			}
			return alcove.AsError(err).Limit
		}
		var got []alcove.Limit
		for _, tenant := range []alcove.Tenant{"a", "a", "a", "a", "a", "b", "b", "b", "b", "c", "c", "c", "d", "e"} {
			got = append(got, limitOf(tenant))
		}
		if fmt.Sprintf("%q", got) != `["" "" "" "" "tenant-events" "" "" "" "tenant-events" "" "" "tenant-events" "" "events"]` {
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
					if id, _, err := b.q.Accept(t.Context(), alcove.Caller{}, invoke.Request{Ref: alcove.Ref{Name: "f"}, Tenant: tenant, Payload: []byte(payload)}); err == nil {
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
