package metrics

import (
	"cmp"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/internal/sqlite"
	"github.com/alcove-run/alcove/journal"
)

// batch is what one transaction writes.
type batch struct {
	groups map[groupKey]*group
	points map[seriesPoint]*point
}

type point struct {
	series *series
	set    Set
}

// maxBatch bounds the memory of a batch, in groups or points.
const maxBatch = 20_000

func (b *batch) group(k groupKey) *group {
	g := b.groups[k]
	if g == nil {
		if b.groups == nil {
			b.groups = make(map[groupKey]*group)
		}
		g = new(group)
		b.groups[k] = g
	}
	return g
}

// point is a minute of a series.
func (b *batch) point(se *series, minute int64) *Set {
	at := seriesPoint{se.key(), minute}
	p := b.points[at]
	if p == nil {
		if b.points == nil {
			b.points = make(map[seriesPoint]*point)
		}
		p = &point{series: se}
		b.points[at] = p
	}
	return &p.set
}

func (b *batch) full() bool  { return len(b.groups) >= maxBatch/8 || len(b.points) >= maxBatch }
func (b *batch) empty() bool { return len(b.groups) == 0 && len(b.points) == 0 }

// read takes what is new in the journal and what is in the batch into the database.
// Preconditions: s.mu is held, the database is open.
func (s *Store) read() error {
	at, moved := s.at, false
	err := s.cfg.Journal.Read(s.at, func(p journal.Position, r *alcove.Report) error {
		at, moved = p, true
		s.batch.addReport(r)
		if !s.batch.full() {
			return nil
		}
		moved = false
		return s.commit(at)
	})
	if err == nil && (moved || !s.batch.empty()) {
		err = s.commit(at)
	}
	return err
}

// commit writes the batch. What a failure leaves unwritten is dropped but for
// reports, which are read again: nothing is counted twice, and memory is bounded.
// Preconditions: s.mu is held, the database is open.
func (s *Store) commit(at journal.Position) error {
	b := s.batch
	s.batch = batch{}
	for k, g := range b.groups {
		b.spread(k, g)
	}
	counts, total := make(map[string]int), 0
	err := sqlite.Change(s.db, func(tx *sql.Tx) error {
		w, err := newWriter(tx)
		if err != nil {
			return err
		}
		defer w.close()
		folded := batch{}
		// A tenant's together, so that it has all of its series or none.
		for _, at := range b.order() {
			p := b.points[at]
			ok, err := s.write(w, p.series, at.minute, &p.set, counts, &total)
			if err != nil {
				return err
			}
			if !ok && p.series.tenant != "" && p.series.node() {
				// Beyond what is told apart: together with the others.
				folded.point(p.series.ofOthers(), at.minute).merge(&p.set)
			} else if !ok {
				s.dropped++
			}
		}
		for at, p := range folded.points {
			if _, err := s.write(w, p.series, at.minute, &p.set, counts, &total); err != nil {
				return err
			}
		}
		_, err = tx.Exec(`UPDATE place SET segment = ?, offset = ?`, at.Segment, at.Offset)
		return err
	})
	if err != nil {
		return fmt.Errorf("metrics: write: %w", err)
	}
	s.at = at
	s.total += total
	for class, n := range counts {
		s.counts[class] += n
	}
	return nil
}

// order is the points by their tenants.
func (b *batch) order() []seriesPoint {
	list := slices.Collect(maps.Keys(b.points))
	slices.SortFunc(list, func(x, y seriesPoint) int {
		return cmp.Or(cmp.Compare(b.points[x].series.tenant, b.points[y].series.tenant), cmp.Compare(x.key, y.key))
	})
	return list
}

// writer has the statements of one transaction.
type writer struct{ find, make, touch, get, put *sql.Stmt }

func newWriter(tx *sql.Tx) (w *writer, err error) {
	w = new(writer)
	for to, text := range map[**sql.Stmt]string{
		&w.find:  `SELECT id FROM series WHERE hash = ?`,
		&w.make:  `INSERT INTO series(hash, namespace, name, unit, dimensions, tenant, class, last) VALUES(?, ?, ?, ?, ?, ?, ?, ?)`,
		&w.touch: `UPDATE series SET last = max(last, ?) WHERE id = ?`,
		&w.get:   `SELECT n, sum, min, max, sketch FROM points WHERE series = ? AND resolution = ? AND at = ?`,
		&w.put:   `INSERT OR REPLACE INTO points(resolution, series, at, n, sum, min, max, sketch) VALUES(?, ?, ?, ?, ?, ?, ?, ?)`,
	} {
		if *to, err = tx.Prepare(text); err != nil {
			w.close()
			return nil, err
		}
	}
	return w, nil
}

func (w *writer) close() {
	for _, s := range []*sql.Stmt{w.find, w.make, w.touch, w.get, w.put} {
		if s != nil {
			s.Close()
		}
	}
}

// write adds to a minute of a series, and says whether there may be that series.
// Preconditions: s.mu is held.
func (s *Store) write(w *writer, se *series, minute int64, set *Set, counts map[string]int, total *int) (bool, error) {
	hash := hashOf(se.key())
	var id int64
	err := w.find.QueryRow(hash[:]).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		if !s.room(se.class, s.counts[se.class]+counts[se.class], s.total+*total) {
			return false, nil
		}
		var res sql.Result
		res, err = w.make.Exec(hash[:], se.metric.Namespace, se.metric.Name, se.unit, encodeDimensions(se.metric.Dimensions), string(se.tenant), se.class, minute)
		if err == nil {
			id, err = res.LastInsertId()
			counts[se.class]++
			*total++
		}
	} else if err == nil {
		_, err = w.touch.Exec(minute, id)
	}
	for _, r := range resolutions {
		if err != nil {
			return false, err
		}
		err = w.add(id, r.seconds, minute/r.seconds*r.seconds, set)
	}
	return true, err
}

// add adds to one point.
func (w *writer) add(id, resolution, at int64, set *Set) error {
	var sum Set
	var text []byte
	err := w.get.QueryRow(id, resolution, at).Scan(&sum.N, &sum.Sum, &sum.Min, &sum.Max, &text)
	if err == nil {
		if sum.sketch, err = decodeSketch(text); err != nil {
			sum = Set{} // what is damaged is counted anew
			err = nil
		}
	} else if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	if err != nil {
		return err
	}
	sum.merge(set)
	_, err = w.put.Exec(resolution, id, at, sum.N, sum.Sum, sum.Min, sum.Max, sum.sketch.encode())
	return err
}
