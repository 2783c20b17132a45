package async

import (
	"github.com/alcove-run/alcove/invoke/async/spool"
)

// slack is how many segments more than twice what is in use the spool may have
// before its oldest is written anew.
const slack = 4

// compact keeps the spool at about twice what is in use: it deletes old segments
// that nothing in use is in, and moves what is left of the oldest to the end. So
// every byte that is moved makes room for one at least.
func (q *Queue) compact() {
	q.moving.Lock()
	defer q.moving.Unlock()
	for moved := 0; ; moved++ {
		if err := q.spool.Trim(); err != nil {
			if q.ctx.Err() == nil {
				q.log.Warn("event queue: make room", "error", err)
			}
			return
		}
		total, held := q.spool.Usage()
		oldest, _, ok := q.spool.Oldest()
		segment := q.cfg.SegmentBytes
		if segment <= 0 {
			segment = spool.DefaultSegmentBytes
		}
		if !ok || total <= 2*held+slack*segment || moved == slack || q.ctx.Err() != nil {
			return
		}
		if !q.moveAll(oldest) {
			return
		}
	}
}

// moveAll moves everything that is in use in a segment to the end.
func (q *Queue) moveAll(segment uint32) bool {
	q.mu.Lock()
	n := q.items.len()
	q.mu.Unlock()
	for base := uint32(0); base < n; base += chunk {
		var there []uint32
		q.mu.Lock()
		for i := base; i < base+chunk; i++ {
			if it := q.items.at(i); it.stage != stageFree && it.place.Segment == segment {
				there = append(there, i)
			}
		}
		q.mu.Unlock()
		for _, i := range there {
			if err := q.move(i, segment); err != nil {
				q.log.Warn("event queue: move what is in use to make room", "error", err)
				return false
			}
		}
	}
	return true
}

// move writes an item's record anew, as the item stands. What happens to it
// meanwhile is written again behind it.
func (q *Queue) move(i uint32, segment uint32) error {
	q.mu.Lock()
	it := *q.items.at(i)
	offset := q.offset
	q.mu.Unlock()
	if it.stage == stageFree || it.place.Segment != segment {
		return nil
	}
	r, err := q.spool.Read(it.place)
	if err != nil {
		// Whoever needs it will find out, unless it is done by then.
		return nil
	}
	if it.stage != stageKey {
		e, err := decodeEvent(r.Meta, len(r.Body))
		if err != nil {
			return nil
		}
		e.accepted, e.due = it.accepted+offset, it.due+offset
		e.starts, e.failures, e.trouble = it.starts, it.failures, it.trouble
		if it.stage < stageOwed {
			e.stage = it.stage
		}
		r.Meta = e.encode()
	}
	places, mark, err := q.spool.Append(spool.Record{Meta: r.Meta, Body: r.Body})
	if err != nil {
		return err
	}
	if err := q.spool.Sync(mark); err != nil {
		q.spool.Release(places[0])
		return err
	}
	q.mu.Lock()
	now := q.items.at(i)
	if now.seq != it.seq || now.place != it.place {
		gone := now.seq != it.seq
		q.mu.Unlock()
		q.spool.Release(places[0])
		if gone {
			q.note(change{kind: kindDone, seq: it.seq}.encode())
		} else {
			// Its end was written meanwhile, before this: say it again.
			return q.move(i, now.place.Segment)
		}
		return nil
	}
	var c *change
	if now.starts != it.starts || now.failures != it.failures || now.trouble != it.trouble || now.due != it.due {
		if now.stage < stageOwed {
			kind := byte(kindRetry)
			if now.stage == stageRunning {
				kind = kindStart
			}
			c = &change{kind, now.seq, q.wall(now.due), now.starts, now.failures, now.trouble}
		}
	}
	q.moved(i, places[0])
	q.mu.Unlock()
	if c != nil {
		q.note(c.encode())
	}
	return nil
}
