// Package pool keeps the execution environments of this node, by version and
// tenant: it leases them to invocations, has new ones made, and ends those that
// are idle, stale or in the way.
//
// What it promises: an environment is leased to one invocation at a time; one
// made for a tenant is only ever leased to that tenant; and one whose version is
// no longer current is never leased again. Which environments go, and how many
// there may be, is decided in pool/policy.
//
// The pool runs no function and opens no file: it asks Config.Start for
// environments and is told of their lives through Hooks.
package pool

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/environment"
	"github.com/alcove-run/alcove/pool/policy"
)

// Environment is what the pool and the invoke path need of an
// *environment.Environment.
type Environment interface {
	ID() string
	Invoke(ctx context.Context, inv *alcove.Invocation, o environment.InvokeOptions) (*alcove.Result, error)
	Status() environment.Status
	Close()
	Kill()
	Ended() <-chan struct{}
}

// Hooks are how an environment tells the pool of its life. They are called by
// the environment's goroutine.
type Hooks struct {
	OnInit func(err error)
	OnFree func()
	OnEnd  func()
}

// Config is what a pool is made from.
type Config struct {
	// Start begins to make an environment for tenant.
	Start func(v *alcove.Version, tenant alcove.Tenant, o StartOptions, h Hooks) (Environment, error)
	// MaxAge is how long an environment is used: one that is older takes no further
	// invocation. Zero is for ever.
	MaxAge time.Duration
	// Current says whether v is still what its function runs.
	Current func(v *alcove.Version) bool
	// Cap is how many tenant environments v's function may have.
	Cap func(v *alcove.Version) int
	// TenantShare is how much of Cap one tenant may have, from 0 to 1; zero is
	// taken for 1.
	TenantShare float64
	// TenantIdleMin is how long an environment must have been idle before it may
	// go for another tenant's sake.
	TenantIdleMin time.Duration
	// KeepAlive is how long an idle environment is kept while it is not known
	// when its tenant comes; see policy.Keeping.
	KeepAlive time.Duration
	// Memory is the budget for all environments in bytes; zero means none.
	Memory int64
	// Left is how many bytes sandboxes of an earlier process still hold that are
	// being removed, and falls to zero: environments are made in what they leave of
	// Memory, and calls wait for that. It must not block; nil is none.
	Left func() int64
	// Disk watches the disk; without Lack nobody does.
	Disk Disk
	// Environments is how many there may be on this node, in whatever state: each
	// holds file descriptors. Zero is no bound. Places is how many of them one of v
	// counts for, because it may hold more than others; nil is one.
	Environments int
	Places       func(v *alcove.Version) int
	// Stock bounds how many environments of v wait for tenants they do not know
	// yet; nil keeps none.
	Stock func(v *alcove.Version) policy.Bounds
	// Provisioned is how many environments of a version of an ordinary function
	// are kept whether anybody invokes it or not; nil keeps none.
	Provisioned func(v *alcove.Version) int
	// RuntimeStock makes environments before their function is known; without it
	// there are none.
	RuntimeStock RuntimeStock
	// Creators is how many environments may be in Init at once for calls that
	// wait.
	Creators int
	// Refillers is how many environments may be in Init at once, those that
	// calls wait for included, for one more to be begun that nobody waits for;
	// half of Creators if zero.
	Refillers int
	Log       *slog.Logger
}

// StartOptions are an environment's that belong to the invocation it is made for.
type StartOptions struct {
	// Suppressed: Init failed before and is now part of the invocation.
	Suppressed bool
	// LogStream is the failed environment's, which the new one goes on with.
	LogStream string
	// Provisioned: it is made for provisioned concurrency, for nobody yet.
	Provisioned bool
	// Background: nobody waits for the answer.
	Background bool
	// HandedBack is the environment that had the invocation before and gave it
	// back, if one did.
	HandedBack Environment
}

// Pool is this node's environments.
type Pool struct {
	cfg  Config
	stop chan struct{}
	done sync.WaitGroup
	// diskShort says that the disk is short of its reserve.
	diskShort atomic.Bool

	mu sync.Mutex
	// The fields below are guarded by mu.
	closed    bool
	entries   map[Environment]*entry
	functions map[string]*function // by function id
	holders   map[string]*holder   // by holder.key
	habits    *habits
	making    int // environments in Init for a waiting call
	queue     creationQueue
	stocking  int // environments in Init for a stock
	stocked   int // environments that wait in stocks
	short     []*stock
	shelves   map[environment.Shape]*shelf
	refilling bool  // refill is about to be called
	memory    int64 // bytes that all environments are charged
	existing  int   // places of environments begun and not gone
	staying   int   // of those of them that are not on their way out
	ahead     int64 // bytes of those in Init for nobody yet
	// placesAhead are the places of those in Init for nobody yet.
	placesAhead int
	promised    int64 // bytes for environments that calls wait for and that are not begun
}

// function is what the pool knows of one function.
type function struct {
	groups map[groupKey]*group
	stocks map[string]*stock // by version number
	// tenants counts tenant environments that exist, are being made, or are promised.
	tenants int
	// byTenant counts the same for each tenant that has any.
	byTenant map[alcove.Tenant]int
	idle     idleList
	// typical is what an environment of the function was last seen to use, in
	// bytes; zero before one was measured.
	typical int64
	// restart is how long a caller of the function waits for an environment;
	// zero before one was made.
	restart time.Duration
}

// count adds n to what tenant has of f.
func (f *function) count(tenant alcove.Tenant, n int) {
	f.tenants += n
	if f.byTenant[tenant] += n; f.byTenant[tenant] == 0 {
		delete(f.byTenant, tenant)
	}
}

// holder is for whom environments are made and held: a tenant, whichever
// functions it uses, or a function without tenants. Between holders the pool is
// fair.
type holder struct {
	key     string
	groups  map[*group]bool
	entries int   // environments that exist or are being made
	memory  int64 // bytes that they are charged
}

type groupKey struct {
	number     string
	generation int64
	tenant     alcove.Tenant
}

// group is the environments and the waiting invocations of one version and tenant.
type group struct {
	fn      *function
	fnID    string
	key     groupKey
	holder  *holder
	habit   *habit
	version *alcove.Version
	idle    []*entry  // most recently used last
	waiters []*waiter // first come first
	entries int
}

// entry is one environment in the pool.
type entry struct {
	env     Environment
	version *alcove.Version
	group   *group  // whose it is; nil while it is in stock
	stock   *stock  // where it waits for a tenant; nil once it has one
	shelf   *shelf  // where it waits for a function, and has no version
	made    *waiter // for whom it is being made; nil after Init
	why     string  // why that one got nothing quicker
	// wasBlank: it was specialised, so its Init says nothing of how long others take.
	wasBlank bool
	idle     bool
	began    time.Time // when it was begun
	since    time.Time // when it became idle, or ready in stock
	counts   bool      // against the function's cap
	memory   int64     // bytes charged to the budget
	ahead    int64     // of those, while it is made for nobody yet
	// measured says that typical has learnt from it.
	measured   bool
	prev, next *entry // in the function's idle list
}

// waiter is an invocation that waits for an environment.
type waiter struct {
	group  *group
	reply  chan leased // has room for one
	done   bool        // replied to, or gone
	began  bool        // an environment is being made for it
	opts   StartOptions
	why    string // there is nothing quicker for it
	memory int64  // bytes promised
	places int    // that an environment for it takes
	parked *entry // nothing is promised: it waits for that one to come back or end
}

type leased struct {
	lease Lease
	err   error
}

// Lease is an environment that belongs to one invocation until it is free again.
type Lease struct {
	Environment Environment
	// Waited says that the caller waited for the environment's Init.
	Waited bool
	// Why says in a few words why there was nothing quicker.
	Why string
}

// newEnvironmentMemory is what an environment is charged before any of its
// function was measured.
const newEnvironmentMemory = 24 << 20

// New makes an empty pool.
func New(cfg Config) *Pool {
	if cfg.TenantShare == 0 {
		cfg.TenantShare = 1
	}
	if cfg.Stock == nil {
		cfg.Stock = func(*alcove.Version) policy.Bounds { return policy.Bounds{} }
	}
	if cfg.Provisioned == nil {
		cfg.Provisioned = func(*alcove.Version) int { return 0 }
	}
	if cfg.Refillers == 0 {
		cfg.Refillers = max(1, cfg.Creators/2)
	}
	p := &Pool{
		cfg:       cfg,
		stop:      make(chan struct{}),
		entries:   make(map[Environment]*entry),
		functions: make(map[string]*function),
		shelves:   make(map[environment.Shape]*shelf),
		holders:   make(map[string]*holder),
		habits:    newHabits(maxHabits),
	}
	p.done.Go(p.sweepLoop)
	if cfg.Disk.Lack != nil {
		p.done.Go(p.diskLoop)
	}
	if cfg.Left != nil {
		p.done.Go(p.leftLoop)
	}
	return p
}

// Status lists the environments.
func (p *Pool) Status() []environment.Status {
	p.mu.Lock()
	envs := make([]Environment, 0, len(p.entries))
	for env := range p.entries {
		envs = append(envs, env)
	}
	p.mu.Unlock()
	out := make([]environment.Status, len(envs))
	for i, env := range envs {
		out[i] = env.Status()
	}
	return out
}

// InUse says whether an environment of the pool looks at the package of that
// digest.
func (p *Pool) InUse(sha256 string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.entries {
		if e.version != nil && slices.Contains(e.version.Packages(), sha256) {
			return true
		}
	}
	return false
}

// Close ends every environment and waits until nothing of them is left, or ctx
// ends. Invocations that are under way finish first unless ctx ends before.
func (p *Pool) Close(ctx context.Context) error {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.stop)
	}
	envs := make([]Environment, 0, len(p.entries))
	for env := range p.entries {
		envs = append(envs, env)
	}
	p.mu.Unlock()
	for _, env := range envs {
		go env.Close()
	}
	killed := false
	for _, env := range envs {
		select {
		case <-env.Ended():
			continue
		case <-ctx.Done():
		}
		if !killed {
			killed = true
			for _, other := range envs {
				go other.Kill()
			}
		}
		<-env.Ended()
	}
	p.done.Wait()
	return ctx.Err()
}
