package logs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/internal/sqlite"
)

// ErrTooManyTags is that a group would have more than [alcove.MaxTags].
var ErrTooManyTags = errors.New("logs: too many tags")

// Tags are those of a group, none if it has none or is not there.
func (s *Store) Tags(ctx context.Context, group string) (map[string]string, error) {
	rows, err := s.index.r.QueryContext(ctx, `SELECT key, value FROM tags WHERE grp = (SELECT id FROM groups WHERE name = ?)`, group)
	if err != nil {
		return nil, fmt.Errorf("logs: query tags: %w", err)
	}
	defer rows.Close()
	tags := make(map[string]string)
	for rows.Next() {
		var key, value string
		if err := rows.Scan(&key, &value); err != nil {
			return nil, fmt.Errorf("logs: query tags: %w", err)
		}
		tags[key] = value
	}
	return tags, rows.Err()
}

// Retag sets tags of a group and takes others away: all of it or nothing.
func (s *Store) Retag(ctx context.Context, group string, set map[string]string, remove []string) error {
	return s.do(ctx, func() error {
		g, err := s.index.group(ctx, group)
		if err != nil {
			return err
		}
		err = sqlite.Change(s.index.w, func(tx *sql.Tx) error {
			for _, key := range remove {
				if _, err := tx.Exec(`DELETE FROM tags WHERE grp = ? AND key = ?`, g.id, key); err != nil {
					return err
				}
			}
			return setTags(tx, g.id, set)
		})
		if err != nil && !errors.Is(err, ErrTooManyTags) {
			return fmt.Errorf("logs: tag group: %w", err)
		}
		return err
	})
}

// setTags sets tags of a group, unless it would have too many.
func setTags(tx *sql.Tx, group int64, tags map[string]string) error {
	for key, value := range tags {
		_, err := tx.Exec(`INSERT INTO tags(grp, key, value) VALUES(?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = ?3`, group, key, value)
		if err != nil {
			return err
		}
	}
	var n int
	if err := tx.QueryRow(`SELECT count(*) FROM tags WHERE grp = ?`, group).Scan(&n); err != nil {
		return err
	}
	if n > alcove.MaxTags {
		return ErrTooManyTags
	}
	return nil
}
