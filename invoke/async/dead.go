package async

import (
	"time"
)

// deadShare is one of how many parts of what events may take dead letters may.
const deadShare = 4

// fitDead lets the oldest dead letters of a lane go for its youngest, if its party's take
// more than they may, which is never more than is left for others'. Nobody else's go
// for them. For the holder of mu.
func (q *Queue) fitDead(l *lane) {
	for l.dead.n > 0 && l.party.dead > min(q.cfg.Limits.PartyBytes/deadShare, q.cfg.Limits.Bytes/deadShare-q.deadSize) {
		i := l.dead.shift(&q.items)
		seq := q.items.at(i).seq
		q.log.Warn("a dead letter is gone for want of room", "function", l.key.name, "tenant", string(l.key.tenant))
		q.totals.DeadLettersDiscarded++
		q.drop(i)
		q.work.Go(func() { q.note(change{kind: kindDone, seq: seq}.encode()) })
	}
}

// bury ends dead letters that are too old, or whose function is gone.
func (q *Queue) bury(l *lane, now time.Time) {
	q.mu.Lock()
	nothing := l.dead.n == 0 || q.closed
	q.mu.Unlock()
	if nothing {
		return
	}
	f, err := q.cfg.Catalog.Function(l.key.name)
	gone := err != nil || f.ID != l.key.functionID
	for {
		q.mu.Lock()
		i := l.dead.head
		// A dead letter counts from when it was accepted.
		if i == none || len(q.owed) > 0 || !gone && q.items.at(i).accepted > now.Add(-deadAge).UnixMilli() {
			q.mu.Unlock()
			return
		}
		l.dead.shift(&q.items)
		l.running++ // keeps the lane
		q.mu.Unlock()
		q.done(i, func() { l.running-- })
	}
}
