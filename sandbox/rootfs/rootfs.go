// Package rootfs makes the read-only root trees that sandboxes run on. A tree
// is an allow-listed copy of the host's own files (an interpreter, its
// libraries, a shell, time zones, CA certificates) and is shared by every
// sandbox that wants the same.
//
// It reads only below /usr and the directories that are merged into it, never
// /usr/local, and in /etc only the CA bundle, os-release and the loader's
// cache; it writes only below the directory that it is given. It runs nothing.
// It knows nothing of runtimes: who wants a Python says which files that is.
package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// tmpPrefix begins the names of trees that are being built or removed.
const tmpPrefix = "tmp-"

var digestName = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Store is a directory of trees, each below its digest. It is safe for
// concurrent use, and several processes may have the same directory open.
type Store struct {
	dir     string
	log     *slog.Logger
	sources []string // directories that trees may be made of

	mu       sync.Mutex
	building map[string]chan struct{} // by digest; closed when the build has ended
	known    map[string]Tree          // by Want.key
	asked    map[string]bool          // digests that somebody wanted; those trees stay
}

// Tree is a finished root tree. Nothing in it is writable by its mode, and
// nothing writes to it: mount it read-only, nosuid and nodev all the same.
type Tree struct {
	Dir    string // absolute path on the host
	Digest string // 64 hexadecimal digits; see plan.digest for what it covers
}

// Open prepares dir, which it makes if need be, and removes what an
// interrupted build left behind.
func Open(dir string, log *slog.Logger) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("rootfs: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("rootfs: %w", err)
	}
	s := &Store{
		dir:      dir,
		log:      log,
		sources:  []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"},
		building: make(map[string]chan struct{}),
		known:    make(map[string]Tree),
		asked:    make(map[string]bool),
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("rootfs: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tmpPrefix) {
			if err := s.removeAbandoned(filepath.Join(dir, e.Name())); err != nil {
				return nil, fmt.Errorf("rootfs: remove an interrupted build: %w", err)
			}
		}
	}
	return s, nil
}

// removeAbandoned removes an unfinished tree unless some process is at it.
func (s *Store) removeAbandoned(dir string) error {
	lock, err := lockDir(dir)
	if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	s.log.Info("removing an unfinished root tree", "dir", dir)
	return removeTree(dir)
}

// Tree returns the tree that has Base and w, and builds it if the store does
// not have it yet. Concurrent calls for the same tree build it once.
//
// A store looks at the host's files when it is first asked for something, and
// stays with that answer, which costs no system call but one: sandboxes of one
// node all stand on the same files. After an upgrade of the host the next store
// to be opened answers with a new tree.
func (s *Store) Tree(ctx context.Context, w Want) (Tree, error) {
	began := time.Now()
	key := w.key()
	s.mu.Lock()
	tree, ok := s.known[key]
	s.mu.Unlock()
	if ok {
		if _, err := os.Lstat(tree.Dir); err == nil {
			return tree, nil
		}
	}
	for attempt := 1; ; attempt++ {
		p, err := s.plan(ctx, w)
		if err != nil {
			return Tree{}, fmt.Errorf("rootfs: tree %s: %w", w.Name, err)
		}
		tree, built, err := s.realize(ctx, p)
		if errors.Is(err, errChanged) && attempt < 3 {
			continue // an upgrade of the host is under way
		}
		if err != nil {
			return Tree{}, fmt.Errorf("rootfs: tree %s: %w", w.Name, err)
		}
		if built {
			s.log.Info("built a root tree", "name", w.Name, "digest", tree.Digest, "entries", len(p.entries), "took", time.Since(began))
		}
		s.mu.Lock()
		s.known[key] = tree
		s.mu.Unlock()
		return tree, nil
	}
}

// realize answers with the planned tree, building it if nobody else has.
func (s *Store) realize(ctx context.Context, p plan) (tree Tree, built bool, err error) {
	digest := p.digest()
	tree = Tree{Dir: filepath.Join(s.dir, digest), Digest: digest}
	s.mu.Lock()
	s.asked[digest] = true
	s.mu.Unlock()
	for {
		// A tree has its final name only once it is complete and on disk.
		if _, err := os.Lstat(tree.Dir); err == nil {
			return tree, built, nil
		}
		s.mu.Lock()
		other, busy := s.building[digest]
		if !busy {
			s.building[digest] = make(chan struct{})
		}
		s.mu.Unlock()
		if busy {
			select {
			case <-other:
				continue
			case <-ctx.Done():
				return Tree{}, false, ctx.Err()
			}
		}
		err := s.build(ctx, p, tree.Dir)
		s.mu.Lock()
		close(s.building[digest])
		delete(s.building, digest)
		s.mu.Unlock()
		if err != nil {
			return Tree{}, false, err
		}
		built = true
	}
}

// Prune removes the trees that nobody has asked this store for and that are none of
// those wanted: what an upgrade of the host, or the last function of a runtime, has
// left behind. Sandboxes may be at work; those of other processes, on trees that this
// store was not asked for, may not.
func (s *Store) Prune(ctx context.Context, wanted ...Want) error {
	old, err := s.unasked()
	if err != nil || len(old) == 0 {
		return err
	}
	for _, w := range wanted {
		p, err := s.plan(ctx, w)
		if err != nil {
			return fmt.Errorf("rootfs: tree %s: %w", w.Name, err)
		}
		digest := p.digest()
		old = slices.DeleteFunc(old, func(d string) bool { return d == digest })
	}
	for _, digest := range old {
		gone, err := s.setAside(digest)
		if err == nil && gone != "" {
			err = removeTree(gone)
			s.log.Info("removed a root tree that nothing uses", "digest", digest)
		}
		if err != nil {
			return fmt.Errorf("rootfs: %w", err)
		}
	}
	return nil
}

// unasked are the digests of the trees that nobody has asked this store for.
func (s *Store) unasked() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("rootfs: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, e := range entries {
		if name := e.Name(); digestName.MatchString(name) && !s.asked[name] {
			out = append(out, name)
		}
	}
	return out, nil
}

// setAside takes a tree its name, unless it has been asked for by now: a tree must
// never be found under its digest while it is half gone.
func (s *Store) setAside(digest string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked[digest] {
		return "", nil
	}
	gone := filepath.Join(s.dir, tmpPrefix+"gone-"+digest)
	return gone, os.Rename(filepath.Join(s.dir, digest), gone)
}
