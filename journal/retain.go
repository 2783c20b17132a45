package journal

import (
	"errors"
	"os"
	"slices"
)

// Acknowledge says that a consumer needs nothing before p any more: what it made
// of it is on its disk. A consumer
// acknowledges once after Open, from its own records, before anything is
// deleted; what it says is not kept over a restart.
func (j *Journal) Acknowledge(consumer string, p Position) {
	j.mu.Lock()
	j.acked[consumer] = p
	j.mu.Unlock()
	j.retain()
}

// retain deletes the oldest segments as Config says. The active segment stays.
func (j *Journal) retain() {
	j.files.Lock()
	defer j.files.Unlock()
	for _, s := range j.takeUnneeded() {
		if err := os.Remove(j.path(s.number)); err != nil && !errors.Is(err, os.ErrNotExist) {
			j.log.Error("journal: delete segment", "error", err)
		}
	}
}

// takeUnneeded takes the segments from the list that are to be deleted.
func (j *Journal) takeUnneeded() (gone []segment) {
	j.mu.Lock()
	defer j.mu.Unlock()
	consumed, passed := len(j.cfg.Consumers) > 0, j.passed()
	var total int64
	for _, s := range j.segments {
		total += s.end
	}
	waited := j.stats.Waiting > 0
	j.stats.Waiting = 0
	for len(j.segments) > 1 {
		s := j.segments[0]
		over := j.cfg.Budget > 0 && total > j.cfg.Budget
		if !over && !(consumed && j.cfg.Budget == 0) {
			break
		}
		if consumed && s.number >= passed {
			if j.stats.Waiting = max(total-j.cfg.Budget, 0); over && !waited {
				j.log.Warn("journal: larger than its budget, because a consumer has not taken what is in it", "bytes", total, "budget", j.cfg.Budget)
			}
			break
		}
		if !consumed {
			j.stats.Discarded++
			j.log.Info("journal: deleted the oldest segment for space", "segment", s.number, "bytes", s.end)
		}
		total -= s.end
		gone = append(gone, s)
		j.segments = slices.Delete(j.segments, 0, 1)
	}
	return gone
}

// passed is the first segment that some consumer still needs, zero if one has
// not said. Preconditions: j.mu is held.
func (j *Journal) passed() uint64 {
	if len(j.cfg.Consumers) == 0 {
		return 0
	}
	first := ^uint64(0)
	for _, name := range j.cfg.Consumers {
		first = min(first, j.acked[name].Segment)
	}
	return first
}
