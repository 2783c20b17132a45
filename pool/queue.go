package pool

import (
	"slices"

	"github.com/alcove-run/alcove"
)

// creationQueue orders the waiting calls so that no holder's many delay
// another's first: holders that have no environment yet come before those that
// have, every holder has one turn at a time, and within a holder the first come
// is first. A holder that has one is not starved: its calls are served by it.
// Runs of events, for which nobody waits, come after calls, but for one turn of
// four.
type creationQueue struct {
	firsts  []*line // of holders that had no environment when they came
	turns   []*line
	later   []*line // of runs that nobody waits for
	lines   map[lineKey]*line
	waiting int // calls in it
	places  int // that their environments will take
	calls   int // turns that calls have had since one of later's
}

// callTurns is how many turns calls have for one of a run that nobody waits for.
const callTurns = 3

type lineKey struct {
	holder     *holder
	background bool
}

// line is the calls of one holder; it stands in firsts, in turns or in later.
type line struct {
	key     lineKey
	waiters []*waiter
}

func (w *waiter) line() lineKey { return lineKey{w.group.holder, w.opts.Background} }

func (q *creationQueue) push(w *waiter) {
	if q.lines == nil {
		q.lines = make(map[lineKey]*line)
	}
	q.waiting++
	q.places += w.places
	k := w.line()
	l := q.lines[k]
	if l == nil {
		l = &line{key: k}
		q.lines[k] = l
		switch {
		case k.background:
			q.later = append(q.later, l)
		case k.holder.entries == 0:
			q.firsts = append(q.firsts, l)
		default:
			q.turns = append(q.turns, l)
		}
	}
	l.waiters = append(l.waiters, w)
}

// pop gives the next call, or nil.
func (q *creationQueue) pop() *waiter {
	var l *line
	switch calls := len(q.firsts)+len(q.turns) > 0; {
	case len(q.later) > 0 && (!calls || q.calls >= callTurns):
		l, q.later = q.later[0], q.later[1:]
		q.calls = 0
	case len(q.firsts) > 0:
		l, q.firsts = q.firsts[0], q.firsts[1:]
		q.calls++
	case len(q.turns) > 0:
		l, q.turns = q.turns[0], q.turns[1:]
		q.calls++
	default:
		return nil
	}
	w := l.waiters[0]
	l.waiters = l.waiters[1:]
	q.again(l)
	q.counted(w)
	return w
}

// popFor gives the next call for v that an environment of its stock can serve, in
// the same order, or nil. The holder has had its turn with that.
func (q *creationQueue) popFor(v *alcove.Version) *waiter {
	if q.waiting == 0 {
		return nil
	}
	for _, list := range []*[]*line{&q.firsts, &q.turns, &q.later} {
		for i, l := range *list {
			j := slices.IndexFunc(l.waiters, func(w *waiter) bool {
				return !w.opts.Suppressed && sameCode(w.group.version, v)
			})
			if j < 0 {
				continue
			}
			w := l.waiters[j]
			l.waiters = slices.Delete(l.waiters, j, j+1)
			*list = slices.Delete(*list, i, i+1)
			q.again(l)
			q.counted(w)
			return w
		}
	}
	return nil
}

// counted is a call that waits no more.
func (q *creationQueue) counted(w *waiter) {
	q.waiting--
	q.places -= w.places
}

// again puts l, whose holder has had its turn, behind the others.
func (q *creationQueue) again(l *line) {
	if len(l.waiters) == 0 {
		delete(q.lines, l.key)
		return
	}
	if l.key.background {
		q.later = append(q.later, l)
		return
	}
	q.turns = append(q.turns, l)
}

// remove takes out a call that waits no more.
func (q *creationQueue) remove(w *waiter) {
	l := q.lines[w.line()]
	i := slices.Index(l.waiters, w)
	l.waiters = slices.Delete(l.waiters, i, i+1)
	q.counted(w)
	if len(l.waiters) > 0 {
		return
	}
	delete(q.lines, l.key)
	for _, list := range []*[]*line{&q.firsts, &q.turns, &q.later} {
		if i := slices.Index(*list, l); i >= 0 {
			*list = slices.Delete(*list, i, i+1)
		}
	}
}

// sameCode says whether an environment of one version is one of the other's.
func sameCode(a, b *alcove.Version) bool {
	return a.FunctionID == b.FunctionID && a.Number == b.Number && a.Generation == b.Generation
}
