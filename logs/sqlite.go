package logs

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// openDatabase opens a database in WAL mode, synced at checkpoints: what is
// committed survives kill -9, and power loss takes at most the last commits.
// Mode is "rw" or, to create it, "rwc".
func openDatabase(path, mode string, cacheKiB int, more ...string) (*sql.DB, error) {
	if st, err := os.Stat(path); mode == "rwc" && (err != nil || st.Size() == 0) {
		// tidy gives room back to the disk; it has to be said before there are
		// tables, and would be a write each time afterwards.
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
		return nil, fmt.Errorf("logs: open %s: %w", path, err)
	}
	return db, nil
}

// primary is SQLite's primary result code of an error, zero if it is none of
// SQLite's.
func primary(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return 0
}

// isFull says whether an error may come from a disk without room.
func isFull(err error) bool {
	code := primary(err)
	return code == sqlite3.SQLITE_FULL || code == sqlite3.SQLITE_IOERR || code == sqlite3.SQLITE_CANTOPEN ||
		errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// isDamaged says whether an error means that a file is no good database.
func isDamaged(err error) bool {
	code := primary(err)
	return code == sqlite3.SQLITE_CORRUPT || code == sqlite3.SQLITE_NOTADB
}

// isMissing says whether an error means that a database has no tables: the
// process that made it ended before its first transaction.
func isMissing(err error) bool {
	return primary(err) == sqlite3.SQLITE_ERROR && strings.Contains(err.Error(), "no such table")
}

// databaseFiles are the files of the database at path.
func databaseFiles(path string) []string { return []string{path, path + "-wal", path + "-shm"} }

// removeDatabase deletes a database's files.
func removeDatabase(path string) error {
	var errs []error
	for _, p := range databaseFiles(path) {
		if err := os.Remove(p); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// setAside renames a damaged database so that a new one can take its place.
func setAside(path string) error {
	if err := os.Rename(path, path+".damaged"); err != nil {
		return err
	}
	return removeDatabase(path)
}

// databaseSize is the size of a database's files.
func databaseSize(path string) int64 {
	var n int64
	for _, p := range databaseFiles(path) {
		if info, err := os.Stat(p); err == nil {
			n += info.Size()
		}
	}
	return n
}
