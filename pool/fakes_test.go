package pool

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/environment"
)

// fake is an environment without a sandbox. It checks what it is told against
// the promises of the pool.
type fake struct {
	t       testing.TB
	id      string
	version *alcove.Version
	tenant  alcove.Tenant // for whom it was made; empty for stock
	bound   atomic.Pointer[alcove.Tenant]
	hooks   Hooks
	memory  atomic.Int64 // 1 MiB if zero

	inUse  atomic.Bool
	closed atomic.Bool
	ended  chan struct{}
	once   sync.Once
	end    func() // takes the time that removal takes
}

func (f *fake) ID() string { return f.id }

func (f *fake) Invoke(_ context.Context, inv *alcove.Invocation, _ environment.InvokeOptions) (*alcove.Result, error) {
	if f.closed.Load() {
		return nil, environment.ErrNotHandedOver
	}
	f.bound.CompareAndSwap(nil, &inv.Tenant)
	if *f.bound.Load() != inv.Tenant || f.tenant != "" && f.tenant != inv.Tenant || inv.Version.FunctionID != f.version.FunctionID || inv.Version.Generation != f.version.Generation {
		f.t.Errorf("environment of %s for %q got an invocation of %s for %q", f.version.FunctionID, *f.bound.Load(), inv.Version.FunctionID, inv.Tenant)
	}
	if !f.inUse.CompareAndSwap(false, true) {
		f.t.Errorf("environment %s has two invocations at once", f.id)
	}
	time.Sleep(time.Duration(rand.IntN(5)) * time.Millisecond)
	f.inUse.Store(false)
	f.hooks.OnFree()
	return &alcove.Result{}, nil
}

func (f *fake) Status() environment.Status {
	return environment.Status{ID: f.id, Memory: max(1<<20, f.memory.Load())}
}

func (f *fake) Close() {
	f.once.Do(func() {
		f.closed.Store(true)
		go func() {
			f.end()
			f.hooks.OnEnd()
			close(f.ended)
		}()
	})
}
func (f *fake) Kill()                  { f.Close() }
func (f *fake) Ended() <-chan struct{} { return f.ended }

// fakes makes them, and knows what was made.
type fakes struct {
	t        testing.TB
	mu       sync.Mutex
	made     []*fake
	initTook time.Duration
	endTook  time.Duration
	alive    int // made and not ended
	peak     int
	initErr  error
	current  func(*alcove.Version) bool
}

func (fs *fakes) start(v *alcove.Version, tenant alcove.Tenant, o StartOptions, h Hooks) (Environment, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f := &fake{t: fs.t, id: fmt.Sprintf("%06d", len(fs.made)), version: v, tenant: tenant, hooks: h, ended: make(chan struct{}), end: fs.end}
	fs.alive++
	fs.peak = max(fs.peak, fs.alive)
	fs.made = append(fs.made, f)
	go func() {
		time.Sleep(fs.initTook)
		fs.mu.Lock()
		failed := fs.initErr
		fs.mu.Unlock()
		if failed != nil {
			h.OnInit(failed)
			f.Close()
			return
		}
		h.OnInit(nil)
		h.OnFree()
	}()
	return f, nil
}

func (fs *fakes) end() {
	if fs.endTook > 0 {
		time.Sleep(fs.endTook)
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.alive--
}

// most is how many existed at once.
func (fs *fakes) most() int {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.peak
}

// all are those that were made so far.
func (fs *fakes) all() []*fake {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return slices.Clone(fs.made)
}

func (fs *fakes) count() int {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return len(fs.made)
}

func newPool(fs *fakes, limit int, change func(*Config)) *Pool {
	cfg := Config{
		Start:         fs.start,
		Current:       func(v *alcove.Version) bool { return fs.current == nil || fs.current(v) },
		Cap:           func(*alcove.Version) int { return limit },
		TenantIdleMin: time.Minute, KeepAlive: 10 * time.Minute, Creators: 2, Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&cfg)
	}
	return New(cfg)
}

func isolated(id string) *alcove.Version {
	return &alcove.Version{FunctionID: id, Name: id, Number: alcove.Latest, Generation: 1, Config: alcove.Config{Tenancy: alcove.PerTenant}}
}

func lease(t testing.TB, p *Pool, v *alcove.Version, tenant alcove.Tenant) Environment {
	t.Helper()
	l, err := p.Lease(t.Context(), v, tenant, StartOptions{})
	if err != nil {
		t.Fatalf("Lease for %q: %v", tenant, err)
	}
	return l.Environment
}

func invoke(t testing.TB, env Environment, v *alcove.Version, tenant alcove.Tenant) {
	t.Helper()
	if _, err := env.Invoke(t.Context(), &alcove.Invocation{Version: v, Tenant: tenant}, environment.InvokeOptions{}); err != nil {
		t.Fatalf("Invoke for %q: %v", tenant, err)
	}
}
