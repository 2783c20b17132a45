package logs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

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
	err := s.compactOpen()
	if used, uerr := s.used(); uerr == nil && s.usedBefore > 0 {
		grown = used - s.usedBefore
	}
	var need int64
	if err == nil {
		need, err = s.excess(grown, every)
	}
	// What is freed is not counted to the byte: once more settles it.
	for range 3 {
		if err != nil || need <= 0 {
			break
		}
		var freed int64
		if freed, err = s.trim(need); freed == 0 {
			break
		}
		if err == nil {
			need, err = s.excess(0, every)
		}
	}
	if err == nil {
		s.usedBefore, err = s.used()
	}
	if err != nil {
		s.log.Error("logs: cannot keep the budget", "error", err)
	}
}

// compactOpen makes blocks of what is in the batches of the days that are written
// to: whose events are in batches is not counted, nor how little room they take as
// blocks. If the disk is too full for that, they stay.
func (s *Store) compactOpen() error {
	days := s.shards.acquire(-1<<40, 1<<40)
	for _, sh := range days {
		defer sh.release()
	}
	for _, sh := range days {
		if sh.w == nil {
			continue
		}
		if err := s.compact(sh); err != nil && !sqlite.IsFull(err) {
			return err
		}
	}
	return nil
}

// excess is how many bytes have to go, after the store has grown, with some more,
// so that it is not beyond its budget again at once.
func (s *Store) excess(grown, more int64) (int64, error) {
	used, err := s.used()
	if err != nil {
		return 0, err
	}
	need := int64(0)
	if s.cfg.Reserve > 0 {
		free, err := s.cfg.free(s.cfg.Dir)
		if err != nil {
			return 0, fmt.Errorf("logs: %w", err)
		}
		if free < s.cfg.Reserve {
			need = max(0, min(grown, used-s.cfg.Least))
		}
	}
	if s.cfg.Budget > 0 {
		if beyond := used - s.cfg.Budget; beyond > 0 {
			need = max(need, beyond+more)
		}
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
	if err == nil {
		err = s.index.tell(&s.untold, s.lastID)
	}
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
	rows, err := db.Query(`SELECT grp, sum(bytes + saved) FROM held GROUP BY grp`)
	if sqlite.Is(err) { // a day from before there were blocks
		rows, err = db.Query(`SELECT grp, sum(bytes) FROM held GROUP BY grp`)
	}
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
	if err != nil {
		return err
	}
	s.lastID = max(s.lastID, last)
	if err := s.recall(sh); err != nil {
		return errors.Join(err, sh.closeWriting())
	}
	return nil
}

// deleted is how much of a group's chunks was deleted.
type deleted struct {
	group int64
	amount
}

// delete deletes the chunks and blocks that match, limit of each at most if it is
// not zero, and says of which groups how much. The day has no batches.
func (sh *shard) delete(limit int, where string, args ...any) (list []deleted, err error) {
	if limit > 0 {
		where = fmt.Sprintf(`id IN (SELECT id FROM TABLE_NAME WHERE %s ORDER BY id LIMIT %d)`, where, limit)
	}
	err = sqlite.Change(sh.w, func(tx *sql.Tx) error {
		gone := make(map[[2]int64]*amount)
		err := sh.has.each(func(table, text string) error {
			return deleteFrom(tx, gone, fmt.Sprintf(`DELETE FROM %s WHERE %s RETURNING grp, tenant, length(payload), %s`,
				table, strings.ReplaceAll(where, "TABLE_NAME", table), text), args)
		})
		if err != nil {
			return err
		}
		for who, n := range gone {
			list = append(list, deleted{who[0], *n})
			if _, err := tx.Exec(`UPDATE held SET bytes = bytes - ?, saved = saved - ?, chunks = chunks - ? WHERE grp = ? AND tenant = ?`,
				n.bytes, n.saved, n.chunks, who[0], who[1]); err != nil {
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

// deleteFrom runs a deletion, and adds up whose bytes and text went.
func deleteFrom(tx *sql.Tx, gone map[[2]int64]*amount, statement string, args []any) error {
	rows, err := tx.Query(statement, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var who [2]int64
		var bytes, text int64
		if err := rows.Scan(&who[0], &who[1], &bytes, &text); err != nil {
			return err
		}
		if gone[who] == nil {
			gone[who] = new(amount)
		}
		gone[who].bytes += bytes
		gone[who].saved += text - bytes
		gone[who].chunks++
	}
	return errors.Join(rows.Err(), rows.Close())
}

// sweep is a piece of work in the background: deleting chunks of one day, or, with
// no day, the note in the index that they are to be deleted; or, with no condition,
// leaving a day that is over as small as it can be.
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
	s.planFinish(days)
}

// planFinish has the days that are over made small.
func (s *Store) planFinish(days []*shard) {
	for _, sh := range days {
		planned := slices.ContainsFunc(s.sweeps, func(sw sweep) bool { return sw.day == sh && sw.where == "" })
		if !planned && !sh.finished && sh.day < dayOf(s.now().Add(-maxPast).UnixMilli()) {
			s.sweeps = append(s.sweeps, sweep{day: sh})
		}
	}
}

// finishDay makes blocks of the last batches of a day that is over, and gives back
// the room that they took.
func (s *Store) finishDay(sh *shard) error {
	if _, err := os.Stat(sh.path); err != nil {
		return nil // the whole day has gone
	}
	sh.finished = true // or it is tried again when something is written to it
	db, err := sh.reader()
	if err != nil {
		return err
	}
	has, err := tablesOf(context.Background(), db)
	if err != nil || !has.blocks {
		return err
	}
	var some bool
	if err := db.QueryRow(`SELECT EXISTS(SELECT 1 FROM batches) OR (SELECT freelist_count > 0 FROM pragma_freelist_count)`).Scan(&some); err != nil || !some {
		return err
	}
	if err := s.compact(sh); err != nil {
		return err
	}
	if err := s.writing(sh); err != nil {
		return err
	}
	return errors.Join(s.tidy(sh), sh.closeWriting())
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
	if sw.where == "" {
		if err := s.finishDay(sw.day); err != nil {
			s.log.Warn("logs: make a day small", "path", sw.day.path, "error", err)
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
	if err := s.compact(sh); err != nil {
		return 0, err
	}
	gone, err := sh.delete(sweepRows, sw.where, sw.args...)
	var n int64
	for _, d := range gone {
		n += d.chunks
	}
	if err != nil || n >= sweepRows {
		return n, err
	}
	return n, s.tidy(sh)
}
