// Package aside takes directories out of the way at once and removes what is in them
// later, file after file and with pauses, so that neither a start nor a call waits for
// their number. What was not removed when the process ended is found by the next.
package aside

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"golang.org/x/sys/unix"
)

// prefix begins the names of directories that were moved aside; rand.Text follows.
const prefix = "gone-"

var moved = regexp.MustCompile(`^` + prefix + `[A-Z2-7]{26}$`)

const (
	// batch is how many files are removed before a pause, which is as long as that
	// took: half of a disk's time is left to others.
	batch = 256
	// deepest is how far a removal descends: each level holds a descriptor. What is
	// below becomes a directory of its own.
	deepest = 32
)

// Renew has an empty directory in the place of dir, for its owner alone: what was there
// is moved aside. On a disk that has no room for a directory more, that is removed at
// once, with pauses as in Remove.
func Renew(dir string) error {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) == 0 {
		return nil
	}
	err := move(dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EDQUOT) {
		return err
	}
	_, rerr := Remove(context.Background(), filepath.Dir(dir))
	if rerr = errors.Join(rerr, os.RemoveAll(dir)); rerr != nil { // there may have been no room for its new name
		return errors.Join(err, rerr)
	}
	return os.MkdirAll(dir, 0o700)
}

// move takes a directory out of the way: it is renamed within its parent, where Remove
// finds it. It is no error if there is none.
func move(dir string) error {
	err := os.Rename(dir, filepath.Join(filepath.Dir(dir), prefix+rand.Text()))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("move aside: %w", err)
	}
	return nil
}

// Remove removes all that was moved aside in parent, and tells how many files and
// directories that were. It ends with ctx's error when ctx does; of what cannot be
// removed it tells the first, and goes on with the rest.
func Remove(ctx context.Context, parent string) (removed int, err error) {
	r := &remover{ctx: ctx, began: time.Now()}
	for r.err == nil && ctx.Err() == nil {
		top, err := os.Open(parent)
		if errors.Is(err, fs.ErrNotExist) {
			return r.removed, nil
		}
		if err != nil {
			return r.removed, fmt.Errorf("remove what was moved aside: %w", err)
		}
		found := false
		names, err := top.Readdirnames(-1)
		r.failed(err)
		r.top = int(top.Fd())
		for _, name := range names {
			if moved.MatchString(name) { // others' may begin like that
				found = true
				r.remove(r.top, name, 0)
			}
		}
		r.failed(top.Close())
		if !found {
			break
		}
	}
	if ctx.Err() != nil {
		return r.removed, ctx.Err()
	}
	if r.err != nil {
		return r.removed, fmt.Errorf("remove what was moved aside: %w", r.err)
	}
	return r.removed, nil
}

// A remover is one Remove.
type remover struct {
	ctx     context.Context
	top     int // descriptor of the parent
	removed int
	began   time.Time // of this batch
	err     error     // the first
}

func (r *remover) failed(err error) {
	if r.err == nil {
		r.err = err
	}
}

// remove removes an entry of a directory, with all that is in it.
func (r *remover) remove(dir int, name string, depth int) {
	if r.ctx.Err() != nil {
		return
	}
	err := unix.Unlinkat(dir, name, 0)
	switch {
	case err == nil:
		r.count()
		return
	case err == unix.ENOENT:
		return
	case err != unix.EISDIR && err != unix.EPERM: // POSIX has the latter for directories
		r.failed(&fs.PathError{Op: "unlink", Path: name, Err: err})
		return
	}
	if depth >= deepest {
		// A directory that moves to another parent has to be writable, as its own one.
		_ = unix.Fchmodat(dir, name, 0o700, 0) // the renaming tells
		if err := unix.Renameat(dir, name, r.top, prefix+rand.Text()); err != nil {
			r.failed(&fs.PathError{Op: "rename", Path: name, Err: err})
		}
		return
	}
	if err := r.empty(dir, name, depth); err != nil {
		r.failed(&fs.PathError{Op: "remove", Path: name, Err: err})
		return
	}
	if r.ctx.Err() != nil {
		return
	}
	if err := unix.Unlinkat(dir, name, unix.AT_REMOVEDIR); err != nil && err != unix.ENOENT {
		r.failed(&fs.PathError{Op: "rmdir", Path: name, Err: err})
		return
	}
	r.count()
}

// empty removes what is in a directory.
func (r *remover) empty(dir int, name string, depth int) error {
	const how = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(dir, name, how, 0)
	if err == unix.EACCES {
		// Directories of images may be closed to everybody, also to their owner.
		if err = unix.Fchmodat(dir, name, 0o700, 0); err == nil {
			fd, err = unix.Openat(dir, name, how, 0)
		}
	}
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	if err := unix.Access(fmt.Sprintf("/proc/self/fd/%d", fd), unix.W_OK|unix.X_OK); err != nil {
		if err := f.Chmod(0o700); err != nil {
			return err
		}
	}
	for r.ctx.Err() == nil {
		names, err := f.Readdirnames(batch)
		for _, n := range names {
			r.remove(fd, n, depth+1)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// count counts one that is gone, and pauses after a batch.
func (r *remover) count() {
	if r.removed++; r.removed%batch != 0 {
		return
	}
	pause := time.NewTimer(time.Since(r.began))
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-r.ctx.Done():
	}
	r.began = time.Now()
}
