package testnode

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sync"

	"golang.org/x/sys/unix"
)

// shared is what nodes of this process have made that the next would make again: the
// root trees of runtimes, and the programs that gVisor's sandboxes consist of. Further
// nodes begin with hard links to them, as nobody writes to them. To make them anew for
// each node is a large part of what tests cost. A node on a data directory that is not
// new, or not root's, gets none.
type shared struct {
	mu  sync.Mutex
	dir string // "" where there are none yet; otherwise like a data directory
}

// Shared is that of this process's nodes.
var Shared shared

const (
	rootsDir    = "roots"
	programsDir = "sandbox/gvisor"
)

// builtTree is a line of a node's log.
var builtTree = regexp.MustCompile(`msg="built a root tree".* digest=([0-9a-f]{64})`)

// programs are the files of programsDir that a node leaves for the next.
var programs = regexp.MustCompile(`^((program|door)-[0-9a-f]{16}|installed)$`)

// LendPrograms gives a data directory the programs, before its node starts.
func (s *shared) LendPrograms(data string) error { return s.lend(data, programsDir) }

// LendTrees gives a running node root trees. When it starts it removes those that none
// of its functions runs on.
func (s *shared) LendTrees(data string) error {
	s.mu.Lock()
	trees, err := os.ReadDir(filepath.Join(s.dir, rootsDir))
	s.mu.Unlock()
	if err != nil {
		return nil // there are none
	}
	for _, t := range trees {
		if err := s.lend(data, filepath.Join(rootsDir, t.Name())); err != nil {
			return err
		}
	}
	return nil
}

// lend links what is below name, unless there is such a thing already, or it cannot be
// linked to.
func (s *shared) lend(data, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	from, to := filepath.Join(s.dir, name), filepath.Join(data, name)
	if _, err := os.Lstat(to); s.dir == "" || os.Geteuid() != 0 || !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if _, err := os.Lstat(from); err != nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	part := filepath.Join(filepath.Dir(to), "tmp-lent-"+filepath.Base(to))
	if err := linkTree(from, part); err != nil {
		if rest := os.RemoveAll(part); rest != nil || !errors.Is(err, unix.EXDEV) {
			return errors.Join(err, rest)
		}
		return nil // on another file system
	}
	if err := os.Rename(part, to); !errors.Is(err, fs.ErrExist) { // the node was quicker
		return err
	}
	return os.RemoveAll(part)
}

// Keep takes over what a node has made, whose log has the trees that it built. It may
// have been killed, and its data may be gone: then there is less to keep.
func (s *shared) Keep(data, log string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range builtTree.FindAllStringSubmatch(log, -1) {
		s.take(data, filepath.Join(rootsDir, m[1]))
	}
	entries, err := os.ReadDir(filepath.Join(data, programsDir))
	if err != nil {
		return
	}
	for _, e := range entries {
		if programs.MatchString(e.Name()) {
			s.take(data, filepath.Join(programsDir, e.Name()))
		}
	}
}

// take links what is below name, unless there is such a thing already.
func (s *shared) take(data, name string) {
	if s.dir == "" {
		dir, err := os.MkdirTemp("", "alcove-test-files-")
		if err != nil {
			return
		}
		s.dir = dir
	}
	to := filepath.Join(s.dir, name)
	if _, err := os.Lstat(to); err == nil {
		return
	}
	err := os.MkdirAll(filepath.Dir(to), 0o700)
	if err == nil {
		err = linkTree(filepath.Join(data, name), to)
	}
	if err != nil {
		_ = os.RemoveAll(to) // it is gone, or on another file system
	}
}

// Remove forgets them.
func (s *shared) Remove() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
		s.dir = ""
	}
}

// linkTree copies a tree's directories and links its files.
func linkTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		name := filepath.Join(to, below)
		if !d.IsDir() {
			return os.Link(path, name)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return os.Mkdir(name, info.Mode().Perm()) // root may write into it all the same
	})
}
