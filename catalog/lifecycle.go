package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/artifact"
	"github.com/alcove-run/alcove/store"
)

// job is a function of which something may wait for Prepare.
type job struct{ name, id string }

// jobs is the queue of jobs; it holds each once.
type jobs struct {
	mu     sync.Mutex
	filled *sync.Cond
	queue  []job        // guarded by mu
	queued map[job]bool // guarded by mu
	busy   map[job]bool // guarded by mu; taken and not yet done
	closed bool         // guarded by mu
}

func (q *jobs) init() {
	q.filled = sync.NewCond(&q.mu)
	q.queued, q.busy = make(map[job]bool), make(map[job]bool)
}

func (q *jobs) add(j job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.queued[j] {
		return
	}
	q.queued[j] = true
	q.queue = append(q.queue, j)
	q.filled.Signal()
}

func (q *jobs) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.filled.Broadcast()
}

// take waits for a job whose function nobody works on.
func (q *jobs) take() (job, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		if q.closed {
			return job{}, false
		}
		for i, j := range q.queue {
			if !q.busy[j] {
				q.queue = append(q.queue[:i], q.queue[i+1:]...)
				delete(q.queued, j)
				q.busy[j] = true
				return j, true
			}
		}
		q.filled.Wait()
	}
}

func (q *jobs) done(j job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.busy, j)
	q.filled.Broadcast()
}

// drive has what waits for Prepare in v's function driven on.
func (c *Catalog) drive(v *alcove.Version) {
	q := &c.jobs
	if v.FromImage() {
		q = &c.images
	}
	q.add(job{v.Name, v.FunctionID})
}

// prepares works on jobs until the catalog closes.
func (c *Catalog) prepares(q *jobs) {
	for {
		j, ok := q.take()
		if !ok {
			return
		}
		c.prepare(j)
		q.done(j)
	}
}

// prepare drives one function on, a step at a time, for as long as it is the
// same function and a step got it further.
func (c *Catalog) prepare(j job) {
	var last *alcove.Version
	for c.ctx.Err() == nil {
		e := c.view.Load().functions[j.name]
		if e == nil || e.function.ID != j.id {
			return
		}
		v, write := c.nextStep(e)
		if v == nil || v == last {
			return
		}
		ctx, end := c.whileWanted(j, v)
		err := c.cfg.Prepare(ctx, v)
		unwanted := errors.Is(context.Cause(ctx), artifact.ErrUnwanted)
		end()
		if !unwanted {
			c.settle(j, v, err, write)
		}
		c.code.kick() // the package before it may be nobody's now
		last = v
	}
}

// whileWanted is a context for Prepare of v, which ends with artifact.ErrUnwanted when
// its function is deleted, or the version itself.
func (c *Catalog) whileWanted(j job, v *alcove.Version) (ctx context.Context, end func()) {
	ctx, cancel := context.WithCancelCause(c.ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		err := c.waiting.wait(ctx, c, func() bool {
			e := c.view.Load().functions[j.name]
			return e == nil || e.function.ID != j.id || v.Number != alcove.Latest && e.versions[v.Number].Version == nil
		})
		if err == nil {
			cancel(artifact.ErrUnwanted)
		}
	})
	return ctx, func() {
		cancel(nil)
		watch.Wait()
	}
}

// nextStep gives what waits for Prepare in a function, and how its outcome is
// written: pending versions first, so that they can run once $LATEST says that
// it can.
func (c *Catalog) nextStep(e *entry) (*alcove.Version, func(*alcove.Version, outcome) error) {
	for _, n := range e.numbers {
		if v := e.versions[n]; v.State == alcove.StatePending {
			return v.Version, c.settleVersion
		}
	}
	if e.record.pending() {
		return e.latest, c.settleLatest
	}
	return nil, nil
}

// settle records how Prepare ended, trying again for as long as the records
// cannot be written. When the catalog closes it leaves the rest to the next Open.
func (c *Catalog) settle(j job, v *alcove.Version, prepareErr error, write func(*alcove.Version, outcome) error) {
	if c.ctx.Err() != nil {
		return
	}
	o := c.outcome(j, v, prepareErr)
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		err := write(v, o)
		if err == nil || c.ctx.Err() != nil {
			return
		}
		c.log.Error("state of a function could not be recorded", "function", j.name, "version", v.Number, "error", err, "retryIn", wait)
		select {
		case <-time.After(wait):
		case <-c.ctx.Done():
			return
		}
	}
}

// outcome is what a version's life goes on with.
type outcome struct {
	ok           bool
	reason, code string
}

func (c *Catalog) outcome(j job, v *alcove.Version, err error) outcome {
	if err == nil {
		return outcome{ok: true}
	}
	c.log.Warn("function cannot run", "function", j.name, "id", j.id, "version", v.Number, "error", err)
	if e, ok := errors.AsType[*alcove.NotReady](err); ok {
		return outcome{reason: e.Reason, code: e.Code}
	}
	if e, ok := errors.AsType[*alcove.Error](err); ok && e.Fault == alcove.FaultClient {
		return outcome{reason: e.Message, code: "InvalidConfiguration"}
	}
	return outcome{reason: "The function could not be made ready to run because of an internal error.", code: "InternalError"}
}

// settleLatest records the outcome for $LATEST as it was when Prepare began. It
// is nothing to it if the function changed since.
func (c *Catalog) settleLatest(v *alcove.Version, o outcome) error {
	defer c.lock(v.Name)()
	err := c.edit(c.ctx, v.Name, func(e *entry, r *record) error {
		if r.Function.ID != v.FunctionID || r.Latest.RevisionID != v.RevisionID || !r.pending() {
			return errUnchanged
		}
		next := &r.Latest
		next.RevisionID = newRevision() // as on AWS (recorded)
		switch {
		case o.ok:
			next.State, next.StateReason, next.StateReasonCode = alcove.StateActive, "", ""
			next.Update, next.UpdateReason, next.UpdateReasonCode = alcove.UpdateSuccessful, "", ""
			r.Running = nil
		case next.State == alcove.StatePending:
			next.State, next.StateReason, next.StateReasonCode = alcove.StateFailed, o.reason, o.code
			next.Update, next.UpdateReason, next.UpdateReasonCode = alcove.UpdateFailed, o.reason, o.code
		default:
			next.Update, next.UpdateReason, next.UpdateReasonCode = alcove.UpdateFailed, o.reason, o.code
		}
		return nil
	})
	return settled(err)
}

// settled takes for done what is no longer to do: the function is gone, or is
// another one.
func settled(err error) error {
	e, ok := errors.AsType[*alcove.Error](err)
	if err == errUnchanged || ok && e.Code == alcove.CodeResourceNotFound {
		return nil
	}
	return err
}

// settleVersion records the outcome for a published version.
func (c *Catalog) settleVersion(v *alcove.Version, o outcome) error {
	defer c.lock(v.Name)()
	e := c.view.Load().functions[v.Name]
	if e == nil || e.function.ID != v.FunctionID || e.versions[v.Number].Version != v {
		return nil
	}
	next := *v
	next.State, next.StateReason, next.StateReasonCode = alcove.StateActive, "", ""
	next.Update, next.UpdateReason, next.UpdateReasonCode = alcove.UpdateSuccessful, "", ""
	if !o.ok {
		next.State, next.StateReason, next.StateReasonCode = alcove.StateFailed, o.reason, o.code
		next.Update, next.UpdateReason, next.UpdateReasonCode = alcove.UpdateFailed, o.reason, o.code
	}
	b, err := json.Marshal(&next)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.ctx, writeTimeout)
	defer cancel()
	revision, err := c.bucket.Update(ctx, versionKey(v.FunctionID, v.Number), b, e.versions[v.Number].revision)
	if errors.Is(err, store.ErrConflict) {
		return nil // another node was faster
	}
	if err != nil {
		return err
	}
	return c.waiting.wait(ctx, c, func() bool {
		now := c.view.Load().functions[v.Name]
		return now == nil || now.function.ID != v.FunctionID || now.versions[v.Number].revision >= revision ||
			now.versions[v.Number].Version == nil
	})
}
