package metrics

import (
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/alcove-run/alcove/internal/sqlite"
)

// Bounds of the number of series.
const (
	// MaxSeries bounds all series together.
	MaxSeries = 100_000
	// MaxTenants bounds the tenants of one function that have series of their own.
	MaxTenants = 1000
	// tenantMetrics is how many metrics there are of each.
	tenantMetrics = 4
	// MaxEmbedded bounds the series that one tenant, or a function without tenants,
	// may make by what it writes into one log group.
	MaxEmbedded = 200
	// MaxPut bounds the series that clients put.
	MaxPut = 20_000
)

// Classes of series whose number is bounded together. "tenants of FUNCTION" is one
// more; the empty one is as many as there are functions and versions.
const (
	classPut      = "put"
	classEmbedded = "embedded in "
)

// room says whether there may be one more series of a class.
func (s *Store) room(class string, count, total int) bool {
	switch {
	case total >= MaxSeries:
		return false
	case class == classPut:
		return count < MaxPut
	case strings.HasPrefix(class, classEmbedded):
		return count < MaxEmbedded
	case class != "":
		return count < MaxTenants*tenantMetrics
	}
	return true
}

// countSeries counts what there is.
func countSeries(db *sql.DB) (counts map[string]int, total int, err error) {
	rows, err := db.Query(`SELECT class, count(*) FROM series GROUP BY class`)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	counts = make(map[string]int)
	for rows.Next() {
		var class string
		var n int
		if err := rows.Scan(&class, &n); err != nil {
			return nil, 0, err
		}
		counts[class] = n
		total += n
	}
	return counts, total, rows.Err()
}

const (
	trimEvery = time.Hour
	// tenantsKept is how long a tenant's or an embedded series is kept after its
	// last point: its place is then another's.
	tenantsKept = 15 * 24 * time.Hour
)

// trimNowAndThen deletes what is older than it is kept.
func (s *Store) trimNowAndThen() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.now(); now.Sub(s.trimmed) >= trimEvery && s.db != nil {
		s.trimmed = now
		if err := s.trim(now); err != nil {
			s.log.Error("metrics: delete what is old", "error", err)
		}
	}
}

// trim deletes points and series that are not kept, and then the finest and oldest
// points until the budget is kept. Preconditions: s.mu is held.
func (s *Store) trim(now time.Time) error {
	for _, r := range resolutions {
		if _, err := s.db.Exec(`DELETE FROM points WHERE resolution = ? AND at < ?`, r.seconds, now.Add(-r.kept).Unix()); err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
	}
	longest := resolutions[len(resolutions)-1].kept
	err := sqlite.Change(s.db, func(tx *sql.Tx) error {
		const old = `(SELECT id FROM series WHERE last < CASE class WHEN '' THEN ?1 ELSE ?2 END)`
		for _, statement := range []string{`DELETE FROM points WHERE series IN ` + old, `DELETE FROM series WHERE id IN ` + old} {
			if _, err := tx.Exec(statement, now.Add(-longest).Unix(), now.Add(-tenantsKept).Unix()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	for range 1000 {
		used, err := s.used()
		if err != nil || used <= s.cfg.Budget {
			break
		}
		if more, err := s.dropOldest(); err != nil || !more {
			return err
		}
	}
	if s.counts, s.total, err = countSeries(s.db); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}

// used is how many bytes of the file hold something.
func (s *Store) used() (n int64, err error) {
	err = s.db.QueryRow(`SELECT (p.page_count - f.freelist_count) * s.page_size FROM pragma_page_count p, pragma_freelist_count f, pragma_page_size s`).Scan(&n)
	return n, err
}

// dropOldest deletes the oldest twelfth of the time that the finest points are of,
// and says whether there was anything.
func (s *Store) dropOldest() (bool, error) {
	for _, r := range resolutions {
		var first, last sql.NullInt64
		if err := s.db.QueryRow(`SELECT min(at), max(at) FROM points WHERE resolution = ?`, r.seconds).Scan(&first, &last); err != nil {
			return false, fmt.Errorf("metrics: %w", err)
		}
		if !first.Valid || last.Int64-first.Int64 < r.seconds*12 {
			continue
		}
		if _, err := s.db.Exec(`DELETE FROM points WHERE resolution = ? AND at <= ?`, r.seconds, first.Int64+(last.Int64-first.Int64)/12); err != nil {
			return false, fmt.Errorf("metrics: %w", err)
		}
		return true, nil
	}
	return false, nil
}
