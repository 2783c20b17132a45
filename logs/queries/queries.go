// Package queries runs Logs Insights queries over the log store: some at a time,
// whoever asks, and keeps their results for a while.
//
// It owns no files. What queries hold and what of them is kept is bounded, as are
// their number, each one's time, and the processors that all of them together take
// from invocations. A party (a tenant, or an access key) that asks for much waits
// for itself alone: the party with the fewest queries at work is next, of several the
// one whose turn was longest ago, and results that make room for others are those of
// the party that has most.
//
// A query and its results are gone after [Config.Keep], or when the node ends.
package queries

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/internal/turns"
	"github.com/alcove-run/alcove/logs"
	"github.com/alcove-run/alcove/logs/insights"
)

// Config is what a [Runner] is made from.
type Config struct {
	// Lines reads the store: [logs.Store.Lines].
	Lines func(ctx context.Context, q logs.Query) iter.Seq2[logs.Line, error]
	// Account is what @log begins with.
	Account string
	Log     *slog.Logger     // nil is silent
	Now     func() time.Time // nil means time.Now

	// AtWork is how many queries run at a time; zero means DefaultAtWork.
	AtWork int
	// Turns are the processors that all of them have; nil means half of the machine's.
	Turns *turns.Turns
	// Active bounds the queries that run or wait, PartyActive those of a party; zero
	// means DefaultActive, DefaultPartyActive.
	Active, PartyActive int
	// Timeout is how long a query may run, Keep how long what ended is kept; zero
	// means DefaultTimeout, DefaultKeep.
	Timeout, Keep time.Duration
	// Results bounds the bytes of all results, compressed, Result those of one,
	// before they are; zero means DefaultResults, DefaultResult.
	Results, Result int
	// Memory bounds what a query holds while it runs; zero means the language's own.
	Memory int
}

// Defaults of [Config].
const (
	DefaultAtWork      = 4
	DefaultActive      = 400
	DefaultPartyActive = 30
	DefaultTimeout     = 15 * time.Minute
	DefaultKeep        = 15 * time.Minute
	DefaultResults     = 32 << 20
	DefaultResult      = 64 << 20
)

// Status is a query's, in AWS's words.
type Status string

// The statuses.
const (
	Scheduled Status = "Scheduled"
	Running   Status = "Running"
	Complete  Status = "Complete"
	Failed    Status = "Failed"
	Cancelled Status = "Cancelled"
	Timeout   Status = "Timeout"
)

// Errors that callers tell apart.
var (
	ErrTooMany  = errors.New("queries: as many queries run or wait as may")
	ErrNotThere = errors.New("queries: no such query")
	ErrEnded    = errors.New("queries: the query has ended")
	ErrClosed   = errors.New("queries: closed")
)

// Owner says whose a query is. Two requests of one caller have the same.
type Owner struct {
	Caller string // an access key, or a role and function
	// Party is who is to wait for its own queries alone.
	Party string
	ARN   string // of the caller, for others to see
}

// Group is a log group that a query reads, and what of it its caller sees.
type Group struct {
	Name string
	// Only, if not nil, is the tenant whose events alone there are to see; Visible,
	// if not nil, leaves out the events of tenants that it is false for.
	Only    *alcove.Tenant
	Visible func(alcove.Tenant) bool
}

// Request is a query to be run.
type Request struct {
	Owner  Owner
	Text   string
	Query  *insights.Query // of the text
	Groups []Group
	// Since is included, Until is not.
	Since, Until time.Time
	Rows         int // of the answer, at most; zero is the language's own
}

// Statistics count what a query looked at.
type Statistics struct {
	Matched, Scanned, Bytes int64
	Groups                  int
}

// Info is what there is to know of a query beside its results.
type Info struct {
	ID      string
	Request Request
	Status  Status
	Created time.Time
	// Took is how long it has been running.
	Took time.Duration
	Statistics
}

// Runner runs queries. Its methods are for any number of goroutines.
type Runner struct {
	cfg  Config
	ctx  context.Context
	stop context.CancelFunc
	work sync.WaitGroup

	mu     sync.Mutex
	closed bool            // guarded by mu, as all below
	jobs   map[string]*job // by id
	queue  []*job          // that wait, as they came
	atWork int
	// turns says when a party had its last turn, as a number that grows.
	turns map[string]uint64
	turn  uint64
}

// New makes a runner.
func New(c Config) *Runner {
	for _, d := range []struct {
		value *int
		zero  int
	}{{&c.AtWork, DefaultAtWork}, {&c.Active, DefaultActive}, {&c.PartyActive, DefaultPartyActive},
		{&c.Results, DefaultResults}, {&c.Result, DefaultResult}} {
		if *d.value <= 0 {
			*d.value = d.zero
		}
	}
	if c.Turns == nil {
		c.Turns = turns.New(max(1, runtime.NumCPU()/2))
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Keep <= 0 {
		c.Keep = DefaultKeep
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	r := &Runner{cfg: c, jobs: make(map[string]*job), turns: make(map[string]uint64)}
	r.ctx, r.stop = context.WithCancel(context.Background())
	return r
}

// Close ends every query and waits for those at work.
func (r *Runner) Close() error {
	r.mu.Lock()
	r.closed = true
	r.queue = nil
	for _, j := range r.jobs {
		r.drop(j)
	}
	r.mu.Unlock()
	r.stop()
	r.work.Wait()
	return nil
}

// Start begins a query, or has it wait for its turn, and gives its id. Its errors are
// ErrTooMany and ErrClosed.
func (r *Runner) Start(q Request) (id string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return "", ErrClosed
	}
	active, own := 0, 0
	for _, j := range r.jobs {
		if !j.ended() {
			active++
			if j.request.Owner.Party == q.Owner.Party {
				own++
			}
		}
	}
	if active >= r.cfg.Active || own >= r.cfg.PartyActive {
		return "", ErrTooMany
	}
	j := &job{id: uuid.NewString(), request: q, status: Scheduled, created: r.cfg.Now()}
	r.jobs[j.id] = j
	r.queue = append(r.queue, j)
	r.schedule()
	return j.id, nil
}

// schedule puts queries to work while there is room. r.mu is held.
func (r *Runner) schedule() {
	for r.atWork < r.cfg.AtWork && len(r.queue) > 0 && !r.closed {
		running := make(map[string]int) // those that run, of each party that is known
		for _, j := range r.jobs {
			running[j.request.Owner.Party] += 0
			if j.status == Running {
				running[j.request.Owner.Party]++
			}
		}
		maps.DeleteFunc(r.turns, func(p string, _ uint64) bool { _, known := running[p]; return !known })
		next := 0
		for i, j := range r.queue {
			p, o := j.request.Owner.Party, r.queue[next].request.Owner.Party
			if running[p] < running[o] || running[p] == running[o] && r.turns[p] < r.turns[o] {
				next = i
			}
		}
		j := r.queue[next]
		r.turn++
		r.turns[j.request.Owner.Party] = r.turn
		r.queue = slices.Delete(r.queue, next, next+1)
		j.status, j.began = Running, r.cfg.Now()
		var ctx context.Context
		ctx, j.cancel = context.WithTimeoutCause(r.ctx, r.cfg.Timeout, errTimeout)
		j.gone = make(chan struct{})
		r.atWork++
		q := j.request
		r.work.Go(func() { r.run(ctx, j, q) })
	}
}

// Info tells of a query.
func (r *Runner) Info(id string) (Info, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	j, ok := r.jobs[id]
	if !ok {
		return Info{}, ErrNotThere
	}
	return r.info(j), nil
}

// info is Info with r.mu held.
func (r *Runner) info(j *job) Info {
	i := Info{ID: j.id, Request: j.request, Status: j.status, Created: j.created, Statistics: j.seen}
	switch {
	case j.status == Running:
		i.Took = r.cfg.Now().Sub(j.began)
	case !j.began.IsZero():
		i.Took = j.endedAt.Sub(j.began)
	}
	return i
}

// List tells of all queries, the newest first; of those of one millisecond the one with
// the greatest id.
func (r *Runner) List() []Info {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := []Info{}
	for _, j := range r.jobs {
		list = append(list, r.info(j))
	}
	slices.SortFunc(list, func(a, b Info) int {
		return cmp.Or(cmp.Compare(b.Created.UnixMilli(), a.Created.UnixMilli()), cmp.Compare(b.ID, a.ID))
	})
	return list
}

// Stop cancels a query that runs or waits.
func (r *Runner) Stop(id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	j, ok := r.jobs[id]
	switch {
	case !ok:
		return ErrNotThere
	case j.ended():
		return ErrEnded
	}
	if j.cancel != nil {
		j.cancel()
	}
	r.queue = slices.DeleteFunc(r.queue, func(o *job) bool { return o == j })
	r.finish(j, Cancelled)
	return nil
}

// Results gives rows of a query's answer, from the one of that number on, each as the
// JSON of a list of fields, and how many rows there are; of a query that runs, those
// that are there already. It gives so many at most, and no more than fit into so many
// bytes, but one.
func (r *Runner) Results(id string, from, most, bytes int) (rows [][]byte, info Info, all int, err error) {
	r.mu.Lock()
	j, ok := r.jobs[id]
	if !ok {
		r.mu.Unlock()
		return nil, Info{}, 0, ErrNotThere
	}
	info = r.info(j)
	pages, all := j.pages.view()
	r.mu.Unlock()
	rows, err = pages.rows(from, most, bytes)
	return rows, info, all, err
}

// PurgeTenant forgets every query that may have seen the tenant's events, and returns
// when none of them is at work. It is for when the store has none of them any more.
func (r *Runner) PurgeTenant(ctx context.Context, tenant alcove.Tenant) error {
	var working []*job
	r.mu.Lock()
	for _, j := range r.jobs {
		if j.mayHold(tenant) {
			if j.cancel != nil && !j.done {
				working = append(working, j)
			}
			r.queue = slices.DeleteFunc(r.queue, func(o *job) bool { return o == j })
			r.drop(j)
		}
	}
	r.mu.Unlock()
	for _, j := range working {
		select {
		case <-j.gone:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
