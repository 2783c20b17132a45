package async

import (
	"time"
)

// Times of what goes on in the background while there is anything in the queue.
const (
	// syncEvery is how long the record of an event's end may be in the system's
	// memory only: what power loss then takes is run again.
	syncEvery = time.Second
	// sweepEvery is how often everything that grows old is looked at.
	sweepEvery = 5 * time.Second
	// deadAge is how long a dead letter is kept: as long as SQS keeps a message.
	deadAge = 14 * 24 * time.Hour
	// expireAtOnce bounds how many events of a lane are found too old at once.
	expireAtOnce = 1000
)

// tick is the background: it has what waited go on when its time has come.
func (q *Queue) tick() {
	var swept, synced time.Time
	for settled := false; ; {
		now := q.now()
		q.pay()
		q.mu.Lock()
		q.fire(now)
		q.dispatch()
		at := q.wakeAt(now)
		busy := q.items.used > 0 || len(q.owed) > 0
		if busy || !settled {
			at = sooner(at, now.Add(syncEvery))
			settled = false
		}
		q.wake = at
		q.mu.Unlock()
		if !settled && now.Sub(synced) >= syncEvery {
			synced = now
			if err := q.spool.SyncAll(); err != nil && q.ctx.Err() == nil {
				q.log.Warn("event queue: sync", "error", err)
			}
			settled = !busy
		}
		if now.Sub(swept) >= sweepEvery {
			swept = now
			q.checkClock()
			q.sweep(now)
			q.compact()
		}
		if !q.sleep(at) {
			return
		}
	}
}

// sleep waits until at, or until something is to be done before; false is the
// queue's end.
func (q *Queue) sleep(at time.Time) bool {
	var timer <-chan time.Time
	if !at.IsZero() {
		t := time.NewTimer(at.Sub(q.now()))
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-timer:
	case <-q.kick:
	case <-q.ctx.Done():
		return false
	}
	return true
}

func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// wakeAt is when something that waits may go on. For the holder of mu.
func (q *Queue) wakeAt(now time.Time) time.Time {
	at := sooner(q.turns.Wake(now), q.sends.Wake(now))
	if len(q.timers) > 0 {
		at = sooner(at, now.Add(time.Duration(q.timers[0].due-now.UnixMilli())*time.Millisecond))
	}
	if at.IsZero() && q.items.used > 0 {
		at = now.Add(syncEvery)
	}
	return at
}

// fire has events whose wait is over go before the others of their lanes. For the
// holder of mu.
func (q *Queue) fire(now time.Time) {
	ms := now.UnixMilli()
	for len(q.timers) > 0 && q.timers[0].due <= ms {
		t := q.timers.pop()
		it := q.items.at(t.i)
		if it.seq != t.seq || it.stage != stageDelayed || it.due != t.due {
			continue // it is something else by now
		}
		l := q.lanes[it.lane]
		l.delayed--
		it.stage = stageReady
		l.ready.unshift(&q.items, t.i)
		q.turns.Add(l.turn, 1)
	}
}

// sweep ends what has grown too old, and forgets what nobody uses.
func (q *Queue) sweep(now time.Time) {
	q.mu.Lock()
	lanes := make([]*lane, 0, len(q.byKey))
	for _, i := range q.byKey {
		lanes = append(lanes, q.lanes[i])
	}
	q.mu.Unlock()
	for _, l := range lanes {
		q.expire(l, now)
		q.bury(l, now)
		q.mu.Lock()
		if q.lanes[l.index] == l {
			q.forget(l, now)
		}
		q.mu.Unlock()
	}
	q.forgetKeys(now)
}

// expire ends events that are too old though their lane has no turn.
func (q *Queue) expire(l *lane, now time.Time) {
	c := q.cfg.EventInvoke(l.ref())
	oldest := now.Add(-age(c)).UnixMilli()
	for range expireAtOnce {
		q.mu.Lock()
		i := l.ready.head
		if q.closed || i == none || q.items.at(i).accepted > oldest || len(q.owed) > 0 {
			q.mu.Unlock()
			return
		}
		l.ready.shift(&q.items)
		q.turns.Take(l.turn)
		it := q.items.at(i)
		it.stage = stageRunning
		l.running++
		q.mu.Unlock()
		e, body, err := q.load(i)
		if err != nil {
			q.unreadable(i, l, err)
			continue
		}
		q.settle(i, l, e, body, answer{}, judgement{verdict: failed, condition: conditionAge}, c)
	}
}
