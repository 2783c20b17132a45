package rootfs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// format is part of every digest: raise it when trees are made differently
// from the same sources.
const format = "alcove root tree 1"

type kind byte

const (
	dir  kind = 'd'
	file kind = 'f' // a copy of a host file
	text kind = 't' // a file of our own
	link kind = 'l'
)

// entry is one thing in a tree.
type entry struct {
	path    string // absolute in the tree, its directories no links
	kind    kind
	source  string // file: host path, no links in it
	stamp   stamp  // file: the source as it was planned
	content []byte // text
	target  string // link: relative, never leading out of the tree
	exec    bool   // file, text
}

// stamp tells one state of a host file from another without reading it.
type stamp struct {
	dev, ino uint64
	size     int64
	mtime    int64 // nanoseconds
}

func stampOf(st os.FileInfo) stamp {
	s := stamp{size: st.Size(), mtime: st.ModTime().UnixNano()}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		s.dev, s.ino = uint64(sys.Dev), sys.Ino
	}
	return s
}

// plan is a tree before it is built: entries by path, parents before children.
type plan struct{ entries []entry }

// digest covers every path, kind and mode in the tree, the content of our own
// files, and for the host's files where they are, their size, time of
// modification and inode. Content is not read: that would be some 150 MB at
// each start of a node.
func (p plan) digest() string {
	h := sha256.New()
	fmt.Fprintln(h, format)
	for _, e := range p.entries {
		fmt.Fprintf(h, "%c %q %t %q %q %v %x\n", e.kind, e.path, e.exec, e.source, e.target, e.stamp, sha256.Sum256(e.content))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// planner collects the entries of one tree.
type planner struct {
	ld      loader
	log     *slog.Logger
	merged  map[string]string // "bin": "usr/bin", as on the host
	entries map[string]entry
	linked  map[string]bool // ELF files whose libraries are planned
}

// plan finds out what the tree for w consists of.
func (s *Store) plan(ctx context.Context, w Want) (plan, error) {
	cache, err := os.ReadFile("/etc/ld.so.cache")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return plan{}, err
	}
	p := &planner{
		ld:      loader{cache: ldCache(cache), allowed: s.allowed, objects: make(map[string]object), reals: make(map[string]string)},
		log:     s.log.With("tree", w.Name),
		merged:  mergedDirs(),
		entries: make(map[string]entry),
		linked:  make(map[string]bool),
	}
	for name, target := range p.merged {
		p.add(entry{path: "/" + name, kind: link, target: target})
		p.add(entry{path: "/" + target, kind: dir})
	}
	for _, name := range mountPoints {
		p.add(entry{path: name, kind: dir})
	}
	p.sonames(baseSonames)
	for _, part := range []Want{Base(), w} {
		if err := p.want(ctx, part); err != nil {
			return plan{}, err
		}
	}
	for _, name := range baseRequired {
		if _, ok := p.entries[p.treePath("/bin/"+name)]; !ok {
			if _, ok := p.entries[p.treePath("/usr/bin/"+name)]; !ok {
				return plan{}, fmt.Errorf("this host has no program %q in /usr/bin or /bin", name)
			}
		}
	}
	return p.finish()
}

// allowed tells whether a host path, free of links, may be in a tree.
func (s *Store) allowed(path string) bool {
	if path == "/usr/local" || strings.HasPrefix(path, "/usr/local/") {
		return false
	}
	for _, dir := range s.sources {
		if path == dir || strings.HasPrefix(path, dir+"/") {
			return true
		}
	}
	return false
}

// mergedDirs are the directories that the host's root has as links into /usr.
func mergedDirs() map[string]string {
	merged := make(map[string]string)
	for _, name := range []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"} {
		target, err := os.Readlink("/" + name)
		if err != nil {
			continue
		}
		if target = strings.TrimPrefix(target, "/"); strings.HasPrefix(target, "usr/") {
			merged[name] = target
		}
	}
	return merged
}

// treePath replaces a merged directory at the front of a path.
func (p *planner) treePath(path string) string {
	first, rest, _ := strings.Cut(strings.TrimPrefix(filepath.Clean(path), "/"), "/")
	if target, ok := p.merged[first]; ok && rest != "" {
		return "/" + target + "/" + rest
	}
	return filepath.Clean(path)
}

// add plans an entry; a later one takes the place of an earlier one.
func (p *planner) add(e entry) {
	e.path = p.treePath(e.path)
	p.entries[e.path] = e
}

func (p *planner) want(ctx context.Context, w Want) error {
	for _, prog := range w.Programs {
		if err := p.program(prog); err != nil {
			return err
		}
	}
	for _, d := range w.Dirs {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := p.directory(d); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.Files)) {
		content := w.Files[name]
		if !filepath.IsAbs(name) {
			return fmt.Errorf("file %q is not an absolute path", name)
		}
		exec := bytes.HasPrefix(content, []byte("#!")) || bytes.HasPrefix(content, []byte("\x7fELF"))
		p.add(entry{path: name, kind: text, content: content, exec: exec})
	}
	for _, name := range slices.Sorted(maps.Keys(w.Links)) {
		if !filepath.IsAbs(name) {
			return fmt.Errorf("link %q is not an absolute path", name)
		}
		target := w.Links[name]
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(name), target)
		}
		p.link(name, target)
	}
	return nil
}

// link plans a link to an absolute path in the tree. Links are made relative,
// so that they lead to the same file when the tree is looked at from outside.
func (p *planner) link(name, target string) {
	name, target = p.treePath(name), p.treePath(target)
	rel, err := filepath.Rel(filepath.Dir(name), target)
	if err != nil || name == target {
		return // both are absolute and clean: only the same path is left
	}
	p.add(entry{path: name, kind: link, target: rel})
}

// copyOf plans a copy of a host file at the path dest.
func (p *planner) copyOf(dest, source string, st os.FileInfo) {
	p.add(entry{path: dest, kind: file, source: source, stamp: stampOf(st), exec: st.Mode()&0o111 != 0})
}

// finish puts in missing directories and sorts.
func (p *planner) finish() (plan, error) {
	for _, e := range slices.Collect(maps.Values(p.entries)) {
		for up := filepath.Dir(e.path); up != "/"; up = filepath.Dir(up) {
			have, ok := p.entries[up]
			if ok && have.kind != dir {
				return plan{}, fmt.Errorf("%s is wanted both as a directory and as something else", up)
			}
			p.entries[up] = entry{path: up, kind: dir}
		}
	}
	out := plan{entries: make([]entry, 0, len(p.entries))}
	for _, name := range slices.Sorted(maps.Keys(p.entries)) {
		out.entries = append(out.entries, p.entries[name])
	}
	return out, nil
}
