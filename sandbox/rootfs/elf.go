package rootfs

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// object is what the loader needs to know of an ELF file.
type object struct {
	class   elf.Class
	machine elf.Machine
	interp  string   // PT_INTERP, or ""
	needed  []string // DT_NEEDED
	rpath   []string // DT_RPATH, $ORIGIN replaced; nil if there is a DT_RUNPATH
	runpath []string // DT_RUNPATH, $ORIGIN replaced
}

var errNotELF = errors.New("not an ELF file")

// readObject reads an ELF file's loading facts. The file is only ever parsed,
// never run (which is what ldd does).
func readObject(path string) (object, error) {
	f, err := os.Open(path)
	if err != nil {
		return object{}, err
	}
	defer f.Close()
	var magic [4]byte
	if _, err := io.ReadFull(f, magic[:]); err != nil || !bytes.Equal(magic[:], []byte(elf.ELFMAG)) {
		return object{}, errNotELF
	}
	e, err := elf.NewFile(f)
	if err != nil {
		return object{}, fmt.Errorf("%s: %w", path, err)
	}
	o := object{class: e.Class, machine: e.Machine}
	for _, p := range e.Progs {
		if p.Type == elf.PT_INTERP && p.Filesz < 4096 {
			name, err := io.ReadAll(p.Open())
			if err != nil {
				return object{}, fmt.Errorf("%s: %w", path, err)
			}
			o.interp = string(bytes.TrimRight(name, "\x00"))
		}
	}
	// A static program has no dynamic section: every list is empty then.
	o.needed, _ = e.DynString(elf.DT_NEEDED)
	rpath, _ := e.DynString(elf.DT_RPATH)
	runpath, _ := e.DynString(elf.DT_RUNPATH)
	origin := filepath.Dir(path)
	if o.runpath = searchPath(runpath, origin); len(o.runpath) == 0 {
		o.rpath = searchPath(rpath, origin)
	}
	return o, nil
}

// searchPath splits RPATH-like values. $ORIGIN is the directory of the file
// itself; $LIB and $PLATFORM differ between loaders and are passed over.
func searchPath(values []string, origin string) []string {
	var out []string
	for _, v := range values {
		for dir := range strings.SplitSeq(v, ":") {
			dir = strings.ReplaceAll(strings.ReplaceAll(dir, "${ORIGIN}", origin), "$ORIGIN", origin)
			if filepath.IsAbs(dir) && !strings.Contains(dir, "$") {
				out = append(out, filepath.Clean(dir))
			}
		}
	}
	return out
}

// found is a library on the host.
type found struct {
	path string // as the loader would open it
	// off is set if the loader found it through its cache in a directory that
	// it does not search by default. A tree has no cache.
	off bool
}

// loader finds libraries as the dynamic loader of the host would, but only
// within what a tree may be made of.
type loader struct {
	cache   map[string][]string
	allowed func(realPath string) bool
	objects map[string]object // by path, read before
	reals   map[string]string // by path, resolved before
}

// real is filepath.EvalSymlinks, remembered: the same few directories are
// asked for again and again.
func (l *loader) real(path string) (string, error) {
	path = filepath.Clean(path)
	if path == "/" {
		return path, nil
	}
	if r, ok := l.reals[path]; ok {
		return r, nil
	}
	parent, err := l.real(filepath.Dir(path))
	if err != nil {
		return "", err
	}
	r := filepath.Join(parent, filepath.Base(path))
	st, err := os.Lstat(r)
	if err == nil && st.Mode()&os.ModeSymlink != 0 {
		r, err = filepath.EvalSymlinks(r)
	}
	if err != nil {
		return "", err
	}
	l.reals[path] = r
	return r, nil
}

// defaultDirs are searched by the loaders of one distribution or another for
// libraries of one class, most specific first.
func defaultDirs(o object) []string {
	triplet := map[elf.Machine]string{
		elf.EM_X86_64:  "x86_64-linux-gnu",
		elf.EM_AARCH64: "aarch64-linux-gnu",
		elf.EM_RISCV:   "riscv64-linux-gnu",
	}[o.machine]
	var dirs []string
	if triplet != "" {
		dirs = append(dirs, "/lib/"+triplet, "/usr/lib/"+triplet)
	}
	if o.class == elf.ELFCLASS64 {
		dirs = append(dirs, "/lib64", "/usr/lib64")
	}
	return append(dirs, "/lib", "/usr/lib")
}

// read is readObject, remembered.
func (l *loader) read(path string) (object, error) {
	if o, ok := l.objects[path]; ok {
		return o, nil
	}
	o, err := readObject(path)
	if err == nil {
		l.objects[path] = o
	}
	return o, err
}

// find looks for the library that o, loaded by others with the inherited
// RPATHs, calls name.
func (l *loader) find(name string, o object, inherited []string) (found, bool) {
	if strings.Contains(name, "/") {
		return found{path: name}, filepath.IsAbs(name) && l.fits(name, o)
	}
	var own []string
	if len(o.runpath) == 0 {
		own = append(append(own, o.rpath...), inherited...)
	}
	for _, dir := range append(own, o.runpath...) {
		if p := filepath.Join(dir, name); l.fits(p, o) {
			return found{path: p}, true
		}
	}
	defaults := defaultDirs(o)
	for _, p := range l.cache[name] {
		if l.fits(p, o) {
			return found{path: p, off: !slices.Contains(defaults, filepath.Dir(p))}, true
		}
	}
	for _, dir := range defaults {
		if p := filepath.Join(dir, name); l.fits(p, o) {
			return found{path: p}, true
		}
	}
	return found{}, false
}

// fits tells whether the file can be loaded next to o and may be in a tree.
func (l *loader) fits(path string, o object) bool {
	real, err := l.real(path)
	if err != nil || !l.allowed(real) {
		return false
	}
	if dir, err := l.real(filepath.Dir(path)); err != nil || !l.allowed(dir) {
		return false
	}
	lib, err := l.read(real)
	return err == nil && lib.class == o.class && lib.machine == o.machine
}

// shebang is the interpreter of a script and its one argument, or "" if the
// file is none. "#!/usr/bin/env python3" has the interpreter /usr/bin/env and
// the argument "python3".
func shebang(path string) (interp, arg string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", "", err
	}
	defer f.Close()
	head := make([]byte, 256) // BINPRM_BUF_SIZE
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return "", "", err
	}
	line, _, _ := bytes.Cut(head[:n], []byte("\n"))
	rest, ok := bytes.CutPrefix(line, []byte("#!"))
	if !ok {
		return "", "", nil
	}
	interp, arg, _ = strings.Cut(strings.TrimSpace(string(rest)), " ")
	return interp, strings.TrimSpace(arg), nil
}
