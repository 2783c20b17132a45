package async

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/alcove-run/alcove/invoke/async/spool"
	"github.com/alcove-run/alcove/invoke/async/turn"
)

// longestWait is the longest that an event waits between two runs.
const longestWait = 5 * time.Minute

// recovery is what is known while the records are read.
type recovery struct {
	q   *Queue
	at  map[uint64]uint32 // items by seq
	bad int
	// keys are the results that are kept.
	keys map[digest]keyEntry
}

// recover makes the index from the records. What was running when the process
// ended runs again: that is counted, and the first of it at once.
func (q *Queue) recover() error {
	r := &recovery{q: q, at: map[uint64]uint32{}, keys: map[digest]keyEntry{}}
	var err error
	if q.spool, err = spool.Open(spool.Config{FS: q.cfg.FS, SegmentBytes: q.cfg.SegmentBytes, Log: q.log}, r.visit); err != nil {
		return err
	}
	if r.bad > 0 {
		q.log.Error("records of events cannot be read and are passed over: another version of the program wrote them, or the disk has damaged them", "records", r.bad)
	}
	q.seq++
	r.place()
	return nil
}

// visit reads one record.
func (r *recovery) visit(meta []byte, body int, at spool.Place) error {
	var err error
	switch meta[0] {
	case kindEvent:
		var e *event
		if e, err = decodeEvent(meta, body); err == nil {
			r.event(e, at)
		}
	case kindStart, kindRetry, kindDone:
		var c change
		if c, err = decodeChange(meta); err == nil {
			r.change(c)
		}
	case kindClock:
		var s step
		if s, err = decodeStep(meta); err == nil {
			for _, i := range r.at {
				it := r.q.items.at(i)
				it.accepted += s.by
				it.due += s.by
			}
		}
	case kindKey:
		var k *key
		if k, err = decodeKey(meta); err == nil {
			r.key(k, at)
		}
	default:
		err = errMeta
	}
	if err != nil {
		r.bad++
	}
	return nil
}

// item finds or makes the item of a seq.
func (r *recovery) item(seq uint64) uint32 {
	r.q.seq = max(r.q.seq, seq)
	i, ok := r.at[seq]
	if !ok {
		i = r.q.items.make()
		r.at[seq] = i
	}
	return i
}

func (r *recovery) event(e *event, at spool.Place) {
	i := r.item(e.seq)
	it := r.q.items.at(i)
	next := it.next
	*it = item{seq: e.seq, accepted: e.accepted, due: e.due, place: at, next: next, lane: r.q.lane(e.laneKey()).index,
		outlet: none, starts: e.starts, failures: e.failures, trouble: e.trouble, stage: e.stage}
	if e.stage == stageOwed || e.stage == stageSending {
		it.outlet = r.q.outlet(e).index
	}
}

func (r *recovery) change(c change) {
	r.q.seq = max(r.q.seq, c.seq)
	i, ok := r.at[c.seq]
	if !ok {
		return // it was done before, and its record is gone
	}
	it := r.q.items.at(i)
	switch c.kind {
	case kindStart:
		it.starts, it.stage = c.starts, stageRunning
	case kindRetry:
		it.due, it.starts, it.failures, it.trouble, it.stage = c.due, c.starts, c.failures, c.trouble, stageDelayed
	case kindDone:
		delete(r.at, c.seq)
		r.q.items.release(i)
	}
}

// key keeps a result; of two, the later. Those that have expired go soon.
func (r *recovery) key(k *key, at spool.Place) {
	i := r.item(k.seq)
	it := r.q.items.at(i)
	it.seq, it.accepted, it.place, it.stage = k.seq, k.made, at, stageKey
	if old, ok := r.keys[k.digest]; ok && old.i != i {
		delete(r.at, r.q.items.at(old.i).seq)
		r.q.items.release(old.i)
	}
	r.keys[k.digest] = keyEntry{i: i, party: r.q.party(k.party)}
}

// place puts every item where it belongs.
func (r *recovery) place() {
	q := r.q
	now := q.now().UnixMilli()
	order := make([]uint32, 0, len(r.at))
	for _, i := range r.at {
		order = append(order, i)
	}
	slices.SortFunc(order, func(a, b uint32) int { return cmp.Compare(q.items.at(a).seq, q.items.at(b).seq) })
	repeated := 0
	for _, i := range order {
		it := q.items.at(i)
		q.spool.Hold(it.place)
		// A clock that went back while nobody looked makes nobody wait for it.
		it.accepted = min(it.accepted, now)
		if it.stage == stageKey {
			continue
		}
		l := q.lanes[it.lane]
		q.weigh(it, 1)
		if it.stage == stageDead {
			q.dead++
			l.dead.push(&q.items, i)
			continue
		}
		q.depth++
		l.party.events++
		switch it.stage {
		case stageOwed, stageSending:
			l.owed++
			q.lineOutlet(q.outlets[it.outlet], i)
		case stageRunning:
			repeated++
			if it.trouble < 255 {
				it.trouble++
			}
			if it.trouble > 1 {
				// It may be what ended the process.
				it.due = now + turn.Backoff(int(it.trouble)-2).Milliseconds()
				q.delay(l, i)
				continue
			}
			q.line(l, i)
		case stageDelayed:
			it.due = min(it.due, now+longestWait.Milliseconds())
			q.delay(l, i)
		default:
			q.line(l, i)
		}
	}
	for d, e := range r.keys {
		if _, ok := r.at[q.items.at(e.i).seq]; ok {
			q.shelve(d, e.i, q.party(e.party.key))
		}
	}
	q.sortKeys()
	q.totals.Repeated += int64(repeated)
	if len(order) > 0 {
		q.log.Info("event queue: read", "events", q.depth, "deadLetters", q.dead, "runsRepeated", repeated, "keys", len(q.keyLine))
	}
	// Lanes that only had events which are done.
	for _, i := range slices.Collect(maps.Values(q.byKey)) {
		q.forget(q.lanes[i], q.now())
	}
	for _, o := range slices.Collect(maps.Values(q.byTarget)) {
		q.forgetOutlet(q.outlets[o], q.now())
	}
	for _, p := range slices.Collect(maps.Values(q.parties)) {
		q.forgetParty(p)
	}
}
