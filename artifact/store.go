package artifact

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/singleflight"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/internal/aside"
	"github.com/alcove-run/alcove/internal/disk"
)

// DefaultReserve is how many bytes have to stay free on the file system. It is
// meant to be more than what the records of the same data directory keep in
// reserve: a large upload is refused before small records are.
const DefaultReserve = 512 << 20

// unpackers is how many packages are unpacked at a time: each holds the list of
// its entries in memory and writes as fast as it can.
const unpackers = 2

// ErrNoSpace says that a package was not kept because it would have taken the
// reserve.
var ErrNoSpace = errors.New("artifact: too little space is left on the device")

// Store is an open directory of packages. Its methods may be called from many
// goroutines.
type Store struct {
	dir     string
	trees   string // of this boot
	log     *slog.Logger
	reserve atomic.Int64
	size    atomic.Int64 // bytes of the zip files

	flights singleflight.Group // one put and one unpacking per digest
	slots   chan struct{}      // unpackers
	pullers chan struct{}
	fills   fills

	// mu is held while files appear under zip/ and tree/ or leave them, so that
	// Remove's question and its deed are one step.
	mu sync.Mutex
}

// Open opens the directory, or makes it, and takes what an earlier process left half
// done out of the way, for Clean.
func Open(dir string, log *slog.Logger) (*Store, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Store{dir: dir, trees: filepath.Join(dir, "tree", bootID()), log: log, slots: make(chan struct{}, unpackers), pullers: make(chan struct{}, imagePullers)}
	s.reserve.Store(DefaultReserve)
	if err := aside.Renew(s.path("tmp")); err != nil {
		return nil, fmt.Errorf("artifact: %w", err)
	}
	for _, d := range []struct {
		path string
		mode fs.FileMode
	}{{dir, 0o755}, {s.path("zip"), 0o700}, {s.path("tree"), 0o755}, {s.trees, 0o755}, {s.path("image"), 0o755}, {s.path("tmp"), 0o700}} {
		if err := os.MkdirAll(d.path, d.mode); err != nil {
			return nil, fmt.Errorf("artifact: %w", err)
		}
		if err := os.Chmod(d.path, d.mode); err != nil { // whatever the umask
			return nil, fmt.Errorf("artifact: %w", err)
		}
	}
	zips, err := os.ReadDir(s.path("zip"))
	if err != nil {
		return nil, fmt.Errorf("artifact: %w", err)
	}
	for _, z := range zips {
		if info, err := z.Info(); err == nil {
			s.size.Add(info.Size())
		}
	}
	return s, nil
}

// Clean removes what earlier processes left half done, without haste, beside whatever
// else the store does: the files of an image are many. It tells how many files there
// were. What is there when ctx ends, the next process finds.
func (s *Store) Clean(ctx context.Context) (files int, err error) {
	if files, err = aside.Remove(ctx, s.dir); err != nil {
		return files, fmt.Errorf("artifact: %w", err)
	}
	return files, nil
}

// bootID names this boot of the machine, or nothing that was before.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if id := strings.TrimSpace(string(b)); err == nil && id != "" && filepath.IsLocal(id) {
		return id
	}
	return rand.Text()
}

// SetReserve changes how many bytes have to stay free.
func (s *Store) SetReserve(bytes int64) { s.reserve.Store(bytes) }

// Size is how many bytes the zip files take.
func (s *Store) Size() int64 { return s.size.Load() }

// OpenZip opens a package as it was sent. The caller closes it.
func (s *Store) OpenZip(sha string) (*os.File, error) {
	if !validDigest(sha) {
		return nil, fmt.Errorf("artifact: %q is no digest: %w", sha, fs.ErrNotExist)
	}
	f, err := os.Open(s.path("zip", sha))
	if err != nil {
		return nil, fmt.Errorf("artifact: %w", err)
	}
	return f, nil
}

// Tree gives the directory in which the package is unpacked, unpacking it again
// if it is not there. Nobody may write to it.
func (s *Store) Tree(ctx context.Context, code alcove.Code) (string, error) {
	if !validDigest(code.SHA256) {
		return "", fmt.Errorf("artifact: %q is no digest: %w", code.SHA256, fs.ErrNotExist)
	}
	dir := filepath.Join(s.trees, code.SHA256)
	if exists(dir) {
		return dir, nil
	}
	err := s.once(ctx, "tree "+code.SHA256, func() error { return s.unpackAgain(code.SHA256) })
	if err != nil {
		return "", err
	}
	return dir, nil
}

func (s *Store) unpackAgain(sha string) error {
	if exists(filepath.Join(s.trees, sha)) {
		return nil
	}
	f, err := os.Open(s.path("zip", sha))
	if err != nil {
		return fmt.Errorf("artifact: %w", err)
	}
	defer func() { _ = f.Close() }()
	hash := sha256.New()
	size, err := io.Copy(hash, f)
	if err != nil {
		return fmt.Errorf("artifact: %w", err)
	}
	if hex.EncodeToString(hash.Sum(nil)) != sha {
		return fmt.Errorf("artifact: package %s is damaged on the disk", sha)
	}
	work, err := os.MkdirTemp(s.path("tmp"), "tree-")
	if err != nil {
		return fmt.Errorf("artifact: %w", err)
	}
	defer s.discard(work)
	if err := s.unpack(io.NewSectionReader(f, 0, size), filepath.Join(work, "tree")); err != nil {
		// It was verified when it came: this is the machine's doing.
		return fmt.Errorf("artifact: unpacking %s again: %w", sha, err)
	}
	return s.publish(work, sha)
}

// Remove removes every package that keep does not want. keep is called for one
// digest at a time while nothing else appears or goes, so its answer holds until
// the package is gone: a caller that pins a digest before it puts the package
// never loses it. It must not call the store.
func (s *Store) Remove(ctx context.Context, keep func(sha string) bool) error {
	var errs []error
	for _, dir := range []string{s.path("zip"), s.trees, s.path("image")} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return fmt.Errorf("artifact: %w", err)
		}
		for _, e := range entries {
			if ctx.Err() != nil {
				return errors.Join(append(errs, context.Cause(ctx))...)
			}
			if !validDigest(e.Name()) {
				continue // not ours
			}
			if err := s.removeOne(e.Name(), keep); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(append(errs, s.removeOldTrees())...)
}

// removeOldTrees removes the trees of earlier boots.
func (s *Store) removeOldTrees() error {
	entries, err := os.ReadDir(s.path("tree"))
	if err != nil {
		return fmt.Errorf("artifact: %w", err)
	}
	for _, e := range entries {
		if e.Name() == filepath.Base(s.trees) {
			continue
		}
		if err := os.RemoveAll(s.path("tree", e.Name())); err != nil {
			return fmt.Errorf("artifact: %w", err)
		}
	}
	return nil
}

func (s *Store) removeOne(sha string, keep func(sha string) bool) error {
	work, err := s.takeAway(sha, keep)
	if work != "" {
		s.discard(work) // takes its time, out of sight
	}
	return err
}

// takeAway moves a package that is not wanted to a working directory.
func (s *Store) takeAway(sha string, keep func(sha string) bool) (work string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if keep(sha) {
		return "", nil
	}
	work, err = os.MkdirTemp(s.path("tmp"), "gone-")
	if err != nil {
		return "", fmt.Errorf("artifact: %w", err)
	}
	if info, err := os.Lstat(s.path("zip", sha)); err == nil {
		if err := os.Rename(s.path("zip", sha), filepath.Join(work, "zip")); err != nil {
			return work, fmt.Errorf("artifact: %w", err)
		}
		s.size.Add(-info.Size())
	}
	for from, to := range map[string]string{filepath.Join(s.trees, sha): "tree", s.path("image", sha): "image"} {
		err = os.Rename(from, filepath.Join(work, to))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return work, fmt.Errorf("artifact: %w", err)
		}
	}
	return work, nil
}

// once runs fn unless a call with the same key runs already, whose result it
// shares. It waits for a slot and for fn no longer than the context lasts; fn
// itself goes on.
func (s *Store) once(ctx context.Context, key string, fn func() error) error {
	done := s.flights.DoChan(key, func() (any, error) {
		s.slots <- struct{}{}
		defer func() { <-s.slots }()
		return nil, fn()
	})
	select {
	case r := <-done:
		return r.Err
	case <-ctx.Done():
		return fmt.Errorf("artifact: %w", context.Cause(ctx))
	}
}

// publish moves what is in work to its place: the zip, if there is one, then the
// tree. It answers when the zip's move is on the disk.
func (s *Store) publish(work, sha string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if info, err := os.Lstat(filepath.Join(work, "zip")); err == nil && !exists(s.path("zip", sha)) {
		if err := os.Rename(filepath.Join(work, "zip"), s.path("zip", sha)); err != nil {
			return fmt.Errorf("artifact: %w", err)
		}
		s.size.Add(info.Size())
		if err := syncDir(s.path("zip")); err != nil {
			return err
		}
	}
	if !exists(filepath.Join(s.trees, sha)) {
		if err := os.Rename(filepath.Join(work, "tree"), filepath.Join(s.trees, sha)); err != nil {
			return fmt.Errorf("artifact: %w", err)
		}
	}
	return nil
}

// discard removes a working directory. What resists is removed by the next Open.
func (s *Store) discard(work string) {
	if err := removeAll(work); err != nil {
		s.log.Warn("temporary files of a package are left until the next start", "dir", work, "error", err)
	}
}

// removeAll removes a directory with all that is in it. An ordinary user has to open
// directories of images first that are closed to everybody.
func removeAll(dir string) error {
	err := os.RemoveAll(dir)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			_ = os.Chmod(path, 0o700)
		}
		return nil // the removal tells
	})
	return os.RemoveAll(dir)
}

// room says whether n more bytes leave the reserve alone.
func (s *Store) room(n int64) error {
	_, free, err := disk.Space(s.dir)
	if err != nil {
		return fmt.Errorf("artifact: %w", err)
	}
	if reserve := s.reserve.Load(); free-n < reserve {
		return fmt.Errorf("%w: %d bytes are free, %d are wanted, %d are kept in reserve", ErrNoSpace, free, n, reserve)
	}
	return nil
}

func (s *Store) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func validDigest(s string) bool {
	if len(s) != 2*sha256.Size {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("artifact: %w", err)
	}
	defer func() { _ = f.Close() }()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("artifact: %w", err)
	}
	return nil
}
