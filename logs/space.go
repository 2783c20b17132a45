package logs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"
)

// Everything here runs in the writing goroutine.

const (
	// checkEvery is how many bytes are written between looks at the budget, at
	// most.
	checkEvery = 8 << 20
	// sweepRows is how many chunks one step deletes.
	sweepRows = 500
)

// keepBudget deletes the oldest day until the files are within the budget, or
// the oldest events of the only day.
func (s *Store) keepBudget() {
	if s.cfg.Budget <= 0 || s.sinceCheck < min(checkEvery, s.cfg.Budget/16) {
		return
	}
	s.sinceCheck = 0
	for {
		sh, n := s.shards.oldest()
		_, bytes := s.shards.size()
		if sh == nil || bytes+s.index.size() <= s.cfg.Budget {
			return
		}
		if n > 1 {
			s.dropDay(sh)
			continue
		}
		// The file keeps its size, but has room inside.
		for range 100 {
			live, err := sh.live()
			if err != nil || live <= s.cfg.Budget*9/10 {
				break
			}
			if err := s.trim(sh); err != nil {
				s.log.Error("logs: cannot keep the budget", "error", err)
				break
			}
		}
		return
	}
}

// makeRoom deletes the oldest there is, but not all of keep, after the disk
// turned out to be full. It says whether another attempt makes sense.
func (s *Store) makeRoom(keep *shard) bool {
	sh, n := s.shards.oldest()
	if sh == nil {
		return false
	}
	if n > 1 && sh != keep {
		s.dropDay(sh)
		return true
	}
	return s.trim(sh) == nil
}

// dropDay deletes a day, and the streams that have nothing behind it.
func (s *Store) dropDay(sh *shard) {
	s.log.Warn("logs: deleted the oldest day for room", "path", sh.path)
	if err := s.forgetDay(sh); err != nil {
		s.log.Warn("logs: index keeps what a deleted day had", "error", err)
	}
	if err := s.shards.remove(sh); err != nil {
		s.log.Error("logs: delete day", "error", err)
	}
	s.count(func(st *Stats) { st.DaysDeleted++ })
}

func (s *Store) forgetDay(sh *shard) error {
	usage, err := sh.usage()
	if err != nil {
		return err
	}
	s.generation++
	return change(s.index.w, func(tx *sql.Tx) error {
		for group, bytes := range usage {
			if _, err := tx.Exec(`UPDATE groups SET bytes = max(bytes - ?, 0) WHERE id = ?`, bytes, group); err != nil {
				return err
			}
		}
		_, err := tx.Exec(`DELETE FROM streams WHERE last > 0 AND last < ?`, (sh.day+1)*dayMillis)
		return err
	})
}

// usage is how many bytes each group stored in a day.
func (sh *shard) usage() (map[int64]int64, error) {
	db, err := sh.reader()
	if err != nil {
		return nil, err
	}
	rows, err := db.Query(`SELECT grp, bytes FROM usage`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	usage := make(map[int64]int64)
	for rows.Next() {
		var group, bytes int64
		if err := rows.Scan(&group, &bytes); err != nil {
			return nil, err
		}
		usage[group] = bytes
	}
	return usage, rows.Err()
}

// live is how many bytes of a day's file are in use.
func (sh *shard) live() (n int64, err error) {
	db, err := sh.reader()
	if err != nil {
		return 0, err
	}
	err = db.QueryRow(`SELECT (p.page_count - f.freelist_count) * s.page_size FROM pragma_page_count p, pragma_freelist_count f, pragma_page_size s`).Scan(&n)
	return n, err
}

// trim deletes the chunks of a day that were stored first.
func (s *Store) trim(sh *shard) error {
	if sh.w == nil {
		if _, err := sh.openForWriting(); err != nil {
			return err
		}
	}
	n, err := sh.delete("true")
	if err != nil {
		return err
	}
	if n == 0 {
		return errors.New("nothing left to delete")
	}
	s.count(func(st *Stats) { st.Trimmings++ })
	return nil
}

// delete deletes some chunks, the first stored first, and says how many.
func (sh *shard) delete(where string, args ...any) (int64, error) {
	var n int64
	err := change(sh.w, func(tx *sql.Tx) error {
		res, err := tx.Exec(fmt.Sprintf(`DELETE FROM chunks WHERE id IN (SELECT id FROM chunks WHERE %s ORDER BY id LIMIT %d)`, where, sweepRows), args...)
		if err == nil {
			n, err = res.RowsAffected()
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("logs: delete events: %w", err)
	}
	return n, nil
}

// sweep is a piece of deleting in the background: chunks of one day, or, with
// no day, the note in the index that they are to be deleted.
type sweep struct {
	day   *shard
	where string
	args  []any
}

// planSweeps finds what is to be deleted: what was left of deleted groups and
// streams, and events older than their group keeps them.
func (s *Store) planSweeps() {
	s.sweeps = nil
	days := s.shards.acquire(-1<<40, 1<<40)
	for _, sh := range days {
		defer sh.release()
	}
	ctx := context.Background()
	rows, err := s.index.r.QueryContext(ctx, `SELECT grp, stream FROM doomed`)
	if err != nil {
		s.log.Warn("logs: plan deletions", "error", err)
		return
	}
	defer rows.Close()
	for rows.Next() {
		var group, stream int64
		if err := rows.Scan(&group, &stream); err != nil {
			return
		}
		where, args := "grp = ?1 AND stream = ?2", []any{group, stream}
		if stream == 0 {
			where, args = "grp = ?1", []any{group}
		}
		for _, sh := range days {
			s.sweeps = append(s.sweeps, sweep{sh, where, args})
		}
		s.sweeps = append(s.sweeps, sweep{nil, "grp = ? AND stream = ?", []any{group, stream}})
	}
	groups, err := s.index.groups(ctx, `WHERE retention > 0`)
	if err != nil {
		s.log.Warn("logs: plan deletions", "error", err)
	}
	for _, g := range groups {
		oldest := dayOf(s.now().AddDate(0, 0, -g.RetentionDays).UnixMilli())
		for _, sh := range days {
			if sh.day < oldest {
				s.sweeps = append(s.sweeps, sweep{sh, "grp = ?1", []any{g.id}})
			}
		}
	}
}

// sweepStep deletes a little. What fails is planned again on another day.
func (s *Store) sweepStep() {
	if len(s.sweeps) == 0 {
		return
	}
	sw := s.sweeps[0]
	if sw.day == nil {
		if _, err := s.index.w.Exec(`DELETE FROM doomed WHERE `+sw.where, sw.args...); err != nil {
			s.log.Warn("logs: delete", "error", err)
		}
		s.sweeps = s.sweeps[1:]
		return
	}
	n, err := s.sweepDay(sw)
	if err != nil {
		s.log.Warn("logs: delete", "error", err)
	}
	if err != nil || n < sweepRows {
		s.sweeps = s.sweeps[1:]
	}
}

func (s *Store) sweepDay(sw sweep) (int64, error) {
	sh := sw.day
	if _, err := os.Stat(sh.path); err != nil {
		return 0, nil // the whole day has gone
	}
	if sh.w == nil {
		last, err := sh.openForWriting()
		if err != nil {
			return 0, err
		}
		s.lastID = max(s.lastID, last)
	}
	n, err := sh.delete(sw.where, sw.args...)
	if err != nil || n == sweepRows {
		return n, err
	}
	var left bool
	if err := sh.w.QueryRow(`SELECT EXISTS(SELECT 1 FROM chunks)`).Scan(&left); err != nil || left || sh.day >= dayOf(s.now().Add(-24*time.Hour).UnixMilli()) {
		return n, err
	}
	return n, s.shards.remove(sh)
}
