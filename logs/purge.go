package logs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/internal/sqlite"
)

// A day that a tenant was deleted from is built anew before the tenant is gone from
// it: a deleted row's bytes stay in free pages, in gaps of pages in use and in the
// write-ahead log. That it is to be built anew is a mark in the database, made with
// the deletion and taken away when it is done.
const rebuildMark = 1

// PurgeTenant deletes every event of a tenant, and every copy of its bytes from the
// files. What the tenant's environments write afterwards is stored again: they have
// to be gone before.
//
// Each day that the tenant wrote on is built anew, which needs as much room on the
// disk as the day has. Events that others write meanwhile wait in the queue.
// After an error some of it may be left: it can be done again.
func (s *Store) PurgeTenant(ctx context.Context, tenant alcove.Tenant) error {
	if tenant == "" {
		return errors.New("logs: no tenant to purge")
	}
	if err := s.do(ctx, func() error { return nil }); err != nil { // what is queued
		return err
	}
	days := s.shards.acquire(-1<<40, 1<<40)
	var errs []error
	for _, sh := range days {
		errs = append(errs, s.do(ctx, func() error { return s.purgeDay(sh, tenant) }))
		sh.release()
	}
	// Nobody can read them, so nobody knows whose bytes they have.
	damaged, err := filepath.Glob(filepath.Join(s.cfg.Dir, "*.damaged"))
	errs = append(errs, err)
	for _, path := range damaged {
		errs = append(errs, os.Remove(path))
	}
	return errors.Join(errs...)
}

// purgeDay purges a day. It runs in the writing goroutine.
func (s *Store) purgeDay(sh *shard, tenant alcove.Tenant) error {
	if _, err := os.Stat(sh.path); errors.Is(err, os.ErrNotExist) {
		return nil // the whole day has gone
	}
	if err := s.writing(sh); err != nil {
		return err
	}
	// Of a batch nothing can be deleted.
	if err := s.compact(sh); err != nil {
		return fmt.Errorf("logs: purge: %w", err)
	}
	var id, mark int64
	err := sh.w.QueryRow(`SELECT id FROM tenants WHERE name = ?`, string(tenant)).Scan(&id)
	if err == nil || errors.Is(err, sql.ErrNoRows) {
		err = sh.w.QueryRow(`PRAGMA user_version`).Scan(&mark)
	}
	if err != nil {
		return fmt.Errorf("logs: purge: %w", err)
	}
	if id == 0 && mark != rebuildMark {
		return nil
	}
	if id != 0 {
		gone, err := sh.delete(0, `tenant = ?`, id)
		if err != nil {
			return err
		}
		if err := s.discount(gone); err != nil {
			return err
		}
		err = sqlite.Change(sh.w, func(tx *sql.Tx) error {
			if _, err := tx.Exec(`DELETE FROM tenants WHERE id = ?`, id); err != nil {
				return err
			}
			_, err := tx.Exec(fmt.Sprintf(`PRAGMA user_version = %d`, rebuildMark))
			return err
		})
		if err != nil {
			return fmt.Errorf("logs: purge: %w", err)
		}
		delete(sh.tenants, tenant)
	}
	if err := s.rebuild(sh); err != nil {
		// The connection has settings of its own now; the next one has not.
		return errors.Join(fmt.Errorf("logs: purge: build a day anew: %w", err), sh.closeWriting())
	}
	return nil
}

// rebuild writes a day's database anew, without what was deleted, and puts it in
// the place of the old one. It runs in the writing goroutine.
func (s *Store) rebuild(sh *shard) error {
	next := s.shards.make(sh.day, sh.build+1)
	unfinished := next.path + unfinishedSuffix
	if err := sqlite.Remove(unfinished); err != nil {
		return err
	}
	// A page that is built has zeros where it has nothing then: the new database
	// takes the setting over.
	if err := drainRows(sh.w, `PRAGMA secure_delete = 1`); err != nil {
		return err
	}
	if _, err := sh.w.Exec(`VACUUM INTO ?`, unfinished); err != nil {
		return errors.Join(err, sqlite.Remove(unfinished))
	}
	if err := finish(unfinished); err != nil {
		return errors.Join(err, sqlite.Remove(unfinished))
	}
	if err := os.Rename(unfinished, next.path); err != nil {
		return errors.Join(err, sqlite.Remove(unfinished))
	}
	if err := syncPath(s.cfg.Dir); err != nil {
		return err
	}
	next.lastID.Store(sh.lastID.Load())
	next.ready.Store(true)
	err := s.shards.replace(sh, next)
	s.planSweeps() // those that were planned know the old file
	return err
}

// finish takes the mark off a new database and syncs it.
func finish(path string) error {
	db, err := sqlite.Open(path, "rw", 512)
	if err != nil {
		return err
	}
	if err := errors.Join(drainRows(db, `PRAGMA user_version = 0`), db.Close()); err != nil { // which moves the write-ahead log into the file
		return err
	}
	return syncPath(path)
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
