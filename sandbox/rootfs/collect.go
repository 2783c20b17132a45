package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// resolve follows a host path to the file it means and refuses what a tree may
// not be made of.
func (p *planner) resolve(path string) (real string, st os.FileInfo, err error) {
	if !filepath.IsAbs(path) {
		return "", nil, fmt.Errorf("%q is not an absolute path", path)
	}
	if real, err = p.ld.real(path); err != nil {
		return "", nil, err
	}
	parent, err := p.ld.real(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	if !p.ld.allowed(real) || !p.ld.allowed(parent) {
		return "", nil, fmt.Errorf("%s (which is %s): only what lies below /usr and not in /usr/local can be in a sandbox's root", path, real)
	}
	st, err = os.Stat(real)
	return real, st, err
}

// alias plans the name under which a file was asked for, if it is a link.
func (p *planner) alias(path, real string) error {
	parent, err := p.ld.real(filepath.Dir(path))
	if err != nil {
		return err
	}
	if name := filepath.Join(parent, filepath.Base(path)); name != real {
		p.link(name, real)
	}
	return nil
}

// program plans a program or script and all it needs to run.
func (p *planner) program(path string) error {
	real, st, err := p.resolve(path)
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file", path)
	}
	p.copyOf(real, real, st)
	if err := p.alias(path, real); err != nil {
		return err
	}
	o, err := p.ld.read(real)
	if err == nil {
		return p.libraries(real, o, nil, true)
	}
	if !errors.Is(err, errNotELF) {
		return err
	}
	interp, arg, err := shebang(real)
	if err != nil || interp == "" {
		return err
	}
	if err := p.program(interp); err != nil {
		return fmt.Errorf("interpreter of %s: %w", path, err)
	}
	if filepath.Base(interp) == "env" && arg != "" {
		for _, d := range programDirs {
			if name := filepath.Join(d, arg); isFile(name) {
				return p.program(name)
			}
		}
	}
	return nil
}

// libraries plans the loader and the libraries of an ELF file, and theirs. If
// strict is not set, those that the host does not have are passed over: a
// module of a standard library that the host cannot load either.
func (p *planner) libraries(real string, o object, inherited []string, strict bool) error {
	if p.linked[real] {
		return nil
	}
	p.linked[real] = true
	if o.interp != "" {
		if err := p.program(o.interp); err != nil {
			return fmt.Errorf("loader of %s: %w", real, err)
		}
	}
	for _, name := range o.needed {
		lib, ok := p.ld.find(name, o, inherited)
		if !ok && strict {
			return fmt.Errorf("%s needs %s, which is not on this host", real, name)
		}
		if !ok {
			p.log.Debug("left out a library that the host does not have", "file", real, "library", name)
			continue
		}
		if err := p.library(lib, name, o, inherited, strict); err != nil {
			return err
		}
	}
	return nil
}

func (p *planner) library(lib found, name string, by object, inherited []string, strict bool) error {
	real, st, err := p.resolve(lib.path)
	if err != nil {
		return err
	}
	p.copyOf(real, real, st)
	if err := p.alias(lib.path, real); err != nil {
		return err
	}
	if lib.off {
		// Without a cache the loader looks in its default directories only.
		for _, d := range defaultDirs(by) {
			if home, err := p.ld.real(d); err == nil {
				p.link(filepath.Join(home, name), real)
				break
			}
		}
	}
	o, err := p.ld.read(real)
	if err != nil {
		return err
	}
	return p.libraries(real, o, append(append([]string(nil), by.rpath...), inherited...), strict)
}

// sonames plans libraries that are opened by name at run time, if the host has
// them, of the kind that its shell uses.
func (p *planner) sonames(names []string) {
	for _, d := range programDirs {
		real, err := p.ld.real(filepath.Join(d, "sh"))
		if err != nil {
			continue
		}
		sh, err := p.ld.read(real)
		if err != nil {
			return
		}
		for _, name := range names {
			if lib, ok := p.ld.find(name, sh, nil); ok {
				if err := p.library(lib, name, sh, nil, false); err != nil {
					p.log.Debug("left out a library", "library", name, "error", err)
				}
			}
		}
		return
	}
}

// directory plans a host directory and what is below it.
func (p *planner) directory(path string) error {
	root, st, err := p.resolve(path)
	if err != nil {
		return err
	}
	if !st.IsDir() {
		return fmt.Errorf("%s is not a directory", path)
	}
	if err := p.alias(path, root); err != nil {
		return err
	}
	return filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name != root && skipped(d) {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		switch {
		case d.IsDir():
			if !p.ld.allowed(name) {
				return filepath.SkipDir
			}
			p.add(entry{path: name, kind: dir})
			return nil
		case d.Type()&fs.ModeSymlink != 0:
			return p.foundLink(root, name)
		case d.Type().IsRegular():
			return p.foundFile(name, name)
		}
		return nil // sockets, pipes and devices have no business in a tree
	})
}

// foundFile plans a file in a directory, and its libraries if it is a shared
// object or a program.
func (p *planner) foundFile(dest, source string) error {
	st, err := os.Stat(source)
	if err != nil {
		return err
	}
	p.copyOf(dest, source, st)
	if st.Mode()&0o111 == 0 && !strings.Contains(filepath.Base(source), ".so") {
		return nil
	}
	o, err := p.ld.read(source)
	if err != nil {
		return nil // no ELF file, or a damaged one: it is a file like others
	}
	return p.libraries(source, o, nil, false)
}

// foundLink plans a link in a directory. One that leads to somewhere else in
// the directory stays a link; one to a file elsewhere that may be in a tree
// becomes a copy; others are left out.
func (p *planner) foundLink(root, name string) error {
	real, err := p.ld.real(name)
	if err != nil {
		return nil // leads nowhere on the host either
	}
	if rel, err := filepath.Rel(root, real); err == nil && filepath.IsLocal(rel) && !skippedPath(rel) {
		p.link(name, real)
		return nil
	}
	if st, err := os.Stat(real); err != nil || !st.Mode().IsRegular() || !p.ld.allowed(real) {
		p.log.Debug("left out a link", "link", name, "target", real)
		return nil
	}
	return p.foundFile(name, real)
}

// skippedDirs are directories in standard libraries that no function needs:
// tests, what builds and installs software, what needs a screen.
var skippedDirs = map[string]bool{
	"test": true, "tests": true, "idlelib": true, "ensurepip": true, "lib2to3": true,
	"tkinter": true, "turtledemo": true, "pydoc_data": true, "venv": true,
	"site-packages": true, "dist-packages": true,
	// Of time zones the ones that count leap seconds, and a second copy.
	"right": true, "posix": true,
}

// skippedDirPrefix begins the name of the directory with Python's static
// library and makefiles.
const skippedDirPrefix = "config-3."

// skippedSuffixes are files of which Python has a better one: byte code is
// copied with its sources (both keep their times, so that it stays valid: the
// root is read-only and could not hold any made later), but not the variants
// for -O.
var skippedSuffixes = []string{".opt-1.pyc", ".opt-2.pyc", ".a"}

func skipped(d fs.DirEntry) bool {
	if d.IsDir() {
		return skippedName(d.Name())
	}
	for _, suffix := range skippedSuffixes {
		if strings.HasSuffix(d.Name(), suffix) {
			return true
		}
	}
	return strings.HasPrefix(d.Name(), "_tkinter.")
}

func skippedName(dir string) bool {
	return skippedDirs[dir] || strings.HasPrefix(dir, skippedDirPrefix)
}

// skippedPath tells whether a path below a copied directory leads through a
// directory that is left out.
func skippedPath(rel string) bool {
	for part := range strings.SplitSeq(filepath.Dir(rel), "/") {
		if skippedName(part) {
			return true
		}
	}
	return false
}
