// Package sqlite opens SQLite databases the one way that this program wants them,
// and tells their errors apart. It is the only package that knows the driver.
package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"syscall"

	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Open opens a database in WAL mode, synced at checkpoints: what is committed
// survives kill -9, and power loss takes at most the last commits. Mode is "rw" or,
// to create it, "rwc"; more are pragmas.
func Open(path, mode string, cacheKiB int, more ...string) (*sql.DB, error) {
	if st, err := os.Stat(path); mode == "rwc" && (err != nil || st.Size() == 0) {
		// Room can be given back to the disk then. It has to be said before there
		// are tables, and would be a write each time afterwards.
		more = append([]string{"auto_vacuum(incremental)"}, more...)
	}
	q := url.Values{"mode": {mode}, "_pragma": append(more, []string{
		"busy_timeout(10000)",
		"journal_mode(WAL)",
		"synchronous(NORMAL)",
		"journal_size_limit(1048576)",
		fmt.Sprintf("cache_size(-%d)", cacheKiB),
	}...)}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return db, nil
}

// Change runs f in a transaction.
func Change(db *sql.DB, f func(tx *sql.Tx) error) error {
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// primary is SQLite's primary result code of an error, zero if it is none of
// SQLite's.
func primary(err error) int {
	if e, ok := errors.AsType[*driver.Error](err); ok {
		return e.Code() & 0xff
	}
	return 0
}

// Is says whether an error is SQLite's.
func Is(err error) bool { return primary(err) != 0 }

// IsFull says whether an error may come from a disk without room.
func IsFull(err error) bool {
	code := primary(err)
	return code == sqlite3.SQLITE_FULL || code == sqlite3.SQLITE_IOERR || code == sqlite3.SQLITE_CANTOPEN ||
		errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// IsDamaged says whether an error means that a file is no good database.
func IsDamaged(err error) bool {
	code := primary(err)
	return code == sqlite3.SQLITE_CORRUPT || code == sqlite3.SQLITE_NOTADB
}

// IsMissing says whether an error means that a database has no tables: the
// process that made it ended before its first transaction.
func IsMissing(err error) bool {
	return primary(err) == sqlite3.SQLITE_ERROR && strings.Contains(err.Error(), "no such table")
}

// Files are the files of the database at path.
func Files(path string) []string { return []string{path, path + "-wal", path + "-shm"} }

// Remove deletes a database's files.
func Remove(path string) error {
	var errs []error
	for _, p := range Files(path) {
		if err := os.Remove(p); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// SetAside renames a damaged database so that a new one can take its place.
func SetAside(path string) error {
	if err := os.Rename(path, path+".damaged"); err != nil {
		return err
	}
	return Remove(path)
}

// Size is the size of a database's files.
func Size(path string) int64 {
	var n int64
	for _, p := range Files(path) {
		if info, err := os.Stat(p); err == nil {
			n += info.Size()
		}
	}
	return n
}
