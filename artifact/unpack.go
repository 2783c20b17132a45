package artifact

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/alcove-run/alcove"
)

// Modes of what is unpacked: readable by the user that a function runs as,
// whichever it is, and writable by nobody else. Bits beyond (setuid, setgid,
// sticky) are never carried over.
const (
	dirMode  = 0o755
	fileMode = 0o644
	execMode = 0o755
)

// write makes the tree in dir, which must not exist. Every path is opened
// beneath dir without leaving it, every file is new, and links come last, so
// that nothing is ever written through one.
func (p *plan) write(dir string) error {
	if err := os.Mkdir(dir, dirMode); err != nil {
		return fmt.Errorf("artifact: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("artifact: %w", err)
	}
	defer func() { _ = root.Close() }()
	if err := root.Chmod(".", dirMode); err != nil { // whatever the umask
		return fmt.Errorf("artifact: %w", err)
	}
	for _, name := range p.dirs {
		if err := root.Mkdir(name, dirMode); err != nil {
			return diskError(name, err)
		}
		if err := root.Chmod(name, dirMode); err != nil {
			return diskError(name, err)
		}
	}
	if err := p.writeFiles(root); err != nil {
		return err
	}
	for _, l := range p.links {
		if err := writeLink(root, l); err != nil {
			return err
		}
	}
	// Only now is it known where links lead that lead over other links.
	for _, l := range p.links {
		if _, err := root.Stat(l.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return refused("link %q: %w", l.path, err)
		}
	}
	return nil
}

// writeFiles writes the files, which are sorted by directory: each directory is
// walked to once.
func (p *plan) writeFiles(root *os.Root) error {
	at, in := ".", root
	defer func() {
		if in != root {
			_ = in.Close()
		}
	}()
	buf := make([]byte, 64<<10)
	var total int64
	for _, e := range p.files {
		if d := path.Dir(e.path); d != at {
			next, err := root.OpenRoot(d)
			if err != nil {
				return diskError(d, err)
			}
			if in != root {
				_ = in.Close()
			}
			at, in = d, next
		}
		n, err := writeFile(in, path.Base(e.path), e, buf)
		if err != nil {
			return err
		}
		if total += n; total >= alcove.MaxUnzipped {
			return errUnzippedSize()
		}
	}
	return nil
}

// writeFile writes one file and gives its size, which is counted: what the
// header says is only the most that is read.
func writeFile(in *os.Root, name string, e entry, buf []byte) (int64, error) {
	content, err := e.file.Open()
	if err != nil {
		return 0, refused("%q: %w", e.path, err)
	}
	defer func() { _ = content.Close() }()
	f, err := in.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fileMode)
	if err != nil {
		return 0, diskError(e.path, err)
	}
	declared := int64(e.file.UncompressedSize64)
	n, err := io.CopyBuffer(onlyWriter{f}, io.LimitReader(content, declared+1), buf)
	mode := fs.FileMode(fileMode)
	if e.exec {
		mode = execMode
	}
	if err == nil {
		err = f.Chmod(mode) // whatever the umask
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	switch {
	case isDisk(err):
		return n, diskError(e.path, err)
	case err != nil:
		return n, refused("%q: %w", e.path, err)
	case n > declared:
		return n, refused("%q is longer than its header says", e.path)
	}
	// Python compares it with the time in its compiled files.
	if t := e.file.Modified; !t.IsZero() {
		if err := in.Chtimes(name, t, t); err != nil {
			return n, diskError(e.path, err)
		}
	}
	return n, nil
}

// onlyWriter keeps io.CopyBuffer from going round the buffer.
type onlyWriter struct{ io.Writer }

func writeLink(root *os.Root, e entry) error {
	target, err := readTarget(e.file)
	if err != nil {
		return err
	}
	// Where it leads by its text alone; write follows it as well.
	led := path.Join(path.Dir(e.path), target)
	if target[0] == '/' || led == ".." || strings.HasPrefix(led, "../") {
		return refused("link %q leads out of the package to %q", e.path, target)
	}
	if err := root.Symlink(target, e.path); err != nil {
		return diskError(e.path, err)
	}
	return nil
}

func readTarget(f *zip.File) (string, error) {
	r, err := f.Open()
	if err != nil {
		return "", refused("link %q: %w", f.Name, err)
	}
	defer func() { _ = r.Close() }()
	b, err := io.ReadAll(io.LimitReader(r, maxPath+1))
	switch {
	case err != nil:
		return "", refused("link %q: %w", f.Name, err)
	case len(b) == 0 || len(b) > maxPath:
		return "", refused("link %q has a target of %d bytes", f.Name, len(b))
	case strings.ContainsRune(string(b), 0):
		return "", refused("the target of link %q contains NUL", f.Name)
	}
	return string(b), nil
}

// isDisk says whether an error is of the file system rather than of the package:
// packages are read from memory.
func isDisk(err error) bool {
	_, ok := errors.AsType[*fs.PathError](err)
	return ok
}

// diskError wraps an error of the file system. A name that is there already,
// though the plan has it once, is on a file system that folds names: the
// package's fault here.
func diskError(name string, err error) error {
	if errors.Is(err, fs.ErrExist) {
		return refused("%q is there twice: %w", name, err)
	}
	return fmt.Errorf("artifact: %q: %w", name, err)
}
