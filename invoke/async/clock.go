package async

import "time"

// The queue has a time of its own: it begins with what the system's clock says at
// Open and goes on with a clock that nobody sets. Ages, waits and turns are of that
// time, in milliseconds where they are many. On the disk everything is in the
// system's time. When that is set, by more than is worth it, a record says by how
// much, and whoever reads the spool later moves by it what was written before: an
// event is not too old because a clock that was wrong has been put right.

// stepFrom is by how much the clocks have to differ.
const stepFrom = 2000

// now is the queue's time.
func (q *Queue) now() time.Time { return q.base.Add(q.cfg.Elapsed()) }

// wall is a moment of the queue as the system's clock has it. For the holder of
// mu.
func (q *Queue) wall(ms int64) int64 { return ms + q.offset }

// checkClock looks whether the system's clock was set.
func (q *Queue) checkClock() {
	q.mu.Lock()
	now := q.now()
	by := q.cfg.Wall().UnixMilli() - now.UnixMilli() - q.offset
	if by > -stepFrom && by < stepFrom {
		q.mu.Unlock()
		return
	}
	// Whoever encodes a record has the lock, or takes it afterwards: what is
	// written with the old offset and lands behind this record is off by the step,
	// as it would be without it.
	q.offset += by
	q.mu.Unlock()
	q.log.Warn("the system's clock was set; events keep their ages", "by", time.Duration(by)*time.Millisecond)
	q.note(step{by}.encode())
}
