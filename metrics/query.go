package metrics

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/internal/sqlite"
)

// Datum is what a client puts.
type Datum struct {
	Metric Metric
	Unit   string
	At     time.Time
	Set    Set
}

// ErrTooMany is the answer to metrics beyond how many there may be.
var ErrTooMany = errors.New("metrics: too many metrics")

// Put stores measurements of clients, all or none. They are on the disk when it
// returns.
func (s *Store) Put(list []Datum) error {
	if _, err := s.catchUp(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	counts, total := make(map[string]int), 0
	err := sqlite.Change(s.db, func(tx *sql.Tx) error {
		w, err := newWriter(tx)
		if err != nil {
			return err
		}
		defer w.close()
		for i := range list {
			d := &list[i]
			ok, err := s.write(w, &series{metric: d.Metric, unit: d.Unit, class: classPut}, minuteOf(d.At), &d.Set, counts, &total)
			if err != nil {
				return fmt.Errorf("metrics: write: %w", err)
			}
			if !ok {
				return ErrTooMany
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for class, n := range counts {
		s.counts[class] += n
	}
	s.total += total
	return nil
}

// Sees says whether somebody may see what belongs to a tenant; the empty tenant's is
// what belongs to several or to none. Nil sees everything.
type Sees func(alcove.Tenant) bool

// Filter asks for metrics.
type Filter struct {
	Namespace, Name string // empty is any
	// Dimensions that a metric has to have, with any value if it is empty.
	Dimensions []Dimension
	// Since leaves out metrics without a point since then.
	Since time.Time
	Sees  Sees
	// After is the place of the metric that the answer begins behind.
	After int64
	Limit int
}

// List gives metrics, in an order that new ones come last in, and the place of the
// last, zero if there are no more.
func (s *Store) List(ctx context.Context, f Filter) (list []Metric, next int64, err error) {
	db, err := s.catchUp()
	if err != nil {
		return nil, 0, err
	}
	var b strings.Builder
	args := []any{f.After}
	// One metric may be measured in several units, and by environments of several
	// tenants: the first series stands for it, as far as it is seen.
	b.WriteString(`SELECT id, namespace, name, dimensions, tenant FROM series WHERE id > ?`)
	if f.Namespace != "" {
		b.WriteString(` AND namespace = ?`)
		args = append(args, f.Namespace)
	}
	if f.Name != "" {
		b.WriteString(` AND name = ?`)
		args = append(args, f.Name)
	}
	if !f.Since.IsZero() {
		b.WriteString(` AND last >= ?`)
		args = append(args, f.Since.Unix())
	}
	b.WriteString(` ORDER BY id`)
	rows, err := db.QueryContext(ctx, b.String(), args...)
	if err != nil {
		return nil, 0, fmt.Errorf("metrics: %w", err)
	}
	defer rows.Close()
	seen := make(map[string]bool)
	for rows.Next() {
		var m Metric
		var id int64
		var dimensions string
		var tenant alcove.Tenant
		if err := rows.Scan(&id, &m.Namespace, &m.Name, &dimensions, &tenant); err != nil {
			return nil, 0, fmt.Errorf("metrics: %w", err)
		}
		if m.Dimensions, err = decodeDimensions(dimensions); err != nil {
			return nil, 0, err
		}
		key := m.Namespace + "\x00" + m.Name + "\x00" + dimensions
		if f.Sees != nil && !f.Sees(tenant) || !f.has(m.Dimensions) || seen[key] {
			continue
		}
		if len(list) == f.Limit {
			return list, next, nil
		}
		seen[key] = true
		list = append(list, m)
		next = id
	}
	return list, 0, rows.Err()
}

// has says whether a metric has the dimensions that are asked for.
func (f *Filter) has(list []Dimension) bool {
	for _, want := range f.Dimensions {
		if !slices.ContainsFunc(list, func(d Dimension) bool { return d.Name == want.Name && (want.Value == "" || d.Value == want.Value) }) {
			return false
		}
	}
	return true
}

// Point is the statistics of one period.
type Point struct {
	At   time.Time // when it begins
	Unit string
	Set  Set
}

// Points gives the statistics of a metric in periods from a time on and before
// another, in the order of time; periods without values are left out. Unit is empty
// for any: then, if byUnit is set, each unit has points of its own.
func (s *Store) Points(ctx context.Context, m Metric, unit string, byUnit bool, from, to time.Time, period time.Duration, sees Sees) ([]Point, error) {
	db, err := s.catchUp()
	if err != nil {
		return nil, err
	}
	sortDimensions(m.Dimensions)
	rows, err := db.QueryContext(ctx, `SELECT id, unit, tenant FROM series WHERE namespace = ? AND name = ? AND dimensions = ?`,
		m.Namespace, m.Name, encodeDimensions(m.Dimensions))
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	defer rows.Close()
	units := make(map[int64]string)
	for rows.Next() {
		var id int64
		var its string
		var tenant alcove.Tenant
		if err := rows.Scan(&id, &its, &tenant); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
		if (unit == "" || unit == its) && (sees == nil || sees(tenant)) {
			units[id] = its
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	seconds := int64(period / time.Second)
	resolution := resolutions[0].seconds
	for _, r := range resolutions {
		if seconds%r.seconds == 0 {
			resolution = r.seconds
		}
	}
	type place struct {
		at   int64
		unit string
	}
	sets := make(map[place]*Set)
	begin := from.Unix() / seconds * seconds
	for id, its := range units {
		if !byUnit {
			its = ""
		}
		err := eachPoint(ctx, db, id, resolution, begin, to.Unix(), func(at int64, set *Set) {
			p := place{begin + (at-begin)/seconds*seconds, its}
			if sets[p] == nil {
				sets[p] = new(Set)
			}
			sets[p].merge(set)
		})
		if err != nil {
			return nil, err
		}
	}
	list := make([]Point, 0, len(sets))
	for p, set := range sets {
		list = append(list, Point{time.Unix(p.at, 0).UTC(), p.unit, *set})
	}
	slices.SortFunc(list, func(a, b Point) int {
		if c := a.At.Compare(b.At); c != 0 {
			return c
		}
		return strings.Compare(a.Unit, b.Unit)
	})
	return list, nil
}

func eachPoint(ctx context.Context, db *sql.DB, id, resolution, from, to int64, fn func(int64, *Set)) error {
	rows, err := db.QueryContext(ctx, `SELECT at, n, sum, min, max, sketch FROM points WHERE series = ? AND resolution = ? AND at >= ? AND at < ?`, id, resolution, from, to)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var at int64
		var set Set
		var text []byte
		if err := rows.Scan(&at, &set.N, &set.Sum, &set.Min, &set.Max, &text); err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
		if set.sketch, err = decodeSketch(text); err != nil {
			return err
		}
		fn(at, &set)
	}
	return rows.Err()
}

// rebuildMark is in a database that something was purged from until it is built anew.
const rebuildMark = 1

// PurgeTenant takes out the series of a tenant, and those that name it in a
// dimension, and every copy of them in the files.
func (s *Store) PurgeTenant(ctx context.Context, tenant alcove.Tenant) error {
	if _, err := s.catchUp(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil {
		return errors.New("metrics: closed")
	}
	mark := 0
	err := sqlite.Change(s.db, func(tx *sql.Tx) error {
		ids, err := seriesOf(tx, tenant)
		for _, id := range ids {
			for _, statement := range []string{`DELETE FROM points WHERE series = ?`, `DELETE FROM series WHERE id = ?`} {
				if err == nil {
					_, err = tx.Exec(statement, id)
				}
			}
		}
		if err == nil && len(ids) > 0 {
			_, err = tx.Exec(fmt.Sprintf(`PRAGMA user_version = %d`, rebuildMark))
		}
		if err == nil {
			err = tx.QueryRow(`PRAGMA user_version`).Scan(&mark)
		}
		return err
	})
	if err == nil {
		s.counts, s.total, err = countSeries(s.db)
	}
	if err == nil && mark == rebuildMark {
		err = s.rebuild(ctx)
	}
	if err == nil {
		err = removeDamaged(s.path())
	}
	if err != nil {
		return fmt.Errorf("metrics: purge: %w", err)
	}
	return nil
}

// seriesOf are the series that are a tenant's or name it.
func seriesOf(tx *sql.Tx, tenant alcove.Tenant) (ids []int64, err error) {
	rows, err := tx.Query(`SELECT id, tenant, dimensions FROM series WHERE tenant = ?1 OR instr(dimensions, ?1) > 0`, string(tenant))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var owner alcove.Tenant
		var text string
		if err := rows.Scan(&id, &owner, &text); err != nil {
			return nil, err
		}
		dimensions, err := decodeDimensions(text)
		if err != nil {
			return nil, err
		}
		if owner == tenant || slices.ContainsFunc(dimensions, func(d Dimension) bool { return d.Value == string(tenant) }) {
			ids = append(ids, id)
		}
	}
	return ids, rows.Err()
}

// rebuild writes the database anew: deleted rows leave bytes in pages that are used.
func (s *Store) rebuild(ctx context.Context) error {
	if _, err := s.db.ExecContext(ctx, `VACUUM`); err != nil {
		return err
	}
	var busy, pages, moved int64
	if err := s.db.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &pages, &moved); err != nil {
		return err
	}
	if busy != 0 {
		return errors.New("a reader does not end")
	}
	_, err := s.db.ExecContext(ctx, `PRAGMA user_version = 0`)
	return err
}

// removeDamaged deletes a database that was set aside: nobody knows whose bytes it has.
func removeDamaged(path string) error {
	if err := os.Remove(path + ".damaged"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
