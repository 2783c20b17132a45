package flatten

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// Fixed is what a tree has, whatever the image had there.
type Fixed struct {
	// Empty are directories with nothing in them, for mounts: real ones, and so
	// is every directory above them.
	Empty []string
	// Dirs are there if the image has nothing in their place.
	Dirs []string
	// Files are by path. Directories above them may be the image's links.
	Files map[string][]byte
}

// Finish makes the tree at root, which must not exist, and ends the Builder.
func (b *Builder) Finish(root string, fixed Fixed) error {
	if err := b.fix(fixed); err != nil {
		return err
	}
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(root, 0o755); err != nil { // whatever the umask
		return err
	}
	if err := b.place(b.root, root, len(root)); err != nil {
		return err
	}
	if err := placeLinks(b.root, root); err != nil || !b.owned {
		return err
	}
	return b.shut(b.root, root)
}

// shut takes from the owner of the tree's files what others may not do with them,
// when nothing has to be made in it any more.
func (b *Builder) shut(dir *node, path string) error {
	for name, c := range dir.children {
		at := path + "/" + name
		if c.kind == symlink {
			continue
		}
		if c.kind == directory {
			if err := b.shut(c.node, at); err != nil {
				return err
			}
		}
		if err := os.Chmod(at, b.closedFor(c.node)); err != nil {
			return err
		}
	}
	return nil
}

// fix brings in what is fixed.
func (b *Builder) fix(fixed Fixed) error {
	b.layer++
	for _, path := range fixed.Empty {
		parts, err := b.split(path)
		if err != nil {
			return err
		}
		at := b.root
		for i, name := range parts {
			next := at.children[name]
			if next.node == nil || next.kind != directory || i == len(parts)-1 {
				made := newDir()
				if err := b.put(at, name, made); err != nil {
					return err
				}
				next = at.children[name]
			}
			if i < len(parts)-1 {
				next.mode |= 0o555 // or nobody gets to what is mounted there
			}
			at = next.node
		}
	}
	for _, path := range fixed.Dirs {
		parts, err := b.split(path)
		if err != nil {
			return err
		}
		// An image whose links or files are in the way stays as it is.
		var bad *InvalidError
		if _, err := b.find(parts, true); err != nil && !errors.As(err, &bad) {
			return err
		}
	}
	for _, path := range slices.Sorted(maps.Keys(fixed.Files)) {
		if err := b.fixFile(path, fixed.Files[path]); err != nil {
			return err
		}
	}
	return nil
}

func (b *Builder) fixFile(path string, content []byte) error {
	parts, err := b.split(path)
	if err != nil {
		return err
	}
	in, err := b.find(parts[:len(parts)-1], true)
	if err != nil {
		return err
	}
	n := &node{kind: file, mode: 0o444, name: b.files, names: 1}
	b.files++
	if err := os.MkdirAll(filepath.Dir(b.path(n)), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(b.path(n), content, 0o600); err != nil {
		return err
	}
	if err := os.Chmod(b.path(n), n.mode); err != nil {
		return err
	}
	return b.put(in, parts[len(parts)-1], n)
}

// place gives directories and files their names. Nothing in the tree is a link
// yet, so every path is what it says.
func (b *Builder) place(dir *node, path string, prefix int) error {
	for name, c := range dir.children {
		at := path + "/" + name
		if len(at)-prefix > maxPath {
			return invalid("a path has more than %d bytes", maxPath)
		}
		var err error
		switch c.kind {
		case directory:
			if err = os.Mkdir(at, 0o700); err == nil {
				if err = b.place(c.node, at, prefix); err == nil {
					err = os.Chmod(at, b.modeFor(c.node))
				}
			}
		case file:
			if c.placed == "" {
				c.placed = at
				if err = os.Rename(b.path(c.node), at); err == nil && b.user != nil {
					err = os.Chmod(at, b.modeFor(c.node))
				}
			} else {
				err = os.Link(c.placed, at)
			}
		}
		switch {
		case errors.Is(err, syscall.EMLINK):
			return invalid("a file has too many hard links")
		case errors.Is(err, fs.ErrExist):
			// A file system that folds names.
			return invalid("%q is there twice", at[prefix:])
		case err != nil:
			return err
		}
	}
	return nil
}

// placeLinks gives links their names, once nothing is written any more.
func placeLinks(dir *node, path string) error {
	for name, c := range dir.children {
		at := path + "/" + name
		var err error
		switch c.kind {
		case directory:
			err = placeLinks(c.node, at)
		case symlink:
			err = os.Symlink(c.target, at)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
