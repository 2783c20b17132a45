package policy

import "time"

// BlankIdle is how long after the last call that wanted a blank environment of a
// shape one is kept ready, if no function of that shape is there any more.
const BlankIdle = 10 * time.Minute

// Blanks is how many environments of one shape should wait for a function nobody
// knows yet: so many that of calls that come at random at d's rate only one in a
// hundred comes when all are taken and not yet replaced, and one while there is a
// function that might need it; at most limit.
func Blanks(now time.Time, d Demand, limit int, inUse bool) int {
	if !inUse && (d.Last.IsZero() || now.Sub(d.Last) > BlankIdle) {
		return 0
	}
	return clamp(enough(d.pending(now), limit), limit)
}
