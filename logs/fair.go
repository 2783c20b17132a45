package logs

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/internal/sqlite"
)

// Room is made at the cost of whoever holds most, never at the cost of whoever
// has been here longest: a tenant that floods the store loses events of its own.
//
// Everything here runs in the writing goroutine.

const (
	// chunkCost is what a chunk takes beside its payload, in its row and indexes.
	chunkCost = 160
	// trimStep bounds the bytes that one transaction deletes.
	trimStep = 4 << 20
)

// owner is whose events are counted together: a tenant's, of whatever group,
// or a group's events that belong to no tenant.
type owner struct {
	tenant alcove.Tenant
	group  int64 // zero if there is a tenant
}

// cuts says how much each owner loses so that at least need goes, or
// everything: the largest is brought down to the next one's size, then both, and
// so on, so that nobody who holds less than another loses anything before it.
func cuts(held map[owner]int64, need int64) map[owner]int64 {
	type part struct {
		owner
		bytes int64
	}
	list := make([]part, 0, len(held))
	for h, n := range held {
		if n > 0 {
			list = append(list, part{h, n})
		}
	}
	slices.SortFunc(list, func(a, b part) int {
		return cmp.Or(cmp.Compare(b.bytes, a.bytes), cmp.Compare(a.tenant, b.tenant), cmp.Compare(a.group, b.group))
	})
	// level is what the first n may keep.
	var level, sum int64
	n := 0
	for n < len(list) {
		sum += list[n].bytes
		n++
		next := int64(0)
		if n < len(list) {
			next = list[n].bytes
		}
		if level = next; sum-int64(n)*next >= need {
			level = max((sum-need)/int64(n), next)
			break
		}
	}
	out := make(map[owner]int64, n)
	for _, p := range list[:n] {
		if loss := p.bytes - level; loss > 0 {
			out[p.owner] = loss
		}
	}
	return out
}

// holdings is what each owner has in a day.
func (sh *shard) holdings() (map[owner]int64, error) {
	db, err := sh.reader()
	if err != nil {
		return nil, err
	}
	rows, err := db.Query(`SELECT t.name, iif(t.name = '', h.grp, 0) AS g, sum(h.bytes + h.chunks * ?)
		FROM held h JOIN tenants t ON t.id = h.tenant GROUP BY t.name, g`, chunkCost)
	if sqlite.IsMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	held := make(map[owner]int64)
	for rows.Next() {
		var h owner
		var n int64
		if err := rows.Scan(&h.tenant, &h.group, &n); err != nil {
			return nil, err
		}
		held[h] = n
	}
	return held, rows.Err()
}

// trim deletes at least need bytes, or all there is: each owner's cut, its
// oldest days first and of a day what was stored first. It says how many went.
func (s *Store) trim(need int64) (freed int64, err error) {
	days := s.shards.acquire(-1<<40, 1<<40)
	for _, sh := range days {
		defer sh.release()
	}
	if err := s.compactOpen(); err != nil {
		return 0, err
	}
	total := make(map[owner]int64)
	byDay := make([]map[owner]int64, len(days))
	for i, sh := range days {
		if byDay[i], err = sh.holdings(); sqlite.IsDamaged(err) {
			freed = sqlite.Size(sh.path)
			s.dropDay(sh) // nobody can read it any more
			return freed, nil
		} else if err != nil {
			return 0, fmt.Errorf("logs: count what tenants hold: %w", err)
		}
		for h, n := range byDay[i] {
			total[h] += n
		}
	}
	left := cuts(total, need)
	for i, sh := range days {
		before := freed
		for h := range byDay[i] {
			for left[h] > 0 {
				n, err := s.trimDay(sh, h, min(left[h], trimStep))
				if err != nil {
					return freed, err
				}
				if n == 0 {
					break // the rest of the cut is in later days
				}
				freed += n
				left[h] -= n
			}
		}
		if freed > before {
			if err := s.tidy(sh); err != nil {
				return freed, err
			}
		}
	}
	if freed > 0 {
		s.count(func(st *Stats) { st.Trimmings++ })
	}
	return freed, nil
}

// trimDay deletes what h stored first in a day, at least n bytes of it unless
// there are fewer, and says how many.
func (s *Store) trimDay(sh *shard, h owner, n int64) (freed int64, err error) {
	if err := s.writing(sh); err != nil {
		return 0, err
	}
	tenant, err := tenantID(context.Background(), sh.w, h.tenant)
	if err != nil {
		return 0, fmt.Errorf("logs: delete events: %w", err)
	}
	where, args := "tenant = ?1", []any{tenant}
	if h.group != 0 {
		where, args = "tenant = ?1 AND grp = ?2", []any{tenant, h.group}
	}
	last, err := sh.lastOf(where, args, n)
	if err != nil || last == 0 {
		return 0, err
	}
	gone, err := sh.delete(0, fmt.Sprintf("%s AND id <= %d", where, last), args...)
	if err != nil {
		return 0, err
	}
	for _, d := range gone {
		freed += d.bytes + d.chunks*chunkCost
	}
	return freed, s.discount(gone)
}

// lastOf is the chunk or block with which the first n bytes of those that match
// end, zero if none matches.
func (sh *shard) lastOf(where string, args []any, n int64) (id int64, err error) {
	err = sh.has.each(func(table, _ string) error {
		if n <= 0 {
			return nil
		}
		rows, err := sh.w.Query(`SELECT id, length(payload) FROM `+table+` WHERE `+where+` ORDER BY id`, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for n > 0 && rows.Next() {
			var bytes int64
			if err := rows.Scan(&id, &bytes); err != nil {
				return err
			}
			n -= bytes + chunkCost
		}
		return rows.Err()
	})
	if err != nil {
		return 0, fmt.Errorf("logs: delete events: %w", err)
	}
	return id, nil
}

// discount takes what was deleted off its groups' sizes.
func (s *Store) discount(gone []deleted) error {
	err := sqlite.Change(s.index.w, func(tx *sql.Tx) error {
		for _, d := range gone {
			if _, err := tx.Exec(`UPDATE groups SET bytes = max(bytes - ?, 0) WHERE id = ?`, d.bytes+d.saved, d.group); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("logs: index: %w", err)
	}
	return nil
}

// tidy gives the room inside a day's file back to the disk, and the whole day if
// nothing is left of it.
func (s *Store) tidy(sh *shard) error {
	left := sh.waiting.chunks > 0
	err := sh.has.each(func(table, _ string) error {
		var some bool
		err := sh.w.QueryRow(`SELECT EXISTS(SELECT 1 FROM ` + table + `)`).Scan(&some)
		left = left || some
		return err
	})
	if err != nil {
		return fmt.Errorf("logs: look for what is left: %w", err)
	}
	if !left && sh.day < dayOf(s.now().Add(-maxPast).UnixMilli()) {
		return s.shards.remove(sh)
	}
	for _, pragma := range []string{`PRAGMA incremental_vacuum`, `PRAGMA wal_checkpoint(TRUNCATE)`} {
		if err := drainRows(sh.w, pragma); err != nil {
			return fmt.Errorf("logs: give room back: %w", err)
		}
	}
	return nil
}

// drainRows runs a statement that works as its rows are read.
func drainRows(db *sql.DB, statement string) error {
	rows, err := db.Query(statement)
	if err != nil {
		return err
	}
	for rows.Next() {
	}
	return errors.Join(rows.Err(), rows.Close())
}
