// Package flatten makes one directory tree of the layers of a container image.
//
// Layers are untrusted. While they are read, the tree is kept in memory, with
// chroot's rules for links: a link leads somewhere within the image or nowhere.
// What files hold goes to files with names of ours, in a directory that nobody
// else writes to. Only the finished tree gets the image's names, directories
// first and symbolic links last, so that nothing is ever written through a link.
//
// What no sandbox is to have is not carried over: owners, set-id and sticky bits,
// write permission of others, device files, FIFOs, sockets and extended
// attributes. Where the image names a user (As), what its owners and permissions
// let that user read and execute, everybody may; nobody else is in the tree's
// sandboxes. The package knows no registries and no compression.
package flatten

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/alcove-run/alcove"
)

// InvalidError is why an image cannot be flattened, where that is the image's
// fault.
type InvalidError struct{ Reason string }

// Error implements error.
func (e *InvalidError) Error() string { return "invalid image: " + e.Reason }

func invalid(format string, args ...any) error {
	return &InvalidError{fmt.Sprintf(format, args...)}
}

// Limits bounds what an image may take. All of it is counted, not believed.
type Limits struct {
	// Bytes is what the layers may hold, uncompressed, those files included that
	// a later layer replaces.
	Bytes int64
	// Entries is how many files, directories and links the layers may have.
	// Zero is DefaultEntries.
	Entries int
}

// DefaultEntries is an order of magnitude beyond large images of machine
// learning. Each takes some two hundred bytes of memory while the image is read.
const DefaultEntries = 500_000

const (
	maxName  = 255  // NAME_MAX
	maxPath  = 3072 // of PATH_MAX the rest is for the directory that the tree is in
	maxLinks = 40   // followed for one path, as the kernel has it
	maxDepth = 512  // of directories
	// maxTargets bounds what the targets of symbolic links take of memory together.
	// Large images have some megabytes of them.
	maxTargets = 64 << 20
	// stepsPerEntry bounds the work that paths, links and whiteouts make together,
	// for each entry that an image may have.
	stepsPerEntry = 200
)

// Builder is an image that is being flattened. It is for one goroutine.
type Builder struct {
	dir    string
	limits Limits
	room   func(n int64) error
	root   *node
	layer  int32 // the one that is being read; the first is 1
	left   int64 // bytes
	names  int   // that may come
	steps  int
	links  int // bytes that targets of links may still have
	files  int // made so far, for their names
	buf    []byte
	user   *alcove.ImageUser // whom the tree is for, nil if the image says nobody
	// owned says that the tree belongs to who runs in it: an ordinary user can make
	// files and sandboxes as nobody else. Then a file's owner has no more rights to it
	// than anybody.
	owned bool
}

type kind uint8

const (
	directory kind = iota
	file
	symlink
)

// node is what a name stands for. Hard links share one.
type node struct {
	kind     kind
	mode     fs.FileMode      // as the image has it, but for what is not carried over
	uid, gid uint32           // as the image has it
	children map[string]entry // of a directory
	target   string           // of a link
	name     int              // of a file, in the Builder's directory
	names    int              // that a file has
	placed   string           // where a file is, once it has been given a name
	// opaque is the layer that hid what lower ones have in a directory.
	opaque int32
}

// entry is a name, and the layer that it came with last.
type entry struct {
	*node
	layer int32
}

// New begins an image. dir is an empty directory of the Builder's own, on the
// file system that the tree is going to be on. room, if it is not nil, is asked
// before n more bytes are written.
func New(dir string, limits Limits, room func(n int64) error) *Builder {
	if limits.Entries == 0 {
		limits.Entries = DefaultEntries
	}
	if room == nil {
		room = func(int64) error { return nil }
	}
	return &Builder{dir: dir, limits: limits, room: room, root: newDir(), left: limits.Bytes, names: limits.Entries,
		steps: stepsPerEntry * limits.Entries, links: maxTargets, buf: make([]byte, 256<<10), owned: os.Geteuid() != 0}
}

func newDir() *node { return &node{kind: directory, mode: 0o755, children: map[string]entry{}} }

// Layer lays a layer, an uncompressed tar file, over what is there. It reads to
// the end, and no more than the limit.
func (b *Builder) Layer(r io.Reader) error {
	b.layer++
	counted := &counter{r: r, left: &b.left, limit: b.limits.Bytes}
	t := tar.NewReader(counted)
	for {
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) { // its names are read as within a root
			return readError(err)
		}
		if err := b.add(h, t); err != nil {
			return err
		}
	}
	// What follows the archive's end, for digests that cover it.
	_, err := io.CopyBuffer(onlyWriter{io.Discard}, onlyReader{counted}, b.buf)
	return readError(err)
}

// readError makes the image's fault of what is wrong with an archive, and leaves
// alone what reading it came to.
func readError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, tar.ErrHeader), errors.Is(err, tar.ErrFieldTooLong), errors.Is(err, tar.ErrWriteTooLong):
		return invalid("a layer is no tar file: %v", err)
	}
	return err
}

// counter counts what is read against a limit.
type counter struct {
	r     io.Reader
	left  *int64
	limit int64
}

func (c *counter) Read(p []byte) (int, error) {
	if int64(len(p)) > *c.left+1 {
		p = p[:*c.left+1]
	}
	n, err := c.r.Read(p)
	if *c.left -= int64(n); *c.left < 0 {
		*c.left = 0
		return 0, invalid("it is larger than %d bytes uncompressed", c.limit)
	}
	return n, err
}

type onlyWriter struct{ io.Writer }
type onlyReader struct{ io.Reader }

// Whiteouts, as the OCI image specification has them.
const (
	whiteout       = ".wh."
	whiteoutMeta   = ".wh..wh." // what AUFS keeps for itself
	whiteoutOpaque = ".wh..wh..opq"
)

// add takes one entry of a layer.
func (b *Builder) add(h *tar.Header, content io.Reader) error {
	if b.names--; b.names < 0 {
		return invalid("it has more than %d files, directories and links", b.limits.Entries)
	}
	parts, err := b.split(h.Name)
	if err != nil {
		return err
	}
	if len(parts) == 0 {
		return nil // the root
	}
	above, name := parts[:len(parts)-1], parts[len(parts)-1]
	for _, p := range parts {
		if strings.HasPrefix(p, whiteoutMeta) && p != whiteoutOpaque {
			return nil
		}
	}
	for _, p := range above {
		if strings.HasPrefix(p, whiteout) {
			return invalid("%q is below a whiteout", h.Name)
		}
	}
	if hidden, ok := strings.CutPrefix(name, whiteout); ok {
		return b.hide(above, hidden, name == whiteoutOpaque)
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse, tar.TypeCont, tar.TypeDir, tar.TypeSymlink, tar.TypeLink:
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo, tar.TypeXGlobalHeader:
		return nil
	default:
		return invalid("%q is of the unknown kind %q", h.Name, h.Typeflag)
	}
	in, err := b.find(above, true)
	if err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		mode := h.FileInfo().Mode().Perm()&^0o022 | 0o700
		if have, ok := in.children[name]; ok && have.kind == directory {
			have.mode, have.uid, have.gid = mode, id(h.Uid), id(h.Gid)
			in.children[name] = entry{have.node, b.layer}
			return nil
		}
		made := newDir()
		made.mode, made.uid, made.gid = mode, id(h.Uid), id(h.Gid)
		return b.put(in, name, made)
	case tar.TypeSymlink:
		if err := checkTarget(h); err != nil {
			return err
		}
		if b.links -= len(h.Linkname); b.links < 0 {
			return invalid("the targets of its links have more than %d bytes", maxTargets)
		}
		return b.put(in, name, &node{kind: symlink, target: strings.Clone(h.Linkname)})
	case tar.TypeLink:
		return b.link(h, in, name)
	}
	made, err := b.write(h, content)
	if err != nil {
		return err
	}
	return b.put(in, name, made)
}

// id is a user's or a group's. What no id can be is nobody's.
func id(n int) uint32 {
	if n < 0 || n > maxID {
		return nobody
	}
	return uint32(n)
}

func checkTarget(h *tar.Header) error {
	switch {
	case h.Linkname == "" || len(h.Linkname) > maxPath:
		return invalid("link %q has a target of %d bytes", h.Name, len(h.Linkname))
	case strings.ContainsRune(h.Linkname, 0):
		return invalid("the target of link %q contains NUL", h.Name)
	}
	return nil
}

// link gives another name to what a hard link leads to.
func (b *Builder) link(h *tar.Header, in *node, name string) error {
	parts, err := b.split(h.Linkname)
	if err != nil {
		return err
	}
	var to entry
	if len(parts) > 0 {
		at, err := b.find(parts[:len(parts)-1], false)
		if err != nil {
			return err
		}
		if at != nil {
			to = at.children[parts[len(parts)-1]]
		}
	}
	switch {
	case to.node == nil:
		return invalid("hard link %q leads to %q, which is not there", h.Name, h.Linkname)
	case to.kind == directory:
		return invalid("hard link %q leads to the directory %q", h.Name, h.Linkname)
	case to.kind == symlink:
		return b.put(in, name, &node{kind: symlink, target: to.target})
	case in.children[name].node == to.node:
		in.children[name] = entry{to.node, b.layer}
		return nil
	}
	to.names++
	return b.put(in, name, to.node)
}

// write keeps what a file holds.
func (b *Builder) write(h *tar.Header, content io.Reader) (*node, error) {
	if h.Size < 0 || h.Size > b.left {
		return nil, b.tooLarge()
	}
	if err := b.room(h.Size); err != nil {
		return nil, err
	}
	n := &node{kind: file, mode: h.FileInfo().Mode().Perm()&^0o022 | 0o400, uid: id(h.Uid), gid: id(h.Gid), name: b.files, names: 1}
	b.files++
	path := b.path(n)
	if n.name%perDir == 0 {
		if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	before := b.left
	got, err := io.CopyBuffer(onlyWriter{f}, onlyReader{io.LimitReader(content, h.Size)}, b.buf)
	if err == nil && got != h.Size {
		err = io.ErrUnexpectedEOF
	}
	if holes := got - (before - b.left); err == nil && holes > 0 { // which the archive has not
		if b.left -= holes; b.left < 0 {
			b.left, err = 0, b.tooLarge()
		}
	}
	if err == nil {
		err = f.Chmod(n.mode)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Chtimes(path, time.Time{}, when(h.ModTime))
	}
	return n, readError(err)
}

func (b *Builder) tooLarge() error {
	return invalid("it is larger than %d bytes uncompressed", b.limits.Bytes)
}

// when is a time that every file system takes.
func when(t time.Time) time.Time {
	if s := t.Unix(); s < 0 || s > 1<<32 {
		return time.Unix(0, 0)
	}
	return t
}

// perDir is how many of the Builder's files are in one directory.
const perDir = 4096

func (b *Builder) path(n *node) string {
	return filepath.Join(b.dir, strconv.Itoa(n.name/perDir), strconv.Itoa(n.name))
}

// put gives a name to a node, in place of what had it.
func (b *Builder) put(in *node, name string, n *node) error {
	if old, ok := in.children[name]; ok {
		if err := b.drop(old.node); err != nil {
			return err
		}
	}
	in.children[name] = entry{n, b.layer}
	return nil
}

// drop forgets a name of a node, and all below it.
func (b *Builder) drop(n *node) error {
	switch n.kind {
	case directory:
		for name, c := range n.children {
			delete(n.children, name)
			if err := b.drop(c.node); err != nil {
				return err
			}
		}
	case file:
		if n.names--; n.names == 0 {
			return os.Remove(b.path(n))
		}
	}
	return nil
}
