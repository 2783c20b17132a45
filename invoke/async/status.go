package async

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/invoke/async/spool"
)

// Depth is what waits of one tenant of a function, or of a function without
// tenants.
type Depth struct {
	Tenant      alcove.Tenant
	Waiting     int           // to run as soon as it is their turn
	Delayed     int           // to run again at a time
	Running     int           //
	Delivering  int           // results that a destination has not taken yet
	DeadLetters int           //
	Bytes       int64         // of all but the dead letters
	Oldest      time.Duration // age of the oldest that is no dead letter
}

// surveyFor is how long what a look at all items told is good for: whoever asks again
// and again holds nobody up.
const surveyFor = 2 * time.Second

// survey notes when the oldest event of each lane was accepted. It looks at some items at
// a time.
func (q *Queue) survey() {
	q.surveying.Lock()
	defer q.surveying.Unlock()
	now := q.now()
	if !q.surveyed.IsZero() && now.Sub(q.surveyed) < surveyFor {
		return
	}
	oldest := map[uint32]int64{}
	for base, more := uint32(0), true; more; base += chunk {
		q.mu.Lock()
		if more = base < q.items.len(); more {
			for i := base; i < base+chunk; i++ {
				it := q.items.at(i)
				if it.stage == stageFree || it.stage == stageDead || it.stage == stageKey {
					continue
				}
				if at, ok := oldest[it.lane]; !ok || it.accepted < at {
					oldest[it.lane] = it.accepted
				}
			}
		}
		q.mu.Unlock()
	}
	q.mu.Lock()
	for i, l := range q.lanes {
		if l == nil {
			continue
		}
		if at, ok := oldest[uint32(i)]; ok {
			l.oldest = at
		} else {
			l.oldest = 0
		}
	}
	q.mu.Unlock()
	q.surveyed = now
}

// oldest is when the oldest event of a lane that has some was accepted, as far as was
// seen. For the holder of mu.
func (q *Queue) oldest(l *lane) int64 {
	switch {
	case l.oldest != 0:
		return l.oldest
	case l.ready.n > 0:
		return q.items.at(l.ready.head).accepted
	}
	return q.now().UnixMilli()
}

// Status tells what waits of a function, by tenant. The ages are at most two seconds
// behind.
func (q *Queue) Status(functionID string) []Depth {
	q.survey()
	q.mu.Lock()
	defer q.mu.Unlock()
	by := map[alcove.Tenant]*Depth{}
	now := q.now().UnixMilli()
	for i := range q.byFunction[functionID] {
		l := q.lanes[i]
		d := by[l.key.tenant]
		if d == nil {
			d = &Depth{Tenant: l.key.tenant}
			by[l.key.tenant] = d
		}
		if l.ready.n+l.delayed+l.running+l.owed > 0 {
			d.Oldest = max(d.Oldest, time.Duration(now-q.oldest(l))*time.Millisecond)
		}
		d.Waiting += l.ready.n
		d.Delayed += l.delayed
		d.Running += l.running
		d.Delivering += l.owed
		d.DeadLetters += l.dead.n
		d.Bytes += l.bytes
	}
	list := make([]Depth, 0, len(by))
	for _, d := range by {
		if d.Waiting+d.Delayed+d.Running+d.Delivering+d.DeadLetters > 0 {
			list = append(list, *d)
		}
	}
	slices.SortFunc(list, func(a, b Depth) int { return cmp.Compare(a.Tenant, b.Tenant) })
	return list
}

// Depths is how many events wait on the node, how many bytes they take, and how
// many dead letters there are.
func (q *Queue) Depths() (events int, bytes int64, deadLetters int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.depth, q.bytes, q.dead
}

// Purge takes away all events of one tenant of a function that are not running, and
// its dead letters; it returns when that is on the disk.
func (q *Queue) Purge(functionID string, t alcove.Tenant) (int, error) {
	return q.purge(func(k laneKey) bool { return k.functionID == functionID && k.tenant == t })
}

func (q *Queue) purge(match func(laneKey) bool) (int, error) {
	q.mu.Lock()
	gone := q.take(match)
	seqs := make([]uint64, len(gone))
	for n, i := range gone {
		seqs[n] = q.items.at(i).seq
		q.discard(i)
	}
	for k, at := range q.byKey {
		if match(k) {
			q.forget(q.lanes[at], q.now())
		}
	}
	q.mu.Unlock()
	for some := range slices.Chunk(seqs, 1000) {
		records := make([]spool.Record, len(some))
		for i, seq := range some {
			records[i] = spool.Record{Meta: change{kind: kindDone, seq: seq}.encode(), Passing: true}
		}
		if _, _, err := q.spool.Append(records...); err != nil {
			return 0, alcove.PlatformError(err)
		}
	}
	if err := q.spool.SyncAll(); err != nil {
		return 0, alcove.PlatformError(err)
	}
	return len(gone), nil
}

// take takes the events of lanes out of whatever they wait in. For the holder of
// mu.
func (q *Queue) take(match func(laneKey) bool) (gone []uint32) {
	matched := map[uint32]bool{}
	delayed, owed := 0, 0
	for k, at := range q.byKey {
		if !match(k) {
			continue
		}
		l := q.lanes[at]
		matched[at] = true
		delayed += l.delayed
		owed += l.owed
		q.turns.Remove(l.turn, l.ready.n)
		for _, from := range []*list{&l.ready, &l.dead} {
			for i := from.shift(&q.items); i != none; i = from.shift(&q.items) {
				gone = append(gone, i)
			}
		}
	}
	if len(matched) == 0 {
		return nil
	}
	for i := uint32(0); i < q.items.len() && delayed > 0; i++ {
		if it := q.items.at(i); it.stage == stageDelayed && matched[it.lane] {
			q.lanes[it.lane].delayed-- // its timer will find that it is gone
			delayed--
			gone = append(gone, i)
		}
	}
	for _, o := range q.outlets {
		if o == nil || owed == 0 {
			continue
		}
		rest := newList()
		for i := o.list.shift(&q.items); i != none; i = o.list.shift(&q.items) {
			if matched[q.items.at(i).lane] {
				gone = append(gone, i)
				q.sends.Remove(o.turn, 1)
			} else {
				rest.push(&q.items, i)
			}
		}
		o.list = rest
	}
	return gone
}

// PurgeTenant takes everything of a tenant off the disk: its events, dead letters
// and kept results, and what is left in the files of events that have run. Nothing
// of the tenant is accepted or begun meanwhile; that is the caller's part.
func (q *Queue) PurgeTenant(ctx context.Context, t alcove.Tenant) error {
	if t == "" {
		return errors.New("event queue: no tenant")
	}
	for {
		if _, err := q.purge(func(k laneKey) bool { return k.tenant == t }); err != nil {
			return err
		}
		q.mu.Lock()
		busy := false
		for k, i := range q.byKey {
			busy = busy || k.tenant == t && q.lanes[i].running+q.lanes[i].owed > 0
		}
		mine := partyKey("", t)
		q.discardKeys(mine)
		for _, f := range q.flights {
			busy = busy || f.party == mine
		}
		if p := q.parties[mine]; p != nil && p.events > 0 { // one that is being accepted
			busy = true
		}
		q.mu.Unlock()
		if !busy {
			break
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return q.renew(ctx)
}

// renew writes everything that is in use anew and deletes all files that were there
// before: what nobody uses any more is gone from the disk.
func (q *Queue) renew(ctx context.Context) error {
	q.moving.Lock()
	defer q.moving.Unlock()
	last, err := q.spool.Rotate()
	if err != nil {
		return err
	}
	for {
		if err := q.spool.Trim(); err != nil {
			return err
		}
		oldest, _, ok := q.spool.Oldest()
		if !ok || oldest > last {
			return nil
		}
		if !q.moveAll(oldest) {
			return errors.New("event queue: what is in use cannot be written anew")
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// Replay has the dead letters of a tenant of a function run again, as if they had
// come now, under their request ids; those that only no destination took are
// delivered again. It gives how many.
func (q *Queue) Replay(functionID string, t alcove.Tenant) (n int, err error) {
	q.mu.Lock()
	var lanes []*lane
	for k, i := range q.byKey {
		if k.functionID == functionID && k.tenant == t {
			lanes = append(lanes, q.lanes[i])
		}
	}
	q.mu.Unlock()
	for _, l := range lanes {
		q.mu.Lock()
		last := l.dead.tail // what fails again meanwhile is not taken again
		q.mu.Unlock()
		for {
			q.mu.Lock()
			if m := q.cfg.Limits; l.party.events >= min(m.PartyEvents, m.Events-q.depth) {
				err = alcove.Throttled(alcove.ReasonEventQueue, alcove.LimitTenantEvents)
			}
			i := none
			if err == nil && !q.closed {
				if i = l.dead.shift(&q.items); i != none {
					q.depth++ // the lane is kept, too
					l.party.events++
					l.running++
				}
			}
			q.mu.Unlock()
			if i == none {
				break
			}
			if err = q.replay(i, l); err != nil {
				return n, err
			}
			n++
			if i == last {
				break
			}
		}
	}
	return n, err
}

// replay has one dead letter, which is in no list, go on.
func (q *Queue) replay(i uint32, l *lane) error {
	e, body, err := q.load(i)
	if err == nil {
		if was, ok := strings.CutPrefix(e.outcome.condition, conditionUndelivered+":"); ok {
			e.stage, e.outcome.condition = stageOwed, was
			q.mu.Lock()
			e.outcome.ended = q.wall(q.now().UnixMilli())
			q.mu.Unlock()
		} else {
			e.stage, e.outcome, body = stageReady, outcome{}, body[:e.request]
		}
		q.mu.Lock()
		e.accepted = q.wall(q.now().UnixMilli())
		e.due, e.failures, e.trouble, e.starts = e.accepted, 0, 0, q.items.at(i).starts
		q.mu.Unlock()
	}
	var places []spool.Place
	if err == nil {
		var at spool.Place
		at, err = q.keep(e, body)
		places = append(places, at)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	l.running--
	if err != nil {
		q.depth--
		l.party.events--
		l.dead.unshift(&q.items, i)
		return alcove.PlatformError(err)
	}
	it := q.items.at(i)
	q.weigh(it, -1)
	q.dead--
	q.spool.Release(it.place)
	it.place, it.accepted, it.failures, it.trouble, it.stage = places[0], e.accepted-q.offset, 0, 0, e.stage
	q.weigh(it, 1)
	if e.stage == stageOwed {
		l.owed++
		q.lineOutlet(q.outlet(e), i)
	} else {
		q.line(l, i)
	}
	q.dispatch()
	return nil
}
