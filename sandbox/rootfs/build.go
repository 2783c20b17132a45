package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// errChanged says that a source is not what it was when the tree was planned.
var errChanged = errors.New("a host file changed while it was copied")

// epoch is the time of everything in a tree that is not a copy. Zip files
// cannot hold an earlier one.
var epoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// Modes in a tree: readable for whatever uid a sandbox has, writable for none,
// and no bit that changes who runs it.
const (
	modeDir  = 0o555
	modeExec = 0o555
	modeFile = 0o444
)

// build makes the planned tree under a temporary name and gives it its own
// name once it is on disk.
func (s *Store) build(ctx context.Context, p plan, dest string) (err error) {
	tmp, err := os.MkdirTemp(s.dir, tmpPrefix)
	if err != nil {
		return err
	}
	lock, err := lockDir(tmp)
	if err != nil {
		return err
	}
	defer lock.Close()
	defer func() {
		if err != nil {
			err = errors.Join(err, removeTree(tmp))
		}
	}()
	root, err := os.OpenRoot(tmp)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, e := range p.entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := e.create(root); err != nil {
			return fmt.Errorf("%s: %w", e.path, err)
		}
	}
	if err := sealDirs(root, p); err != nil {
		return err
	}
	// One sync of the file system instead of thousands of single ones.
	if err := unix.Syncfs(int(lock.Fd())); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	err = os.Rename(tmp, dest)
	if errors.Is(err, fs.ErrExist) || errors.Is(err, unix.ENOTEMPTY) {
		return removeTree(tmp) // another process was first
	}
	if err != nil {
		return err
	}
	return syncDir(s.dir)
}

// create makes one entry. Directories are made writable; sealDirs ends that.
func (e entry) create(root *os.Root) error {
	name := e.path[1:]
	switch e.kind {
	case dir:
		return root.Mkdir(name, 0o700)
	case link:
		return root.Symlink(e.target, name)
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	mtime := epoch
	if e.kind == file {
		mtime = time.Unix(0, e.stamp.mtime)
		err = copyFile(f, e.source, e.stamp)
	} else {
		_, err = f.Write(e.content)
	}
	mode := fs.FileMode(modeFile)
	if e.exec {
		mode = modeExec
	}
	if err == nil {
		err = f.Chmod(mode)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return root.Chtimes(name, mtime, mtime)
}

// copyFile copies a host file, sharing its blocks where the file system can
// (io.Copy uses copy_file_range), and fails if it is not the planned one.
func copyFile(to *os.File, source string, want stamp) error {
	from, err := os.OpenFile(source, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s is gone", errChanged, source)
	}
	if err != nil {
		return err
	}
	defer from.Close()
	n, err := io.Copy(to, from)
	if err != nil {
		return err
	}
	st, err := from.Stat() // after the copy: covers a change during it
	if err != nil {
		return err
	}
	if stampOf(st) != want || n != want.size {
		return fmt.Errorf("%w: %s", errChanged, source)
	}
	return nil
}

// sealDirs takes write permission off the directories, innermost first.
func sealDirs(root *os.Root, p plan) error {
	for i := len(p.entries) - 1; i >= 0; i-- {
		e := p.entries[i]
		if e.kind != dir {
			continue
		}
		if err := seal(root, e.path[1:]); err != nil {
			return err
		}
	}
	return seal(root, ".")
}

func seal(root *os.Root, name string) error {
	if err := root.Chtimes(name, epoch, epoch); err != nil {
		return err
	}
	return root.Chmod(name, modeDir)
}

// lockDir opens a directory and takes its lock, which lasts until the file is
// closed or the process ends, or fails with EWOULDBLOCK.
func lockDir(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// removeTree removes a tree whose directories may be read-only, which keeps
// even their owner from deleting in them.
func removeTree(dir string) error {
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			// Before its entries are read, so that 0 modes do not matter.
			return os.Chmod(name, 0o700)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(dir)
}
