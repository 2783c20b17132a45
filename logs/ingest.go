package logs

import (
	"errors"
	"fmt"
	"time"

	"github.com/alcove-run/alcove/internal/sqlite"
	"github.com/alcove-run/alcove/telemetry"
)

// shrinkAfter is how long the writing goroutine keeps connections and their
// caches open when there is nothing to write.
const shrinkAfter = 30 * time.Second

const (
	// A batch costs a row for each stream in it, however few its events are. So
	// events wait longer where storing costs more: storeShare times as long as
	// storing took last, and gatherMost times BatchEvery at most.
	storeShare = 20
	gatherMost = 4
)

// run is the writing goroutine: the only one that changes databases.
func (s *Store) run() {
	defer close(s.stopped)
	var batch taken
	idle := time.NewTimer(shrinkAfter)
	defer idle.Stop()
	var step <-chan time.Time // the next step of a sweep, while one is due
	s.planSweeps()
	for {
		if len(s.sweeps) > 0 && step == nil {
			step = time.After(s.cfg.BatchEvery)
		}
		select {
		case <-s.queue.wake:
			if c, ok := s.gatherMore(); ok {
				s.drain(&batch)
				c.done <- c.run()
			} else {
				s.drain(&batch)
			}
			idle.Reset(shrinkAfter)
		case c := <-s.commands:
			s.drain(&batch)
			c.done <- c.run()
			idle.Reset(shrinkAfter)
		case <-step:
			step = nil
			s.sweepStep()
		case <-idle.C:
			s.shrink()
		case <-s.stopping:
			s.drain(&batch)
			s.queue.mu.Lock()
			s.queue.closed = true
			s.queue.mu.Unlock()
			s.drain(&batch)
			if err := s.tellIndex(); err != nil {
				s.log.Warn("logs: index", "error", err)
			}
			return
		}
	}
}

// gatherMore waits for events to come together to a batch. It ends early for a
// command, which the caller then runs, for a queue that fills up, and at the end.
func (s *Store) gatherMore() (command, bool) {
	timer := time.NewTimer(s.gatherTime())
	defer timer.Stop()
	for !s.queue.full() {
		select {
		case <-timer.C:
			return command{}, false
		case <-s.queue.wake:
		case c := <-s.commands:
			return c, true
		case <-s.stopping:
			return command{}, false
		}
	}
	return command{}, false
}

// gatherTime is how long the next batch is gathered.
func (s *Store) gatherTime() time.Duration {
	return min(max(s.cfg.BatchEvery, storeShare*s.storing), gatherMost*s.cfg.BatchEvery)
}

// drain stores what is queued.
func (s *Store) drain(batch *taken) {
	s.queue.take(batch)
	defer s.queue.stored()
	defer batch.release()
	events := append(batch.events, s.lossRecords(batch.losses)...)
	if len(events) == 0 {
		return
	}
	began := time.Now()
	failed, err := s.store(events)
	s.storing = time.Since(began)
	if err != nil {
		s.lost(failed, batch.losses, err)
		return
	}
	s.count(func(st *Stats) {
		if st.Err != nil {
			s.log.Info("logs: storing again", "lost", st.Lost)
		}
		st.Err = nil
	})
	s.keepBudget()
}

// lossRecords makes the platform.logsDropped record of each loss.
func (s *Store) lossRecords(losses map[lossKey]*loss) []event {
	var list []event
	now := s.now()
	for key, l := range losses {
		r := telemetry.LogsDropped{Time: now, Bytes: l.bytes, Records: l.records,
			Reason: "Some logs have been dropped because they were written faster than they could be stored."}
		list = append(list, event{w: s.Stream(key.group, key.stream), tenant: key.tenant, at: now.UnixMilli(), message: r.AppendJSON(nil), record: true})
	}
	return list
}

// lost counts events that could not be stored. Their streams say so when the
// disk takes events again, as those of recorded do, whose records may be among
// the events.
func (s *Store) lost(events []*event, recorded map[lossKey]*loss, err error) {
	var total loss
	s.queue.mu.Lock()
	for _, e := range events {
		key := e.lossKey()
		if e.record {
			s.queue.lose(key, *recorded[key])
			continue
		}
		l := loss{1, int64(len(e.message))}
		total.add(l)
		s.queue.lose(key, l)
	}
	s.queue.mu.Unlock()
	s.count(func(st *Stats) {
		if st.Err == nil {
			s.log.Error("logs: events are lost", "error", err, "events", total.records)
		}
		st.Err = err
		st.Lost += total.records
		st.LostBytes += total.bytes
	})
}

// store writes events to the index and their days and tells followers. It
// gives the events that could not be written, if any.
func (s *Store) store(events []event) (failed []*event, err error) {
	runs := gather(events)
	record := func() error { return s.index.know(runs, s.generation, s.now().UnixMilli()) }
	if err := s.withRoom(nil, record); err != nil {
		for _, r := range runs {
			failed = append(failed, r.events...)
		}
		return failed, err
	}
	byDay := make(map[int64][]chunk)
	for _, r := range runs {
		for _, c := range r.chunks() {
			day := dayOf(c.least)
			byDay[day] = append(byDay[day], c)
		}
	}
	var days []*shard
	for day, list := range byDay {
		if day > s.planned {
			s.planSweeps()
			s.planned = day
		}
		sh := s.shards.of(day)
		if derr := s.withRoom(sh, func() error { return s.storeDay(sh, list) }); derr != nil {
			err = derr
			for i := range list {
				failed = append(failed, list[i].events...)
			}
			continue
		}
		for i := range list {
			text := int64(0)
			for _, e := range list[i].events {
				text += int64(len(e.message))
			}
			s.untold.add(&list[i], text, s.now().UnixMilli())
		}
		days = append(days, sh)
	}
	s.committed.Store(s.lastID)
	s.tellFollowers()
	for _, sh := range days {
		s.compactWhenDue(sh)
	}
	return failed, err
}

// tellFollowers tells them that there is something new.
func (s *Store) tellFollowers() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for f := range s.followers {
		select {
		case f <- struct{}{}:
		default:
		}
	}
}

// withRoom runs f, and once more if it failed for want of room and deleting
// the oldest day, unless that is keep, made some.
func (s *Store) withRoom(keep *shard, f func() error) error {
	err := f()
	if sqlite.IsFull(err) && s.makeRoom(keep) {
		err = f()
	}
	return err
}

// storeDay writes the chunks of one day, with new event numbers. Numbers are
// the time of storing in microseconds, moved on where events came faster.
func (s *Store) storeDay(sh *shard, list []chunk) error {
	err := s.writing(sh)
	if sqlite.IsDamaged(err) {
		s.log.Error("logs: a day is damaged: starting an empty one", "path", sh.path, "error", err)
		if err := sqlite.SetAside(sh.path); err != nil {
			return fmt.Errorf("logs: set damaged day aside: %w", err)
		}
		err = s.writing(sh)
	}
	if err != nil {
		return err
	}
	next := max(s.lastID+1, s.now().UnixMicro())
	var lines, bytes int64
	for i := range list {
		list[i].id = next
		next += int64(list[i].lines)
		lines += int64(list[i].lines)
		bytes += int64(len(list[i].payload))
	}
	if err := sh.write(list); err != nil {
		return errors.Join(err, sh.closeWriting())
	}
	sh.finished = false
	s.lastID = next - 1
	sh.lastID.Store(s.lastID)
	s.sinceCheck += bytes
	s.count(func(st *Stats) { st.Lines += lines; st.LineBytes += bytes })
	return nil
}

// shrink closes the connections for writing, and sees to the days that are over.
func (s *Store) shrink() {
	if err := s.tellIndex(); err != nil {
		s.log.Warn("logs: index", "error", err)
	}
	days := s.shards.acquire(-1<<40, 1<<40)
	s.planFinish(days)
	for _, sh := range days {
		if err := sh.closeWriting(); err != nil {
			s.log.Warn("logs: close idle day", "error", err)
		}
		sh.release()
	}
}
