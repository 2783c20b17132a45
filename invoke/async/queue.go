package async

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/invoke"
	"github.com/alcove-run/alcove/invoke/async/spool"
	"github.com/alcove-run/alcove/invoke/async/turn"
)

// Invoker runs a function once.
type Invoker interface {
	Invoke(ctx context.Context, caller alcove.Caller, req invoke.Request) (*alcove.Result, error)
	// Check says whether an invocation would be begun, but for whether there is
	// room for it now.
	Check(req invoke.Request) (*alcove.Version, error)
}

// Catalog is what the queue reads of the desired state, from memory.
type Catalog interface {
	Resolve(ref alcove.Ref) (*alcove.Version, error)
	Function(name string) (*alcove.Function, error)
}

// Limits bound what waits.
type Limits struct {
	// Events is how many events of all may wait, PartyEvents how many of one
	// tenant, or of one function without tenants.
	Events, PartyEvents int
	// Bytes is how much of the disk they may take, PartyBytes how much of it one
	// party's.
	Bytes, PartyBytes int64
	// Reserve is how many bytes of the disk stay free: below, nothing is accepted.
	Reserve int64
	// Keys is how many results are kept for idempotency keys.
	Keys int
}

// Config is what a Queue is made from.
type Config struct {
	FS      spool.FS
	Invoker Invoker
	Catalog Catalog
	// EventInvoke gives the event invoke config of a function or a qualifier, or
	// nil.
	EventInvoke func(ref alcove.Ref) *alcove.EventInvokeConfig
	// Trace decides on the trace that an event's runs come under; taken is called when
	// the event is kept. Nil leaves it to each run.
	Trace func(v *alcove.Version, req invoke.Request) (t alcove.Trace, taken func())
	// Deliver sends results to destinations that are no functions of this node;
	// nil has none.
	Deliver Deliverer
	Place   alcove.Place
	// Runs is how many runs of events may be under way at once, Deliveries how
	// many results may be on their way.
	Runs, Deliveries int
	Limits           Limits
	// Free tells how many bytes of the disk are free; nil is endless.
	Free func() (int64, error)
	// Record is told of a call before it has an effect, where no report of a run will
	// stand for it: an event that is about to be kept, or a call that is answered with
	// what an earlier one was (repeated). The id is the event's, or the first call's. If
	// it cannot be recorded, it is not done. Nil is nobody.
	Record func(caller alcove.Caller, req invoke.Request, requestID string, repeated bool) error
	// Observe is told of what AWS has metrics of; nil is nobody.
	Observe func(Observation)
	Log     *slog.Logger

	// Wall is the system's clock, which may be set; Elapsed is one that only goes
	// on. Nil are the real ones.
	Wall    func() time.Time
	Elapsed func() time.Duration
	// SegmentBytes is the spool's.
	SegmentBytes int64
}

// Queue is the events of this node. Its methods are for any number of goroutines.
type Queue struct {
	cfg   Config
	log   *slog.Logger
	spool *spool.Spool

	// base is what the system's clock said at Open: the queue's own time goes on
	// from there, whatever becomes of the clock. See clock.go.
	base time.Time

	// ctx ends when the queue is closed.
	ctx    context.Context
	cancel context.CancelCauseFunc
	// work is runs, deliveries and what goes on in the background.
	work sync.WaitGroup
	// moving is held by whoever moves records to other segments.
	moving sync.Mutex
	// surveying guards surveyed: when the lanes' oldest events were looked for.
	surveying sync.Mutex
	surveyed  time.Time
	// kick has the background look at the timers again.
	kick chan struct{}

	mu sync.Mutex
	// The fields below are guarded by mu.
	started  bool
	closed   bool
	offset   int64 // milliseconds from the queue's time to the system's
	seq      uint64
	items    table
	lanes    []*lane
	freeLane []uint32
	byKey    map[laneKey]uint32
	// byFunction has the lanes of each function by its id.
	byFunction map[string]map[uint32]struct{}
	parties    map[string]*party
	turns      *turn.Turns
	outlets    []*outlet
	freeOut    []uint32
	byTarget   map[outletKey]uint32
	sends      *turn.Turns
	timers     timers
	keys       map[digest]uint32
	keyLine    []keyEntry // the oldest first
	keyBytes   int64
	flights    map[digest]*flight
	depth      int   // events that are not dead
	bytes      int64 // that their records take
	dead       int
	deadSize   int64
	// owed is what could not be written.
	owed []func() error
	// wake is when the background wakes up by itself; zero is never.
	wake   time.Time
	counts map[string]*Counts
	totals Counts
}

// laneKey names a lane: who is invoked, and for whom.
type laneKey struct {
	functionID, name, qualifier string
	tenant                      alcove.Tenant
}

// lane is the events of one function, qualifier and tenant.
type lane struct {
	key     laneKey
	index   uint32
	party   *party
	turn    *turn.Lane
	ready   list
	dead    list
	delayed int
	running int
	owed    int
	bytes   int64
	oldest  int64 // when its oldest event was accepted, when that was looked for
}

// party is what one tenant has, or one function without tenants.
type party struct {
	key    string
	lanes  int
	events int // that are not dead
	bytes  int64
	dead   int64 // bytes of dead letters
	keys   int
	kept   int64 // bytes of results of idempotency keys
}

// Open reads what is in the spool and goes on with it.
func Open(cfg Config) (*Queue, error) {
	if cfg.Wall == nil {
		cfg.Wall = time.Now
	}
	if cfg.Elapsed == nil {
		began := time.Now()
		cfg.Elapsed = func() time.Duration { return time.Since(began) }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.EventInvoke == nil {
		cfg.EventInvoke = func(alcove.Ref) *alcove.EventInvokeConfig { return nil }
	}
	if cfg.Free == nil {
		cfg.Free = func() (int64, error) { return 1 << 60, nil }
	}
	if cfg.Record == nil {
		cfg.Record = func(alcove.Caller, invoke.Request, string, bool) error { return nil }
	}
	if cfg.Observe == nil {
		cfg.Observe = func(Observation) {}
	}
	q := &Queue{
		cfg: cfg, log: cfg.Log, kick: make(chan struct{}, 1),
		items: newTable(), byKey: map[laneKey]uint32{}, byFunction: map[string]map[uint32]struct{}{}, parties: map[string]*party{}, turns: turn.New(max(1, cfg.Runs)),
		byTarget: map[outletKey]uint32{}, sends: turn.New(max(1, cfg.Deliveries)),
		keys: map[digest]uint32{}, flights: map[digest]*flight{}, counts: map[string]*Counts{},
	}
	q.ctx, q.cancel = context.WithCancelCause(context.Background())
	q.base = cfg.Wall().Round(0).Add(-cfg.Elapsed())
	if err := q.recover(); err != nil {
		return nil, fmt.Errorf("event queue: %w", err)
	}
	return q, nil
}

// Start begins to run events.
func (q *Queue) Start() {
	q.work.Go(q.tick)
	q.mu.Lock()
	q.started = true
	q.dispatch()
	q.mu.Unlock()
}

var errClosing = errors.New("event queue: closing")

// Close stops accepting and beginning, and waits for what is under way until ctx
// ends. What has not ended by then runs again after the next Open.
func (q *Queue) Close(ctx context.Context) error {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return nil
	}
	q.closed = true
	q.mu.Unlock()
	q.cancel(errClosing)
	done := make(chan struct{})
	go func() {
		q.work.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		q.log.Warn("event runs were cut off and will be repeated", "runs", q.turns.Running())
	}
	return q.spool.Close()
}

// party finds or makes the party of a lane.
func (q *Queue) party(key string) *party {
	p := q.parties[key]
	if p == nil {
		p = &party{key: key}
		q.parties[key] = p
	}
	return p
}

// partyKey says for whom the node is fair.
func partyKey(functionID string, t alcove.Tenant) string {
	if t == "" {
		return "function " + functionID
	}
	return "tenant " + string(t)
}

// lane finds or makes a lane.
func (q *Queue) lane(k laneKey) *lane {
	if i, ok := q.byKey[k]; ok {
		return q.lanes[i]
	}
	p := q.party(partyKey(k.functionID, k.tenant))
	p.lanes++
	l := &lane{key: k, party: p, turn: q.turns.Lane(p.key, k.functionID), ready: newList(), dead: newList()}
	defer func() { l.turn.Tag = l.index }()
	if n := len(q.freeLane); n > 0 {
		l.index, q.freeLane = q.freeLane[n-1], q.freeLane[:n-1]
		q.lanes[l.index] = l
	} else {
		l.index = uint32(len(q.lanes))
		q.lanes = append(q.lanes, l)
	}
	q.byKey[k] = l.index
	if q.byFunction[k.functionID] == nil {
		q.byFunction[k.functionID] = map[uint32]struct{}{}
	}
	q.byFunction[k.functionID][l.index] = struct{}{}
	return l
}

// forget drops a lane that has nothing and remembers nothing.
func (q *Queue) forget(l *lane, now time.Time) {
	if l.ready.n+l.dead.n+l.delayed+l.running+l.owed > 0 || !q.turns.Quiet(l.turn, now) {
		return
	}
	q.turns.Drop(l.turn)
	delete(q.byKey, l.key)
	if delete(q.byFunction[l.key.functionID], l.index); len(q.byFunction[l.key.functionID]) == 0 {
		delete(q.byFunction, l.key.functionID)
	}
	q.lanes[l.index] = nil
	q.freeLane = append(q.freeLane, l.index)
	l.party.lanes--
	q.forgetParty(l.party)
}

func (q *Queue) forgetParty(p *party) {
	if p.lanes == 0 && p.events == 0 && p.keys == 0 && p.kept == 0 {
		delete(q.parties, p.key)
	}
}

// ref is the function as the events of a lane name it.
func (l *lane) ref() alcove.Ref { return alcove.Ref{Name: l.key.name, Qualifier: l.key.qualifier} }
