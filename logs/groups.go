package logs

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/internal/sqlite"
)

// GroupQuery asks for groups, in the order of their names.
type GroupQuery struct {
	// Prefix is what names begin with, Contains what is in them in any case.
	Prefix, Contains string
	// After goes on behind the group of that name.
	After string
	Limit int // zero means 50
}

// Groups answers a query for groups; next is the After of the next page, empty
// at the end.
func (s *Store) Groups(ctx context.Context, q GroupQuery) (list []Group, next string, err error) {
	if err := s.settle(ctx); err != nil {
		return nil, "", err
	}
	if q.Limit <= 0 {
		q.Limit = 50
	}
	list, err = s.index.groups(ctx, `WHERE name >= ?1 AND name < ?2 AND name > ?3 AND (?4 = '' OR instr(lower(name), lower(?4)) > 0)
		ORDER BY name LIMIT ?5`, q.Prefix, prefixEnd(q.Prefix), q.After, q.Contains, q.Limit+1)
	if len(list) > q.Limit {
		list = list[:q.Limit]
		next = list[q.Limit-1].Name
	}
	return list, next, err
}

// Group gives one group.
func (s *Store) Group(ctx context.Context, name string) (Group, error) {
	if err := s.settle(ctx); err != nil {
		return Group{}, err
	}
	return s.index.group(ctx, name)
}

// CreateGroup makes a group with tags, ErrExists if it is there.
func (s *Store) CreateGroup(ctx context.Context, name string, tags map[string]string) error {
	return s.do(ctx, func() error {
		return sqlite.Change(s.index.w, func(tx *sql.Tx) error {
			res, err := tx.Exec(`INSERT INTO groups(name, created) VALUES(?, ?) ON CONFLICT DO NOTHING`, name, s.now().UnixMilli())
			if err := affected(res, err, ErrExists); err != nil {
				return err
			}
			id, err := res.LastInsertId()
			if err != nil {
				return fmt.Errorf("logs: create group: %w", err)
			}
			return setTags(tx, id, tags)
		})
	})
}

// DeleteGroup deletes a group and its streams. Its events cannot be read from
// then on; their room is reclaimed in the background.
func (s *Store) DeleteGroup(ctx context.Context, name string) error {
	return s.do(ctx, func() error {
		g, err := s.index.group(ctx, name)
		if err != nil {
			return err
		}
		err = sqlite.Change(s.index.w, func(tx *sql.Tx) error {
			return execAll(tx, g.id, `DELETE FROM streams WHERE grp = ?`, `DELETE FROM tags WHERE grp = ?`, `DELETE FROM groups WHERE id = ?`,
				`DELETE FROM doomed WHERE grp = ?`, `INSERT INTO doomed(grp, stream) VALUES(?, 0)`)
		})
		if err != nil {
			return fmt.Errorf("logs: delete group: %w", err)
		}
		s.deleted()
		return nil
	})
}

// deleted makes everybody look up ids again.
func (s *Store) deleted() {
	s.generation++
	s.names.forget()
	s.planSweeps()
}

// SetRetention sets for how many days a group's events are kept, zero for as
// long as there is room.
func (s *Store) SetRetention(ctx context.Context, name string, days int) error {
	return s.do(ctx, func() error {
		res, err := s.index.w.Exec(`UPDATE groups SET retention = ? WHERE name = ?`, days, name)
		if err := affected(res, err, ErrNoGroup); err != nil {
			return err
		}
		s.planSweeps()
		return nil
	})
}

// StreamQuery asks for streams of a group.
type StreamQuery struct {
	Group  string
	Prefix string // of names
	// ByLastEvent orders by the time of the last event rather than by name.
	ByLastEvent bool
	Descending  bool
	// After goes on where the page before ended: its next.
	After string
	Limit int // zero means 50
}

// Streams answers a query for streams; next is the After of the next page,
// empty at the end.
func (s *Store) Streams(ctx context.Context, q StreamQuery) (list []Stream, next string, err error) {
	if err := s.settle(ctx); err != nil {
		return nil, "", err
	}
	if q.Limit <= 0 {
		q.Limit = 50
	}
	g, err := s.index.group(ctx, q.Group)
	if err != nil {
		return nil, "", err
	}
	where, args := `WHERE grp = ? AND name >= ? AND name < ?`, []any{g.id, q.Prefix, prefixEnd(q.Prefix)}
	beyond, direction := ">", " ASC"
	if q.Descending {
		beyond, direction = "<", " DESC"
	}
	order := "name" + direction
	if q.ByLastEvent {
		order = "last" + direction + ", name" + direction
	}
	if q.After != "" {
		last, name, ok := strings.Cut(q.After, ":")
		ms, err := strconv.ParseInt(last, 10, 64)
		if !ok || err != nil {
			return nil, "", ErrBadCursor
		}
		if q.ByLastEvent {
			where += ` AND (last, name) ` + beyond + ` (?, ?)`
			args = append(args, ms, name)
		} else {
			where += ` AND name ` + beyond + ` ?`
			args = append(args, name)
		}
	}
	list, err = s.index.streams(ctx, where+` ORDER BY `+order+` LIMIT ?`, append(args, q.Limit+1)...)
	if len(list) > q.Limit {
		list = list[:q.Limit]
		end := list[q.Limit-1]
		var last int64
		if !end.LastEvent.IsZero() {
			last = end.LastEvent.UnixMilli()
		}
		next = strconv.FormatInt(last, 10) + ":" + end.Name
	}
	return list, next, err
}

// CreateStream makes an empty stream of an existing group.
func (s *Store) CreateStream(ctx context.Context, group, stream string) error {
	return s.do(ctx, func() error {
		g, err := s.index.group(ctx, group)
		if err != nil {
			return err
		}
		res, err := s.index.w.Exec(`INSERT INTO streams(grp, name, created) VALUES(?, ?, ?) ON CONFLICT DO NOTHING`, g.id, stream, s.now().UnixMilli())
		return affected(res, err, ErrExists)
	})
}

// DeleteStream deletes a stream, as DeleteGroup deletes a group.
func (s *Store) DeleteStream(ctx context.Context, group, stream string) error {
	return s.do(ctx, func() error {
		g, st, err := s.stream(ctx, group, stream)
		if err != nil {
			return err
		}
		err = sqlite.Change(s.index.w, func(tx *sql.Tx) error {
			if _, err := tx.Exec(`INSERT INTO doomed(grp, stream) VALUES(?, ?)`, g.id, st.id); err != nil {
				return err
			}
			return execAll(tx, st.id, `DELETE FROM streams WHERE id = ?`)
		})
		if err != nil {
			return fmt.Errorf("logs: delete stream: %w", err)
		}
		s.deleted()
		return nil
	})
}

func (s *Store) stream(ctx context.Context, group, stream string) (Group, Stream, error) {
	g, err := s.index.group(ctx, group)
	if err != nil {
		return Group{}, Stream{}, err
	}
	list, err := s.index.streams(ctx, `WHERE grp = ? AND name = ?`, g.id, stream)
	if err == nil && len(list) == 0 {
		err = ErrNoStream
	}
	if err != nil {
		return Group{}, Stream{}, err
	}
	return g, list[0], nil
}

// Entry is an event that a client of the API puts.
type Entry struct {
	At      time.Time
	Message []byte
}

// Put stores events in an existing stream and returns when they can be read.
// They belong to no tenant: nobody's binding says so.
func (s *Store) Put(ctx context.Context, group, stream string, entries []Entry) error {
	return s.do(ctx, func() error {
		if _, _, err := s.stream(ctx, group, stream); err != nil {
			return err
		}
		w := s.Stream(group, stream)
		var events []event
		for _, e := range entries {
			events = append(events, event{w: w, tenant: alcove.Tenant(""), at: e.At.UnixMilli(), message: e.Message})
		}
		_, err := s.store(events)
		s.keepBudget()
		return err
	})
}

// execAll runs statements that take one id.
func execAll(tx *sql.Tx, id int64, statements ...string) error {
	for _, q := range statements {
		if _, err := tx.Exec(q, id); err != nil {
			return err
		}
	}
	return nil
}

// affected is err, or none if a statement changed nothing.
func affected(res sql.Result, err, none error) error {
	if err != nil {
		return fmt.Errorf("logs: index: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return none
	}
	return nil
}
