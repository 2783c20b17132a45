package testnode

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sync"
)

// roots are the root trees that nodes of this process have built, for further nodes to
// begin with: hard links to the same files, which nobody writes to. To build one anew
// for each node is a large part of what tests cost. A node on a data directory that has
// trees of its own, or that is not root's, gets none.
type roots struct {
	mu  sync.Mutex
	dir string // "" where there are none yet
}

// Roots are those of this process's nodes.
var Roots roots

// builtTree is a line of a node's log.
var builtTree = regexp.MustCompile(`msg="built a root tree".* digest=([0-9a-f]{64})`)

// Lend gives a data directory what there is.
func (t *roots) Lend(data string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	roots := filepath.Join(data, "roots")
	if _, err := os.Lstat(roots); t.dir == "" || os.Geteuid() != 0 || !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	return linkTree(t.dir, roots)
}

// Keep takes over the trees that a node has built, by its log. It may have been killed,
// and its data may be gone: then there is less to keep.
func (t *roots) Keep(data, log string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range builtTree.FindAllStringSubmatch(log, -1) {
		if t.dir == "" {
			dir, err := os.MkdirTemp("", "alcove-test-roots-")
			if err != nil {
				return
			}
			t.dir = dir
		}
		to := filepath.Join(t.dir, m[1])
		if _, err := os.Lstat(to); err == nil {
			continue
		}
		if err := linkTree(filepath.Join(data, "roots", m[1]), to); err != nil {
			_ = os.RemoveAll(to) // on another file system, or gone
		}
	}
}

// Remove ends what Keep began.
func (t *roots) Remove() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dir != "" {
		_ = os.RemoveAll(t.dir)
		t.dir = ""
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
