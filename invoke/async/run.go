package async

import (
	"errors"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/invoke"
	"github.com/alcove-run/alcove/invoke/async/spool"
)

// dispatch begins as many runs and deliveries as may be begun. For the holder of
// mu.
func (q *Queue) dispatch() {
	if !q.started || q.closed || len(q.owed) > 0 {
		return // what cannot be written down is not begun
	}
	now := q.now()
	for t := q.turns.Next(now); t != nil; t = q.turns.Next(now) {
		l := q.lanes[t.Tag]
		i := l.ready.shift(&q.items)
		q.items.at(i).stage = stageRunning
		l.running++
		q.work.Go(func() { q.run(i) })
	}
	for t := q.sends.Next(now); t != nil; t = q.sends.Next(now) {
		o := q.outlets[t.Tag]
		i := o.list.shift(&q.items)
		q.items.at(i).stage = stageSending
		q.work.Go(func() { q.send(o, i) })
	}
	if at := q.wakeAt(now); !at.IsZero() && (q.wake.IsZero() || at.Before(q.wake)) {
		select {
		case q.kick <- struct{}{}:
		default:
		}
	}
}

// run runs one event once. The item is this goroutine's while its stage is
// running.
func (q *Queue) run(i uint32) {
	q.mu.Lock()
	it := *q.items.at(i)
	l := q.lanes[it.lane]
	q.mu.Unlock()
	e, body, err := q.load(i)
	if err != nil {
		q.unreadable(i, l, err)
		return
	}
	c := q.cfg.EventInvoke(l.ref())
	left := time.Duration(it.accepted-q.now().UnixMilli())*time.Millisecond + age(c)
	a, j := q.attempt(e, body, i, &it, left)
	if j == nil {
		d := judge(a, c, int(it.failures), int(it.trouble), left)
		j = &d
	}
	q.settle(i, l, e, body, a, *j, c)
}

// attempt invokes the function, unless that makes no sense any more: then it says
// what becomes of the event.
func (q *Queue) attempt(e *event, body []byte, i uint32, it *item, left time.Duration) (answer, *judgement) {
	if left <= 0 {
		return answer{}, &judgement{verdict: failed, condition: conditionAge}
	}
	if f, err := q.cfg.Catalog.Function(e.name); err == nil && f.ID == e.functionID && f.Reserved != nil && *f.Reserved == 0 {
		return answer{}, &judgement{verdict: failed, condition: conditionZero}
	}
	req := invoke.Request{
		Ref: alcove.Ref{Name: e.name, Qualifier: e.qualifier}, Tenant: e.tenant, Payload: body[:e.request:e.request],
		ClientContext: e.clientContext, Trace: alcove.ReadTraceText(e.trace), RequestID: e.id.String(),
		Event: &invoke.Event{Attempt: int(it.starts) + 1, FunctionID: e.functionID, Begin: func() {
			it.starts++
			q.mu.Lock()
			q.items.at(i).starts = it.starts
			q.mu.Unlock()
			q.began(e, it)
			q.note(change{kind: kindStart, seq: e.seq, starts: it.starts}.encode())
		}},
	}
	res, err := q.cfg.Invoker.Invoke(q.ctx, e.caller, req)
	return answer{res, err}, nil
}

// settle does what was decided.
func (q *Queue) settle(i uint32, l *lane, e *event, body []byte, a answer, j judgement, c *alcove.EventInvokeConfig) {
	q.judged(e, j)
	switch j.verdict {
	case back:
		q.mu.Lock()
		l.running--
		q.items.at(i).stage = stageReady
		l.ready.unshift(&q.items, i)
		q.turns.Throttled(l.turn, j.scope, q.now())
		q.turns.Add(l.turn, 1)
		q.dispatch()
		q.mu.Unlock()
	case again:
		q.postpone(i, l, a, j)
	case succeeded:
		o := outcome{condition: conditionSuccess}
		if c != nil {
			o.destination = c.OnSuccess
		}
		q.finish(i, l, e, body, a, o)
	case failed:
		o := outcome{condition: j.condition}
		if j.condition != conditionGone {
			if c != nil {
				o.destination = c.OnFailure
			}
			if v, err := q.cfg.Catalog.Resolve(l.ref()); err == nil {
				o.deadLetter = v.Config.DeadLetter
			}
		}
		q.finish(i, l, e, body, a, o)
	}
}

// postpone has an event run again later.
func (q *Queue) postpone(i uint32, l *lane, a answer, j judgement) {
	q.mu.Lock()
	now := q.now()
	it := q.items.at(i)
	if j.functionFailed {
		it.failures++
		it.trouble = 0
	} else if it.trouble < 255 {
		it.trouble++
	}
	it.due = now.Add(j.wait).UnixMilli()
	c := change{kindRetry, it.seq, q.wall(it.due), it.starts, it.failures, it.trouble}
	q.mu.Unlock()
	q.note(c.encode())
	q.mu.Lock()
	defer q.mu.Unlock()
	l.running--
	q.delay(l, i)
	q.ended(l, a, j.platformFailed)
	q.dispatch()
}

// delay has an item wait until it is due.
func (q *Queue) delay(l *lane, i uint32) {
	it := q.items.at(i)
	it.stage = stageDelayed
	l.delayed++
	q.timers.push(timer{it.due, it.seq, i})
}

// ended gives the place of a run back.
func (q *Queue) ended(l *lane, a answer, platformFailed bool) {
	switch {
	case platformFailed:
		q.turns.Failed(l.turn, q.now())
	case a.result != nil:
		q.turns.Finish(l.turn, q.now())
	default:
		q.turns.Left(l.turn, q.now())
	}
}

// finish ends an event: it is gone, or what came of it is owed to somebody, or it
// is a dead letter.
func (q *Queue) finish(i uint32, l *lane, e *event, body []byte, a answer, o outcome) {
	place := func() {
		l.running--
		q.ended(l, a, false)
	}
	o.answered(a)
	q.mu.Lock()
	o.ended = q.wall(q.now().UnixMilli())
	q.mu.Unlock()
	success := o.condition == conditionSuccess
	switch {
	case o.destination != "" || o.deadLetter != "":
		e.stage = stageOwed
	case success, o.condition == conditionGone:
		q.done(i, place)
		if !success {
			q.dropped(e)
		}
		return
	default:
		q.dropped(e)
		e.stage = stageDead
	}
	e.outcome = o
	payload := body[:e.request:e.request]
	if o.ran {
		payload = append(payload, a.result.Payload...)
	}
	q.rewrite(i, e, payload, place)
}

// answered notes what the function said.
func (o *outcome) answered(a answer) {
	switch {
	case a.result != nil:
		o.ran, o.status = true, 200
		o.version, o.functionError = a.result.Report.Version, a.result.FunctionError
		if o.functionError != "" {
			o.errorMessage = errorMessage(a.result.Payload)
		}
	case o.condition == conditionZero:
		// As it was recorded from the service, but for its missing space.
		o.errorMessage = "Function not invoked. Function is configured with zero reserved concurrent executions"
	case a.err != nil:
		e := alcove.AsError(a.err)
		o.errorMessage = e.Message
	}
}

// rewrite writes an event anew, as it stands at its end, and then has it go on
// from there. What cannot be written is tried again until it can: until then
// nothing else is begun. place gives back what the caller holds, under mu.
func (q *Queue) rewrite(i uint32, e *event, body []byte, place func()) {
	write := func() error {
		q.mu.Lock()
		it := *q.items.at(i)
		q.mu.Unlock()
		e.accepted, e.due = it.accepted+q.shift(), it.due+q.shift()
		e.starts, e.failures, e.trouble = it.starts, it.failures, 0
		at, err := q.keep(e, body)
		if err != nil {
			return err
		}
		q.mu.Lock()
		defer q.mu.Unlock()
		q.moved(i, at)
		q.put(i, e)
		place()
		q.dispatch()
		return nil
	}
	if err := write(); err != nil {
		q.owe(write, err)
	}
}

// keep writes an event and syncs it.
func (q *Queue) keep(e *event, body []byte) (spool.Place, error) {
	places, mark, err := q.spool.Append(spool.Record{Meta: e.encode(), Body: body})
	if err != nil {
		return spool.Place{}, err
	}
	if err := q.spool.Sync(mark); err != nil {
		q.spool.Release(places[0])
		return spool.Place{}, err
	}
	return places[0], nil
}

// moved notes that the record of an item is elsewhere.
func (q *Queue) moved(i uint32, at spool.Place) {
	it := q.items.at(i)
	old := it.place
	if it.stage != stageKey {
		q.weigh(it, -1)
	}
	it.place = at
	if it.stage != stageKey {
		q.weigh(it, 1)
	}
	q.spool.Release(old)
}

// done ends an item: it is gone, for good. place gives back what the caller holds,
// under mu; until then that keeps the item's lane.
func (q *Queue) done(i uint32, place func()) {
	q.mu.Lock()
	seq := q.items.at(i).seq
	q.mu.Unlock()
	q.note(change{kind: kindDone, seq: seq}.encode())
	q.mu.Lock()
	place()
	q.drop(i)
	q.dispatch()
	q.mu.Unlock()
}

// drop takes an item out of the index, and its lane if that was all.
func (q *Queue) drop(i uint32) {
	l := q.lanes[q.items.at(i).lane]
	q.discard(i)
	q.forget(l, q.now())
}

// discard takes an item out of the index.
func (q *Queue) discard(i uint32) {
	it := q.items.at(i)
	l := q.lanes[it.lane]
	q.weigh(it, -1)
	switch it.stage {
	case stageDead:
		q.dead--
	case stageOwed, stageSending:
		l.owed--
		fallthrough
	default:
		q.depth--
		l.party.events--
	}
	q.spool.Release(it.place)
	q.items.release(i)
}

// load reads an event whose item is the caller's.
func (q *Queue) load(i uint32) (*event, []byte, error) {
	var r spool.Record
	var err error
	for was := (spool.Place{}); ; {
		q.mu.Lock()
		at := q.items.at(i).place
		q.mu.Unlock()
		if at == was {
			return nil, nil, err
		}
		if r, err = q.spool.Read(at); err == nil {
			break
		}
		was = at // it may have been moved, and its segment deleted
	}
	if len(r.Meta) == 0 || r.Meta[0] != kindEvent {
		return nil, nil, errMeta
	}
	e, err := decodeEvent(r.Meta, len(r.Body))
	return e, r.Body, err
}

// unreadable is an event whose record the disk does not give back.
func (q *Queue) unreadable(i uint32, l *lane, err error) {
	if errors.Is(err, spool.ErrDamaged) || errors.Is(err, errMeta) {
		q.log.Error("an event is lost: its record is damaged", "function", l.key.name, "tenant", string(l.key.tenant), "error", err)
		q.dropped(&event{name: l.key.name, qualifier: l.key.qualifier, tenant: l.key.tenant})
		q.done(i, func() {
			l.running--
			q.turns.Left(l.turn, q.now())
		})
		return
	}
	q.log.Error("an event cannot be read", "function", l.key.name, "error", err)
	q.postpone(i, l, answer{}, judgement{verdict: again, wait: time.Second, platformFailed: true})
}

// note appends a record that takes no room of its own. One that cannot be written
// is owed.
func (q *Queue) note(meta []byte) {
	write := func() error {
		_, _, err := q.spool.Append(spool.Record{Meta: meta, Passing: true})
		return err
	}
	q.mu.Lock()
	if len(q.owed) > 0 { // in their order
		q.owed = append(q.owed, write)
		q.mu.Unlock()
		return
	}
	q.mu.Unlock()
	if err := write(); err != nil {
		q.owe(write, err)
	}
}

// owe remembers what could not be written. While something is owed no run begins,
// so that it is bounded by those that are under way.
func (q *Queue) owe(write func() error, err error) {
	if errors.Is(err, spool.ErrClosed) {
		return // it runs again after the next start
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.owed) == 0 {
		q.log.Error("events stand still: the node cannot write down what becomes of them", "error", err)
	}
	q.owed = append(q.owed, write)
}

// pay writes what is owed, as far as it goes.
func (q *Queue) pay() {
	for {
		q.mu.Lock()
		if len(q.owed) == 0 {
			q.mu.Unlock()
			return
		}
		write := q.owed[0]
		q.mu.Unlock()
		if err := write(); err != nil {
			return
		}
		q.mu.Lock()
		q.owed = q.owed[1:]
		if len(q.owed) == 0 {
			q.owed = nil
			q.log.Info("events go on")
			q.dispatch()
		}
		q.mu.Unlock()
	}
}
