// Package environment runs one execution environment: a sandbox, the Runtime API
// that its runtime talks to, the log stream that its output goes to, and the
// invocations that it serves one after another.
//
// One environment is one state machine (state.go), whose state is touched by one
// goroutine at a time (turn.go). Everything that can happen to it, a runtime's
// request, an invocation, a deadline, the end of its process, is an act that takes
// its turn. The phases have a file each: init.go, blank.go, invoke.go, freeze.go,
// shutdown.go.
//
// An environment may be made before its function is known (blank.go): its runtime
// waits, with nobody's code in it, until Specialise makes it one version's.
//
// An environment serves one version, and at most one tenant for life: the first
// invocation binds it, and an invocation for anybody else is refused here, even
// if everything above went wrong. An environment whose state is in doubt (a
// timeout, a crash, an answer to a question nobody asked) ends.
//
// The package owns the host directory of each environment and nothing else on
// disk. It knows nothing of pools, limits or callers.
package environment

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/runtimeapi"
	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/egress/policy"
)

// LogStream is where an environment's log records go. Append must not block.
type LogStream interface {
	Append(tenant alcove.Tenant, at time.Time, message []byte)
}

// TracedStream is a LogStream that is told of which trace records are, if that is
// recorded.
type TracedStream interface {
	LogStream
	AppendTraced(tenant alcove.Tenant, at time.Time, message []byte, t *alcove.Trace)
}

// Config is what an environment is made from. Factory.Config fills it.
type Config struct {
	// ID is 32 lower-case hexadecimal digits.
	ID string
	// Version is what the environment runs, or nil: then the environment is blank,
	// Spec has Late, and Stream and StreamName are empty until Specialise.
	Version *alcove.Version
	// Shape is what a blank environment can become.
	Shape Shape
	// RuntimeVersion is the interpreter's, for the INIT_START record.
	RuntimeVersion string
	// RuntimeVersionARN is the same in the form of an ARN.
	RuntimeVersionARN string

	Driver sandbox.Driver
	// Spare is where Runtime API connections beyond the first few have places.
	Spare *runtimeapi.Spare
	// Network, if it is not nil, is what sandboxes with a link are attached to.
	// Rules say what may be reached from an environment of v's, which is bound to t
	// or to nobody yet; it is called by any goroutine and must not block.
	Network Network
	Rules   func(v *alcove.Version, t alcove.Tenant) policy.Rules
	// Refusals, if it is not nil, remembers what was refused.
	Refusals *Refusals
	// Spec is the sandbox's, but for the socket and the pipes, which are made here.
	Spec sandbox.Spec
	// Tell, if it is not nil, are the variables that the runtime asks for when it
	// runs: Spec.Env is then a blank environment's, for a process that is forked.
	Tell []string
	// Extensions is set for functions with extensions.
	Extensions Extensions
	// OnInternal, if set, is told of a version whose runtime registers an extension
	// where there is no supervisor; the environment ends then, before it has done
	// anything for anybody.
	OnInternal func(*alcove.Version)
	// Linger is the room for environments that take their time to end.
	Linger *Linger
	// Ends, if it is not nil, has a place for each sandbox that is being destroyed.
	Ends Ends
	// Dir is the environment's own host directory; it is created and removed here.
	Dir string

	Stream LogStream
	// StreamName is the log stream's, for listings.
	StreamName string

	// InvalidEntrypoint, if not empty, is why there is nothing to start: Init
	// fails with it, and it is the function's fault.
	InvalidEntrypoint string
	// InvalidWorkingDir is the same of the directory that it is to be started in.
	InvalidWorkingDir string
	// Provisioned says that the environment is made for provisioned concurrency.
	Provisioned bool
	// Suppressed says that Init runs as part of the first invocation, under the
	// function's own timeout, because it failed when it ran by itself.
	Suppressed bool
	// InitTimeout bounds Init; alcove.InitTimeoutSeconds if zero.
	InitTimeout time.Duration
	// SettlePatience is how long an invocation waits for a runtime that has answered the
	// one before but not come back to /next; after that it is handed on. 50 ms if zero.
	SettlePatience time.Duration
	// FreezeAfter is how long the runtime may run on at /next before its
	// processes are frozen; zero means never.
	FreezeAfter time.Duration

	// OnBlank is called once in a turn of a blank environment, when it waits for
	// Specialise. It must not block.
	OnBlank func()
	// OnInit is called once, when Init is done or has failed; the error is an
	// *InitError. It must not block.
	OnInit func(error)
	// OnFree is called in a turn of the environment whenever it could take an
	// invocation: after Init, and as soon as an invocation has been answered. It
	// must not block.
	OnFree func()
	// OnEnd is called once, when nothing of the environment is left.
	OnEnd func()

	Log *slog.Logger
}

// ErrNotHandedOver is Invoke's answer when the environment ended, or took too
// long to come back, before the runtime saw the event: the invocation may be
// given to another environment.
var ErrNotHandedOver = errors.New("environment: the invocation did not reach the runtime")

// ErrWrongTenant is Invoke's answer to an invocation for another tenant, or of
// another version, than the environment belongs to.
var ErrWrongTenant = errors.New("environment: bound to another tenant or version")

// InitError is Invoke's answer when Init failed in an environment that is not
// Suppressed. The invocation did not reach the runtime.
type InitError struct {
	Type string // "Runtime.ImportModuleError", "Sandbox.Timedout", …
	// LogStream is the environment's, for the one that tries again.
	LogStream string
}

// Error gives the type, for logs.
func (e *InitError) Error() string { return "environment: init failed: " + e.Type }

// Environment is one execution environment.
type Environment struct {
	cfg     Config
	created time.Time
	mail    chan func()   // acts that change what loop waits for
	over    chan struct{} // closed with the state Ended
	gone    chan struct{} // has a token when an event's fate has become known
	dead    chan struct{} // closed when loop knows of the state Ended
	ended   chan struct{} // closed when nothing is left
	state   atomic.Int32
	known   atomic.Pointer[known]         // set once, in a turn unless it is at the start
	tenant  atomic.Pointer[alcove.Tenant] // set once, in a turn
	trace   atomic.Pointer[alcove.Trace]  // of the last invocation that began
	frozen  atomic.Bool
	served  atomic.Int64
	birth   atomic.Pointer[birth] // set by the first invocation's report
	memory  memorySample

	server  *runtimeapi.Server
	output  *output
	serving sync.WaitGroup

	turn sync.Mutex
	// Guarded by turn.
	box     sandbox.Sandbox
	boxDone <-chan struct{} // set by loop alone
	waiting *nextCall
	asking  *functionCall
	early   *failure // of an Init that failed before the driver had returned
	current *run     // begun and not answered
	pending *run     // waits for the runtime to come to /next
	// owed is why a suppressed Init failed before its invocation came, which is told.
	owed        *failure
	making      bool // the driver is at work
	wasBlank    bool // it has been specialised
	told        bool // the runtime has had cfg.Tell
	closing     bool // ends as soon as nothing is under way
	initFailed  *failure
	initBegan   time.Time
	initTook    time.Duration
	sandboxMade time.Time
	missed      bool // an invocation was given back because the runtime was not at /next
	deadline    alarm
	freezeAt    alarm
	rest        rest
	weight      weight
	traffic     traffic
	ext         extensions
	supervisor  *supervisor // nil without external extensions
	// Of a runtime beside a supervisor: it was started, and it has ended.
	runtimeStarted, runtimeGone bool
	stopping                    stopping
	killed                      bool // no time is given to anybody
	attached                    bool // to cfg.Network
}

// Start begins to make an environment and returns at once; what becomes of it is
// told by Invoke, Config.OnFree and Config.OnEnd.
func Start(cfg Config) *Environment {
	if cfg.InitTimeout == 0 {
		cfg.InitTimeout = alcove.InitTimeoutSeconds * time.Second
	}
	if cfg.SettlePatience == 0 {
		cfg.SettlePatience = settlePatience
	}
	e := &Environment{
		cfg:      cfg,
		created:  time.Now(),
		mail:     make(chan func()),
		over:     make(chan struct{}),
		gone:     make(chan struct{}, 1),
		dead:     make(chan struct{}),
		ended:    make(chan struct{}),
		deadline: newAlarm(),
		freezeAt: newAlarm(),
	}
	if cfg.Version != nil {
		e.known.Store(&known{cfg.Version, cfg.StreamName})
	}
	e.turn.Lock()
	go e.loop()
	return e
}

// known is what other goroutines may ask for of an environment's function.
type known struct {
	version *alcove.Version
	stream  string
}

// ID is the environment's name in paths and listings.
func (e *Environment) ID() string { return e.cfg.ID }

// Version is what the environment runs; nil while it is blank.
func (e *Environment) Version() *alcove.Version { return e.function().version }

// birth is how an environment's first invocation found it.
type birth struct {
	start alcove.Start
	why   string
}

func (e *Environment) function() known {
	if k := e.known.Load(); k != nil {
		return *k
	}
	return known{}
}

// Trace is the trace of the invocation that runs, or ran last.
func (e *Environment) Trace() alcove.Trace {
	if t := e.trace.Load(); t != nil {
		return *t
	}
	return alcove.Trace{}
}

// Tenant is whom the environment is bound to, and whether it is.
func (e *Environment) Tenant() (alcove.Tenant, bool) {
	if t := e.tenant.Load(); t != nil {
		return *t, true
	}
	return "", false
}

// Ended is closed when nothing of the environment is left.
func (e *Environment) Ended() <-chan struct{} { return e.ended }

// Status is an environment as a listing shows it.
type Status struct {
	ID          string
	Version     *alcove.Version // nil while it is blank
	Shape       Shape           // zero unless it is, or was, blank
	Tenant      alcove.Tenant
	Bound       bool
	State       State
	Frozen      bool
	Isolation   string
	LogStream   string
	Created     time.Time
	Invocations int64
	// Start and StartReason are those of the first invocation's report; empty
	// before it.
	Start       alcove.Start
	StartReason string
	// Memory is what the environment was last seen to use, in bytes.
	Memory int64
}

// Status tells how the environment stands.
func (e *Environment) Status() Status {
	tenant, bound := e.Tenant()
	k := e.function()
	var b birth
	if first := e.birth.Load(); first != nil {
		b = *first
	}
	return Status{
		ID: e.cfg.ID, Version: k.version, Shape: e.cfg.Shape, Tenant: tenant, Bound: bound,
		State: e.State(), Frozen: e.frozen.Load(), Isolation: e.cfg.Driver.Name(),
		LogStream: k.stream, Created: e.created, Start: b.start, StartReason: b.why,
		Invocations: e.served.Load(), Memory: e.memory.now.Load(),
	}
}
