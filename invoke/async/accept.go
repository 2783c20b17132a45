package async

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/invoke"
	"github.com/alcove-run/alcove/invoke/async/spool"
)

// MaxPayload is Lambda's limit of an event's payload ("Lambda quotas").
const MaxPayload = 1 << 20

// Accept takes an event. When it returns no error, the event is on the disk and
// will run; the id is that of all its runs, and trace the X-Ray trace header that they
// come under. The payload is the queue's from then on.
//
// Errors are *alcove.Error: those that a call would get whose function, tenant or
// state is wrong; TooManyRequestsException if as many events wait as may; and a
// platform error if the disk does not take it.
func (q *Queue) Accept(ctx context.Context, caller alcove.Caller, req invoke.Request) (requestID, trace string, err error) {
	id, trace, _, err := q.accept(ctx, caller, req, nil)
	return id, trace, err
}

// accept is Accept, with the record of an idempotency key if there is one.
func (q *Queue) accept(_ context.Context, caller alcove.Caller, req invoke.Request, k *key) (requestID, trace string, keyAt spool.Place, err error) {
	v, err := q.cfg.Invoker.Check(req)
	if err != nil {
		return "", "", spool.Place{}, err
	}
	if len(req.Payload) > MaxPayload {
		return "", "", spool.Place{}, TooLarge()
	}
	taken := func() {}
	if q.cfg.Trace != nil {
		req.Trace, taken = q.cfg.Trace(v, req)
	}
	e := &event{
		id: uuid.New(), functionID: v.FunctionID, name: v.Name, qualifier: req.Ref.Qualifier, tenant: req.Tenant,
		clientContext: req.ClientContext, trace: req.Trace.Text(), caller: caller, request: len(req.Payload), stage: stageReady,
	}
	if err := q.room(e, len(req.Payload)); err != nil {
		return "", "", spool.Place{}, err
	}
	if err := q.cfg.Record(caller, req, e.id.String(), false); err != nil {
		q.mu.Lock()
		q.give(e)
		q.mu.Unlock()
		return "", "", spool.Place{}, err
	}
	records := []spool.Record{{Meta: e.encode(), Body: req.Payload}}
	if k != nil {
		k.report = e.id.String()
		records = append(records, spool.Record{Meta: k.encode()})
	}
	places, mark, err := q.spool.Append(records...)
	if err == nil {
		if err = q.spool.Sync(mark); err != nil {
			// Nobody knows whether it is on the disk, and nobody was promised that
			// it is.
			for _, at := range places {
				q.spool.Release(at)
			}
			q.note(change{kind: kindDone, seq: e.seq}.encode())
			if k != nil {
				q.note(change{kind: kindDone, seq: k.seq}.encode())
			}
		}
	}
	if err != nil {
		q.mu.Lock()
		q.give(e)
		q.mu.Unlock()
		return "", "", spool.Place{}, notAccepted(err)
	}
	taken()
	q.received(e)
	q.mu.Lock()
	i := q.items.make()
	it := q.items.at(i)
	l := q.lane(e.laneKey())
	it.seq, it.accepted, it.place, it.lane = e.seq, e.accepted-q.offset, places[0], l.index
	it.stage = stageReady
	q.weigh(it, 1)
	q.line(l, i)
	q.dispatch()
	q.mu.Unlock()
	if k != nil {
		keyAt = places[1]
	}
	return e.id.String(), req.Trace.Header(), keyAt, nil
}

func (e *event) laneKey() laneKey { return laneKey{e.functionID, e.name, e.qualifier, e.tenant} }

// line puts an item behind the others of its lane.
func (q *Queue) line(l *lane, i uint32) {
	q.items.at(i).stage = stageReady
	l.ready.push(&q.items, i)
	q.turns.Add(l.turn, 1)
}

// weigh counts the record of an event in, or out.
func (q *Queue) weigh(it *item, n int64) {
	size := n * int64(it.place.Size)
	l := q.lanes[it.lane]
	if it.stage == stageDead {
		q.deadSize += size
		l.party.dead += size
		return
	}
	q.bytes += size
	l.bytes += size
	l.party.bytes += size
}

// room counts an event in and gives it its number, or says why it cannot be
// accepted.
func (q *Queue) room(e *event, payload int) error {
	size := int64(payload) + 1<<10
	if err := q.spare(size); err != nil {
		return notAccepted(err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return errShuttingDown()
	}
	m := q.cfg.Limits
	p := q.party(partyKey(e.functionID, e.tenant))
	var err error
	switch {
	case q.depth >= m.Events || q.bytes+size > m.Bytes:
		err = alcove.Throttled(alcove.ReasonEventQueue, alcove.LimitEvents)
	// Nobody may have more than there is left for others: however many fill what they
	// may, there is room for somebody new.
	case p.events >= min(m.PartyEvents, m.Events-q.depth) || p.bytes+size > min(m.PartyBytes, m.Bytes-q.bytes):
		err = alcove.Throttled(alcove.ReasonEventQueue, alcove.LimitTenantEvents)
	}
	if err != nil {
		q.forgetParty(p)
		return err
	}
	q.depth++
	p.events++
	e.seq = q.seq
	q.seq++
	now := q.wall(q.now().UnixMilli())
	e.accepted, e.due = now, now
	return nil
}

// spare says whether the disk has room for so many bytes without what is kept free.
func (q *Queue) spare(size int64) error {
	free, err := q.cfg.Free()
	if err == nil && free-size < q.cfg.Limits.Reserve {
		err = fmt.Errorf("the disk has %d bytes left, and %d are kept free: make room, or give the data directory a larger disk", free, q.cfg.Limits.Reserve)
	}
	return err
}

// give takes back what room counted.
func (q *Queue) give(e *event) {
	p := q.party(partyKey(e.functionID, e.tenant))
	q.depth--
	p.events--
	q.forgetParty(p)
}

// TooLarge is Lambda's answer to an event that is longer than its limit.
func TooLarge() error {
	return alcove.ClientError(alcove.CodeRequestEntityTooLarge, "Request must be smaller than %d bytes for the InvokeFunction operation", MaxPayload)
}

// notAccepted is the answer when the disk does not take an event.
func notAccepted(err error) error {
	if errors.Is(err, spool.ErrClosed) {
		return errShuttingDown()
	}
	e := alcove.PlatformError(fmt.Errorf("event not accepted: %w", err))
	e.Message = "The event was not accepted: the node cannot keep it now. Try again later."
	return e
}

func errShuttingDown() error {
	e := alcove.PlatformError(errClosing)
	e.Message = "The service is shutting down. Try again."
	return e
}
