package journal

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
)

// Acknowledge says that a consumer needs nothing before p any more. Segments
// that every name in Config.Consumers has passed are deleted. A consumer
// acknowledges once after Open, from its own records, before anything is
// deleted; what it says is not kept over a restart.
func (j *Journal) Acknowledge(consumer string, p Position) {
	j.mu.Lock()
	j.acked[consumer] = p
	j.mu.Unlock()
	j.retain()
}

// retain deletes the segments that nobody needs, and those beyond the budget.
// The active segment stays.
func (j *Journal) retain() {
	j.mu.Lock()
	passed := j.passed()
	var total int64
	for _, s := range j.segments {
		total += s.end
	}
	var gone []segment
	for len(j.segments) > 1 {
		s := j.segments[0]
		over := j.cfg.Budget > 0 && total > j.cfg.Budget
		if s.number >= passed && !over {
			break
		}
		if s.number >= passed {
			j.stats.Discarded++
			level, text := slog.LevelWarn, "journal: deleted unread reports for space"
			if len(j.cfg.Consumers) == 0 { // nobody was to read them
				level, text = slog.LevelInfo, "journal: deleted the oldest segment for space"
			}
			j.log.Log(context.Background(), level, text, "segment", s.number, "bytes", s.end)
		}
		total -= s.end
		gone = append(gone, s)
		j.segments = slices.Delete(j.segments, 0, 1)
	}
	j.mu.Unlock()
	for _, s := range gone {
		if err := os.Remove(j.path(s.number)); err != nil && !errors.Is(err, os.ErrNotExist) {
			j.log.Error("journal: delete segment", "error", err)
		}
	}
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
