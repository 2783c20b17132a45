package artifact

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// look gives what there is at a path for a process that has the image as its
// root, and that nothing in it belongs to. Links lead somewhere within the image
// or nowhere. The errors are system calls'.
func (i Image) look(name string) (fs.FileInfo, error) {
	const mostLinks = 40 // as the kernel has it
	at, links := "/", 0
	rest := strings.Split(name, "/")
	info, err := os.Lstat(i.Dir)
	if err != nil {
		return nil, err
	}
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		switch {
		case !info.IsDir():
			return nil, syscall.ENOTDIR
		case info.Mode().Perm()&0o001 == 0:
			return nil, syscall.EACCES
		case part == "" || part == ".":
			continue
		}
		next := path.Join(at, part) // above the root there is the root
		if info, err = os.Lstat(filepath.Join(i.Dir, next)); err != nil {
			return nil, errno(err)
		}
		if info.Mode().Type() != fs.ModeSymlink {
			at = next
			continue
		}
		to, err := os.Readlink(filepath.Join(i.Dir, next))
		if err != nil {
			return nil, errno(err)
		}
		if links++; links > mostLinks || len(rest) > 4096 {
			return nil, syscall.ELOOP
		}
		if path.IsAbs(to) {
			at = "/"
		}
		if info, err = os.Lstat(filepath.Join(i.Dir, at)); err != nil {
			return nil, errno(err)
		}
		rest = append(strings.Split(to, "/"), rest...)
	}
	return info, nil
}

func errno(err error) error {
	if e, ok := err.(*fs.PathError); ok {
		return e.Err
	}
	return err
}

// Program finds a program as a shell does that is in the directory dir: by its
// path, or by search in the directories of searchPath. What it gives is absolute.
func (i Image) Program(name, dir, searchPath string) (string, error) {
	if strings.Contains(name, "/") {
		return i.executable(path.Join("/", dir), name)
	}
	err := error(syscall.ENOENT)
	for _, in := range strings.Split(searchPath, ":") {
		found, lerr := i.executable(path.Join("/", dir), path.Join(in, name))
		if lerr == nil {
			return found, nil
		}
		if lerr == syscall.EACCES {
			err = lerr
		}
	}
	return "", err
}

func (i Image) executable(dir, name string) (string, error) {
	if !path.IsAbs(name) {
		name = dir + "/" + name // links in it lead before its dots do
	}
	info, err := i.look(name)
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular() || info.Mode().Perm()&0o001 == 0:
		return "", syscall.EACCES
	}
	return name, nil
}

// CanEnter tells whether a process may be in a directory of the image.
func (i Image) CanEnter(dir string) error {
	info, err := i.look(dir)
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		return syscall.ENOTDIR
	case info.Mode().Perm()&0o001 == 0:
		return syscall.EACCES
	}
	return nil
}

// HasDir tells whether something can be mounted at a path: it is a directory, and
// no link leads there.
func (i Image) HasDir(dir string) bool {
	at := i.Dir
	for _, part := range strings.Split(strings.Trim(dir, "/"), "/") {
		at = filepath.Join(at, part)
		if info, err := os.Lstat(at); err != nil || !info.IsDir() {
			return false
		}
	}
	return true
}
