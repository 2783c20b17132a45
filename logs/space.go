package logs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"

	"github.com/alcove-run/alcove/internal/disk"
	"github.com/alcove-run/alcove/internal/sqlite"
)

// Everything here runs in the writing goroutine.

const (
	// checkEvery is how many bytes are written between looks at the budget, at
	// most.
	checkEvery = 8 << 20
	// sweepRows is how many chunks one step deletes.
	sweepRows = 500
)

// keepBudget makes room while the store holds more than its budget, or while the
// disk has less free than the reserve: then the store grows no more.
func (s *Store) keepBudget() {
	every := int64(checkEvery)
	if s.cfg.Budget > 0 {
		every = min(every, s.cfg.Budget/16)
	}
	if s.sinceCheck < every {
		return
	}
	grown := s.sinceCheck
	s.sinceCheck = 0
	need, err := s.excess(grown)
	// What is freed is not counted to the byte: once more settles it.
	for range 3 {
		if err != nil || need <= 0 {
			break
		}
		var freed int64
		if freed, err = s.trim(need + every); freed == 0 {
			break
		}
		if err == nil {
			need, err = s.excess(0)
		}
	}
	if err != nil {
		s.log.Error("logs: cannot keep the budget", "error", err)
	}
}

// excess is how many bytes have to go, after the store has grown.
func (s *Store) excess(grown int64) (int64, error) {
	need := int64(0)
	if s.cfg.Reserve > 0 {
		free, err := s.cfg.free(s.cfg.Dir)
		if err != nil {
			return 0, fmt.Errorf("logs: %w", err)
		}
		if free < s.cfg.Reserve {
			need = grown
		}
	}
	if s.cfg.Budget > 0 {
		used, err := s.used()
		if err != nil {
			return 0, err
		}
		need = max(need, used-s.cfg.Budget)
	}
	return need, nil
}

// used is how many bytes of the files hold something.
func (s *Store) used() (int64, error) {
	sum := s.index.size()
	days := s.shards.acquire(-1<<40, 1<<40)
	for _, sh := range days {
		defer sh.release()
	}
	for _, sh := range days {
		n, err := sh.live()
		if sqlite.IsDamaged(err) {
			n, err = sqlite.Size(sh.path), nil
		}
		if err != nil {
			return 0, fmt.Errorf("logs: measure a day: %w", err)
		}
		sum += n
	}
	return sum, nil
}

// freeBytes is how much room the file system of a directory has for its owner.
func freeBytes(dir string) (int64, error) {
	_, free, err := disk.Space(dir)
	return free, err
}

// makeRoom makes some after the disk turned out to be full: it trims, and if the
// disk is too full for that, deletes the oldest day unless it is keep. It says
// whether another attempt makes sense.
func (s *Store) makeRoom(keep *shard) bool {
	if freed, err := s.trim(checkEvery); freed > 0 && err == nil {
		return true
	}
	sh, n := s.shards.oldest()
	if sh == nil || n == 1 || sh == keep {
		return false
	}
	s.dropDay(sh)
	return true
}

// dropDay deletes a day, and the streams that have nothing behind it.
func (s *Store) dropDay(sh *shard) {
	s.log.Warn("logs: deleted a day for room", "path", sh.path)
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
	return sqlite.Change(s.index.w, func(tx *sql.Tx) error {
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
	rows, err := db.Query(`SELECT grp, sum(bytes) FROM held GROUP BY grp`)
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

// writing opens the connection for writing, if it is not.
func (s *Store) writing(sh *shard) error {
	if sh.w != nil {
		return nil
	}
	last, err := sh.openForWriting()
	if err == nil {
		s.lastID = max(s.lastID, last)
	}
	return err
}

// deleted is how much of a group's chunks was deleted.
type deleted struct {
	group int64
	amount
}

// delete deletes the chunks that match and says of which groups how much.
func (sh *shard) delete(where string, args ...any) (list []deleted, err error) {
	err = sqlite.Change(sh.w, func(tx *sql.Tx) error {
		gone := make(map[[2]int64]*amount)
		rows, err := tx.Query(`DELETE FROM chunks WHERE `+where+` RETURNING grp, tenant, length(payload)`, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var who [2]int64
			var bytes int64
			if err := rows.Scan(&who[0], &who[1], &bytes); err != nil {
				return err
			}
			if gone[who] == nil {
				gone[who] = new(amount)
			}
			gone[who].bytes += bytes
			gone[who].chunks++
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		for who, n := range gone {
			list = append(list, deleted{who[0], *n})
			if _, err := tx.Exec(`UPDATE held SET bytes = bytes - ?, chunks = chunks - ? WHERE grp = ? AND tenant = ?`, n.bytes, n.chunks, who[0], who[1]); err != nil {
				return err
			}
		}
		_, err = tx.Exec(`DELETE FROM held WHERE chunks <= 0`)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("logs: delete events: %w", err)
	}
	return list, nil
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
	if err := s.writing(sh); err != nil {
		return 0, err
	}
	gone, err := sh.delete(fmt.Sprintf(`id IN (SELECT id FROM chunks WHERE %s ORDER BY id LIMIT %d)`, sw.where, sweepRows), sw.args...)
	var n int64
	for _, d := range gone {
		n += d.chunks
	}
	if err != nil || n == sweepRows {
		return n, err
	}
	return n, s.tidy(sh)
}
