package pool

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alcove-run/alcove"
)

func ordinary(id string) *alcove.Version {
	return &alcove.Version{FunctionID: id, Name: id, Number: "1", Generation: 1, State: alcove.StateActive}
}

// TestProvisionedEnvironmentsAreThereBeforeAnybodyComes sees that as many as are
// wanted exist, whoever uses them, and that a call finds one of them.
func TestProvisionedEnvironmentsAreThereBeforeAnybodyComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var wanted atomic.Int64
		wanted.Store(3)
		fs := &fakes{t: t, initTook: 100 * time.Millisecond}
		p := newPool(fs, 100, func(c *Config) {
			c.Provisioned = func(*alcove.Version) int { return int(wanted.Load()) }
			c.KeepAlive = 10 * time.Minute
		})
		v := ordinary("f")
		p.Expect(v)
		if s := p.Provisioned(v); s.Available != 0 || s.Allocated == 0 {
			t.Errorf("at first %+v", s)
		}
		time.Sleep(5 * time.Second)
		if s := p.Provisioned(v); s != (ProvisionedStatus{Allocated: 3, Available: 3}) || fs.count() != 3 {
			t.Errorf("then %+v, %d made", s, fs.count())
		}
		var envs []Environment
		began := time.Now()
		for range 3 {
			envs = append(envs, lease(t, p, v, ""))
		}
		if waited := time.Since(began); waited != 0 {
			t.Errorf("three calls waited %s", waited)
		}
		time.Sleep(5 * time.Second)
		if s := p.Provisioned(v); s != (ProvisionedStatus{Allocated: 3, Available: 3}) || fs.count() != 3 {
			t.Errorf("in use: %+v, %d made", s, fs.count())
		}
		more := lease(t, p, v, "") // beyond what is provisioned it is as without
		if fs.count() != 4 {
			t.Errorf("%d made for four calls", fs.count())
		}
		for _, env := range append(envs, more) {
			invoke(t, env, v, "")
		}
		// What nobody uses any more goes, but is made again.
		time.Sleep(time.Hour)
		if s := p.Provisioned(v); s != (ProvisionedStatus{Allocated: 3, Available: 3}) {
			t.Errorf("after an hour: %+v", s)
		}
		wanted.Store(0)
		time.Sleep(time.Minute)
		if s := p.Provisioned(v); s != (ProvisionedStatus{}) {
			t.Errorf("without: %+v", s)
		}
		p.mu.Lock()
		left := len(p.functions)
		p.mu.Unlock()
		if left != 0 {
			t.Errorf("%d functions are remembered", left)
		}
		closePool(t, p)
	})
}

func TestRoomForProvisionedEnvironments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(&fakes{t: t}, 100, func(c *Config) { c.Memory, c.Environments = 10*newEnvironmentMemory, 8 })
		for n, want := range map[int]bool{1: true, 8: true, 9: false, 11: false} {
			if got := p.RoomFor(ordinary("f"), n); got != want {
				t.Errorf("room for %d: %t", n, got)
			}
		}
		closePool(t, p)
	})
}
