package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// FS is the file system as the spool uses it. A test puts one in its place that
// forgets what was not synced.
type FS interface {
	// Create makes a file that is not there yet; Open opens one that is.
	Create(name string) (File, error)
	Open(name string) (File, error)
	// List gives the names in the directory.
	List() ([]string, error)
	Remove(name string) error
	Rename(from, to string) error
	// SyncNames returns when what was made and removed is on the disk.
	SyncNames() error
	Close() error
}

// File is a file of an [FS].
type File interface {
	ReadAt(p []byte, off int64) (int, error)
	WriteAt(p []byte, off int64) (int, error)
	Truncate(size int64) error
	Size() (int64, error)
	// Sync returns when what was written is on the disk.
	Sync() error
	Close() error
}

// directory is the FS of the operating system, in one directory.
type directory struct {
	dir *os.File
}

// Directory opens dir, which is made if it is not there.
func Directory(dir string) (FS, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("spool: make directory: %w", err)
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("spool: open directory: %w", err)
	}
	// The directory's own name has to be there after a power loss, too.
	if err := syncParent(dir); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return directory{f}, nil
}

func syncParent(dir string) error {
	p, err := os.Open(filepath.Dir(filepath.Clean(dir)))
	if err != nil {
		return fmt.Errorf("spool: open parent directory: %w", err)
	}
	return errors.Join(p.Sync(), p.Close())
}

func (d directory) path(name string) string { return filepath.Join(d.dir.Name(), name) }

func (d directory) Create(name string) (File, error) {
	f, err := os.OpenFile(d.path(name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return file{f}, nil
}

func (d directory) Open(name string) (File, error) {
	f, err := os.OpenFile(d.path(name), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return file{f}, nil
}

func (d directory) List() ([]string, error) {
	entries, err := os.ReadDir(d.dir.Name())
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

func (d directory) Remove(name string) error     { return os.Remove(d.path(name)) }
func (d directory) Rename(from, to string) error { return os.Rename(d.path(from), d.path(to)) }
func (d directory) SyncNames() error             { return d.dir.Sync() }
func (d directory) Close() error                 { return d.dir.Close() }

// file is a File of the operating system.
type file struct{ *os.File }

func (f file) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Sync leaves out what of the metadata nobody needs to read the file.
func (f file) Sync() error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
