package artifact

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/alcove-run/alcove"
)

const (
	// maxEntries bounds files, links and directories together, those directories
	// included that are only implied. AWS states no limit; a large Node package
	// has some ten thousand.
	maxEntries = 100_000
	// maxPath bounds a path inside the package and the target of a link, in
	// bytes. The kernel takes 4,096 from the root.
	maxPath = 1024
	maxName = 255 // of one part of a path: NAME_MAX
)

// refused is the answer to a package that cannot or will not be unpacked: AWS's
// text for the caller, the reason for the operator.
func refused(format string, args ...any) *alcove.Error {
	e := alcove.InvalidParameter("Could not unzip uploaded file. Please check your file, then try to upload again.")
	e.Err = fmt.Errorf(format, args...)
	return e
}

func errEmpty() *alcove.Error {
	return alcove.InvalidParameter("Uploaded file must be a non-empty zip")
}

func errUnzippedSize() *alcove.Error {
	return alcove.InvalidParameter("Unzipped size must be smaller than %d bytes", alcove.MaxUnzipped)
}

// plan is what unpacking a package will make, checked as far as its directory
// tells: names, kinds and declared sizes. Paths are relative and clean.
type plan struct {
	dirs  []string // every parent before its children
	files []entry  // by directory
	links []entry
	size  int64 // declared, of all files
}

type entry struct {
	path string
	file *zip.File
	exec bool
}

// signature of a central directory header (APPNOTE 4.3.12).
var headerSignature = []byte("PK\x01\x02")

func readPlan(raw *io.SectionReader) (*plan, error) {
	// The reader below allocates for every entry before anybody can count them.
	// The signature may also be inside of stored archives, hence the factor.
	headers, err := count(raw, headerSignature)
	if err != nil {
		return nil, fmt.Errorf("artifact: %w", err)
	}
	if headers > 2*maxEntries {
		return nil, refused("more than %d entries", 2*maxEntries)
	}
	r, err := zip.NewReader(raw, raw.Size())
	if err != nil {
		return nil, refused("zip: %w", err)
	}
	return planOf(r)
}

// count is how often a few bytes are in what r reads, a piece of it at a time.
func count(r io.Reader, of []byte) (n int, err error) {
	buf := make([]byte, 64<<10)
	kept := 0 // of the piece before, in which an occurrence may begin
	for {
		got, err := io.ReadFull(r, buf[kept:])
		piece := buf[:kept+got]
		n += bytes.Count(piece, of)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		kept = copy(buf, piece[len(piece)-len(of)+1:])
	}
}

// planOf is the plan for a zip file whose directory was read.
func planOf(r *zip.Reader) (*plan, error) {
	if len(r.File) == 0 {
		return nil, errEmpty()
	}
	p := &plan{}
	kinds := make(map[string]fs.FileMode, len(r.File))
	for _, f := range r.File {
		if err := p.add(kinds, f); err != nil {
			return nil, err
		}
		if len(kinds) > maxEntries {
			return nil, refused("more than %d entries", maxEntries)
		}
		if p.size >= alcove.MaxUnzipped {
			return nil, errUnzippedSize()
		}
	}
	if err := disjoint(r.File); err != nil {
		return nil, err
	}
	p.sort()
	return p, nil
}

// sort puts directories before what is in them, and the files of a directory
// together.
func (p *plan) sort() {
	slices.Sort(p.dirs)
	slices.SortFunc(p.files, func(a, b entry) int {
		if c := strings.Compare(path.Dir(a.path), path.Dir(b.path)); c != 0 {
			return c
		}
		return strings.Compare(a.path, b.path)
	})
}

// add takes one entry into the plan, with the directories that it implies.
// kinds has the type of each path so far.
func (p *plan) add(kinds map[string]fs.FileMode, f *zip.File) error {
	const encrypted = 1<<0 | 1<<6 | 1<<13 // APPNOTE 4.4.4
	name, err := cleanName(f.Name)
	if err != nil {
		return err
	}
	kind := f.Mode().Type()
	switch {
	case f.Flags&encrypted != 0:
		return refused("%q is encrypted", f.Name)
	case f.Method != zip.Store && f.Method != zip.Deflate:
		return refused("%q is compressed by method %d", f.Name, f.Method)
	case kind != 0 && kind != fs.ModeDir && kind != fs.ModeSymlink:
		return refused("%q is a special file: %v", f.Name, kind)
	case kind == fs.ModeDir && f.UncompressedSize64 != 0:
		return refused("directory %q has content", f.Name)
	case kind != fs.ModeDir && (name == "." || strings.HasSuffix(f.Name, "/.")):
		return refused("%q is no name for a file", f.Name)
	case f.UncompressedSize64 >= alcove.MaxUnzipped:
		return errUnzippedSize()
	}
	if name == "." {
		return nil
	}
	for i := range len(name) {
		if name[i] == '/' {
			if err := p.addDir(kinds, name[:i]); err != nil {
				return err
			}
		}
	}
	if kind == fs.ModeDir {
		return p.addDir(kinds, name)
	}
	if _, taken := kinds[name]; taken {
		return refused("%q is there twice", name)
	}
	kinds[name] = kind
	e := entry{path: name, file: f, exec: f.Mode()&0o111 != 0}
	if kind == fs.ModeSymlink {
		p.links = append(p.links, e)
	} else {
		p.files = append(p.files, e)
	}
	p.size += int64(f.UncompressedSize64)
	return nil
}

// addDir takes a directory into the plan; it may be named any number of times,
// but not be something else as well.
func (p *plan) addDir(kinds map[string]fs.FileMode, name string) error {
	kind, taken := kinds[name]
	if taken && kind != fs.ModeDir {
		return refused("%q is a directory and something else", name)
	}
	if !taken {
		kinds[name] = fs.ModeDir
		p.dirs = append(p.dirs, name)
	}
	return nil
}

// cleanName gives the path of an entry, relative to the tree and without "."
// parts. Names are bytes to Linux and to alcove: letters of another case make
// another file, as on AWS, and a file system that thinks otherwise refuses the
// second one.
func cleanName(name string) (string, error) {
	switch {
	case name == "":
		return "", refused("an entry has no name")
	case len(name) > maxPath:
		return "", refused("a name has %d bytes", len(name))
	case strings.ContainsRune(name, 0):
		return "", refused("%q contains NUL", name)
	case strings.Contains(name, `\`):
		// A separator to whoever made it on Windows, a letter to Linux.
		return "", refused("%q contains a backslash", name)
	case name[0] == '/':
		return "", refused("%q is absolute", name)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", refused("%q leaves the package", name)
		}
		if len(part) > maxName {
			return "", refused("a part of %q has %d bytes", name, len(part))
		}
	}
	return path.Clean(name), nil
}

// disjoint refuses packages in which the same bytes are the content of several
// entries: no archiver writes them, and it is how a small zip unpacks to
// petabytes (D. Fifield, "A better zip bomb").
func disjoint(files []*zip.File) error {
	const localHeader = 30 // APPNOTE 4.3.7, without name and extra field
	type span struct{ from, to int64 }
	spans := make([]span, 0, len(files))
	for _, f := range files {
		body, err := f.DataOffset()
		if err != nil {
			return refused("%q: %w", f.Name, err)
		}
		size := int64(f.CompressedSize64)
		if size < 0 || body+size < body {
			return refused("%q has an impossible size", f.Name)
		}
		spans = append(spans, span{body - localHeader, body + size})
	}
	slices.SortFunc(spans, func(a, b span) int { return int(min(max(a.from-b.from, -1), 1)) })
	for i := 1; i < len(spans); i++ {
		if spans[i].from < spans[i-1].to {
			return refused("entries overlap")
		}
	}
	return nil
}
