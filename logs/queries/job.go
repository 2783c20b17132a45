package queries

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/internal/turns"
	"github.com/alcove-run/alcove/logs"
	"github.com/alcove-run/alcove/logs/insights"
)

// job is a query that was asked for. Runner.mu guards what changes.
type job struct {
	id      string
	request Request
	created time.Time

	status         Status
	began, endedAt time.Time
	cancel         context.CancelFunc // of one at work
	seen           Statistics
	pages          pages
	forget         *time.Timer
	gone           chan struct{} // closed when its goroutine has ended; made with it
	done           bool          // its goroutine has ended
}

func (j *job) ended() bool { return j.status != Scheduled && j.status != Running }

// jobCost is about what a job takes beside its text and its result.
const jobCost = 4 << 10

// cost is what is kept of a job.
func (j *job) cost() int { return jobCost + len(j.request.Text) + j.pages.size }

// mayHold says whether the job's rows may say something of a tenant.
func (j *job) mayHold(tenant alcove.Tenant) bool {
	return slices.ContainsFunc(j.request.Groups, func(g Group) bool {
		return (g.Only == nil || *g.Only == tenant) && (g.Visible == nil || g.Visible(tenant))
	})
}

var errTimeout = errors.New("queries: the query ran for too long")

// finish gives a job its last status. r.mu is held.
func (r *Runner) finish(j *job, s Status) {
	if j.ended() {
		return
	}
	j.status, j.endedAt = s, r.cfg.Now()
	j.request.Query = nil // what was read of the text is not needed any more
	j.forget = time.AfterFunc(r.cfg.Keep, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.drop(j)
	})
	r.makeRoom()
}

// drop forgets a job, and ends it if it is at work. r.mu is held.
func (r *Runner) drop(j *job) {
	if j.cancel != nil {
		j.cancel()
	}
	if j.forget != nil {
		j.forget.Stop()
	}
	if !j.ended() {
		j.status, j.endedAt = Cancelled, r.cfg.Now()
	}
	j.pages = pages{}
	delete(r.jobs, j.id)
}

// makeRoom forgets what ended while there is too much: the oldest of the party that
// has most. r.mu is held.
func (r *Runner) makeRoom() {
	for {
		total := 0
		byParty := make(map[string]int)
		oldest := make(map[string]*job)
		for _, j := range r.jobs {
			p := j.request.Owner.Party
			total += j.cost()
			byParty[p] += j.cost()
			if o := oldest[p]; j.ended() && (o == nil || j.endedAt.Before(o.endedAt)) {
				oldest[p] = j
			}
		}
		if total <= r.cfg.Results {
			return
		}
		var victim *job
		for p, j := range oldest {
			if victim == nil || byParty[p] > byParty[victim.request.Owner.Party] {
				victim = j
			}
		}
		if victim == nil {
			return
		}
		r.drop(victim)
	}
}

// run is the goroutine of a job.
func (r *Runner) run(ctx context.Context, j *job, q Request) {
	err := r.guarded(ctx, j, q)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause // the database has words of its own for it
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	j.cancel()
	switch {
	case err == nil:
		r.finish(j, Complete)
	case errors.Is(err, errTimeout):
		r.finish(j, Timeout)
	case errors.Is(err, context.Canceled):
		r.finish(j, Cancelled)
	default:
		if !j.ended() {
			r.cfg.Log.Warn("queries: a query failed", "queryId", j.id, "error", err)
		}
		r.finish(j, Failed)
	}
	j.done = true
	close(j.gone)
	r.atWork--
	r.schedule()
}

// guarded runs a job; a fault of the program's costs that job alone.
func (r *Runner) guarded(ctx context.Context, j *job, q Request) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("queries: panic: %v\n%s", p, debug.Stack())
		}
	}()
	w := &worker{r: r, j: j, request: q, ctx: ctx, shown: time.Now()}
	if w.turn, err = r.cfg.Turns.Begin(ctx, q.Owner.Party); err != nil {
		return err
	}
	defer w.turn.End()
	return w.all()
}

// worker is a job at work.
type worker struct {
	r       *Runner
	j       *job
	request Request
	ctx     context.Context
	turn    *turns.Turn

	seen  Statistics
	shown time.Time
	fresh []byte // rows that are not in the job's pages yet
	ends  []int  // where in fresh each ends
	bytes int    // of all rows
}

const (
	// checkEvery is after how many events it looks, or after one of checkBytes.
	checkEvery = 16
	checkBytes = 4 << 10
	// showEvery is how often the rows of a query that runs are made to be seen.
	showEvery = time.Second
)

// pause lets others have the processor, shows what there is, and looks whether the
// job is to end.
func (w *worker) pause() error {
	if !w.turn.Due() {
		return nil
	}
	w.show(time.Since(w.shown) > showEvery)
	return w.turn.Pause(w.ctx)
}

// show puts what was counted where callers see it, and the rows that were made, if it
// is to.
func (w *worker) show(rows bool) {
	var one page
	ok := rows
	if rows {
		one, ok = pack(w.fresh, w.ends)
		w.fresh, w.ends, w.shown = w.fresh[:0], w.ends[:0], time.Now()
	}
	w.r.mu.Lock()
	defer w.r.mu.Unlock()
	if !w.j.ended() {
		w.j.seen = w.seen
	}
	if _, kept := w.r.jobs[w.j.id]; kept && ok {
		w.j.pages.add(one)
	}
}

// all runs the job's query to its end.
func (w *worker) all() error {
	q := w.request
	run := q.Query.Start(insights.Options{Now: w.j.created, Since: q.Since, Until: q.Until.Add(-time.Millisecond), Rows: q.Rows, Memory: w.r.cfg.Memory, Pause: w.pause}, w.row)
	w.seen.Groups = len(q.Groups)
	var current event
	e := insights.Event{Ptr: func() string { return Pointer(current.group, current.Cursor()) }}
	n := 0
	for one, err := range w.events() {
		if err != nil {
			return err
		}
		w.seen.Scanned++
		w.seen.Bytes += int64(len(one.Message))
		current = one
		e.Log, e.Stream, e.At, e.Ingested, e.Message = w.r.cfg.Account+":"+one.group, one.Stream, one.At, one.Ingested, string(one.Message)
		more, err := run.Add(&e)
		w.seen.Matched = int64(run.Matched())
		if err != nil {
			return err
		}
		if !more {
			break
		}
		if n++; n%checkEvery == 0 || len(one.Message) > checkBytes {
			if err := w.pause(); err != nil {
				return err
			}
		}
	}
	if err := context.Cause(w.ctx); err != nil {
		return err
	}
	if err := run.End(); err != nil {
		return err
	}
	w.show(true)
	return nil
}

var errLarge = errors.New("queries: the result is larger than one may be")

// row takes the next row of the answer.
func (w *worker) row(cells []insights.Cell) error {
	before := len(w.fresh)
	w.fresh = appendRow(w.fresh, cells)
	w.ends = append(w.ends, len(w.fresh))
	if w.bytes += len(w.fresh) - before; w.bytes > w.r.cfg.Result {
		return errLarge
	}
	if len(w.fresh) >= pageBytes {
		w.show(true)
	}
	return nil
}

// event is a line of a group.
type event struct {
	logs.Line
	group string
}

// events are those of all groups, in the order that the query wants.
func (w *worker) events() iter.Seq2[event, error] {
	q := w.request
	var all []iter.Seq2[event, error]
	for _, g := range q.Groups {
		all = append(all, w.group(g))
	}
	if len(all) == 1 {
		return all[0]
	}
	return merged(all, q.Query.OldestFirst())
}

// group are the events of a group that the query asks for. One that names tenants is
// answered from their events, and those of no tenant, by the store's index.
func (w *worker) group(g Group) iter.Seq2[event, error] {
	q := w.request
	scan := logs.Query{Group: g.Name, Tenant: g.Only, Visible: g.Visible, Since: q.Since, Until: q.Until, NewestFirst: !q.Query.OldestFirst()}
	if names, ok := q.Query.Tenants(); ok {
		scan.Among = []alcove.Tenant{""}
		for _, n := range names {
			if t := alcove.Tenant(n); !slices.Contains(scan.Among, t) {
				scan.Among = append(scan.Among, t)
			}
		}
	}
	return func(yield func(event, error) bool) {
		for l, err := range w.r.cfg.Lines(w.ctx, scan) {
			if !yield(event{l, g.Name}, err) || err != nil {
				return
			}
		}
	}
}

// merged gives events of several sequences in the order of their times.
func merged(all []iter.Seq2[event, error], oldestFirst bool) iter.Seq2[event, error] {
	return func(yield func(event, error) bool) {
		type head struct {
			event
			next func() (event, error, bool)
		}
		var heads []head
		for _, seq := range all {
			next, stop := iter.Pull2(seq)
			defer stop()
			e, err, ok := next()
			if err != nil {
				yield(event{}, err)
				return
			}
			if ok {
				heads = append(heads, head{e, next})
			}
		}
		for len(heads) > 0 {
			first := 0
			for i, h := range heads {
				if h.At != heads[first].At && (h.At < heads[first].At) == oldestFirst {
					first = i
				}
			}
			if !yield(heads[first].event, nil) {
				return
			}
			e, err, ok := heads[first].next()
			switch {
			case err != nil:
				yield(event{}, err)
				return
			case ok:
				heads[first].event = e
			default:
				heads = slices.Delete(heads, first, first+1)
			}
		}
	}
}

// Pointer is the @ptr of an event.
func Pointer(group string, c logs.Cursor) string {
	return base64.RawURLEncoding.EncodeToString([]byte(group + ":" + string(c)))
}

// ParsePointer takes a pointer apart.
func ParsePointer(s string) (group string, c logs.Cursor, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return "", "", false
	}
	group, place, ok := strings.Cut(string(b), ":")
	return group, logs.Cursor(place), ok && group != "" && len(place) == 56
}
