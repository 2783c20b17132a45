package pool

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/environment"
)

// With the disk short of its reserve the idle environment that holds most ends,
// nobody gets a new one, warm ones go on; and it is over when there is room.
func TestShortDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lack atomic.Int64
		held := map[string]int64{}
		fs := &fakes{t: t}
		p := newPool(fs, 10, func(c *Config) {
			c.Disk = Disk{Lack: lack.Load, Urgent: 1 << 30, Use: func() map[string]int64 { return held }}
		})
		f := isolated("f")
		run := func(tenant alcove.Tenant) (string, error) {
			l, err := p.Lease(t.Context(), f, tenant, StartOptions{})
			if err != nil {
				return "", err
			}
			_, err = l.Environment.Invoke(t.Context(), &alcove.Invocation{Version: f, Tenant: tenant}, environment.InvokeOptions{})
			return l.Environment.ID(), err
		}
		light, err := run("light")
		if err != nil {
			t.Fatal(err)
		}
		heavy, err := run("heavy")
		if err != nil {
			t.Fatal(err)
		}
		held[light], held[heavy] = 1<<20, 500<<20
		lack.Store(100 << 20)
		time.Sleep(diskEvery + time.Millisecond)
		synctest.Wait()
		var e *alcove.Error
		if _, err := run("new"); !errors.As(err, &e) || e.Limit != alcove.LimitDisk || e.Code != alcove.CodeTooManyRequests {
			t.Errorf("a new tenant got %v, want TooManyRequestsException by %q", err, alcove.LimitDisk)
		}
		if again, err := run("light"); again != light || err != nil {
			t.Errorf("light ran in %q, %v; want its own %q", again, err, light)
		}
		for _, s := range p.Status() {
			if s.ID == heavy {
				t.Error("the environment that holds most is still there")
			}
		}
		lack.Store(0)
		time.Sleep(diskEvery)
		synctest.Wait()
		if _, err := run("new"); err != nil {
			t.Errorf("with room again: %v", err)
		}
		if err := p.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
