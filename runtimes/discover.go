package runtimes

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/sandbox/rootfs"
)

// Set is the interpreters of one machine. Its methods may be called by many
// goroutines.
type Set struct {
	log *slog.Logger
	// pythons are by name; the one that any other name runs on is first.
	pythons []*interpreter
	node    *interpreter // nil if there is none
	mapped  func(name string) (digest string, ok bool)
}

// interpreter is a program of the host. What it says of itself is asked for when
// it is first needed, and kept.
type interpreter struct {
	name string // the runtime name that it is the exact match of, or empty
	path string // what symbolic links lead to
	ask  func(path string) (about, error)

	mu    sync.Mutex
	known *about // guarded by mu
}

// about is what an interpreter says of itself.
type about struct {
	version string
	want    rootfs.Want
	args    []string
}

var pythonName = regexp.MustCompile(`^python3\.\d+$`)

// Discover looks for interpreters in /usr/bin. It only looks at files, so it
// costs next to nothing; nothing is run before [Set.Resolve].
func Discover(log *slog.Logger) *Set { return discover("/usr/bin", log) }

func discover(bin string, log *slog.Logger) *Set {
	s := &Set{log: log}
	add := func(file string) {
		path, err := program(filepath.Join(bin, file))
		if err != nil {
			log.Debug("no interpreter", "file", file, "error", err)
			return
		}
		if slices.ContainsFunc(s.pythons, func(in *interpreter) bool { return in.path == path }) {
			return
		}
		name := filepath.Base(path)
		if !pythonName.MatchString(name) {
			name = ""
		}
		s.pythons = append(s.pythons, &interpreter{name: name, path: path, ask: askPython})
	}
	add("python3")
	others, _ := filepath.Glob(filepath.Join(bin, "python3.*")) // the pattern is good
	slices.Sort(others)
	for _, file := range others {
		if pythonName.MatchString(filepath.Base(file)) {
			add(filepath.Base(file))
		}
	}
	for _, file := range []string{"node", "nodejs"} {
		if path, err := program(filepath.Join(bin, file)); err == nil {
			s.node = &interpreter{path: path, ask: askNode}
			break
		} else {
			log.Debug("no interpreter", "file", file, "error", err)
		}
	}
	return s
}

// program follows symbolic links to an ELF program of the system.
func program(name string) (string, error) {
	path, err := filepath.EvalSymlinks(name)
	if err != nil {
		return "", err
	}
	dir := filepath.Dir(path) + "/"
	if !strings.HasPrefix(dir, "/usr/") || strings.HasPrefix(dir, "/usr/local/") {
		return "", fmt.Errorf("%s leads out of /usr, to %s", name, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	magic := make([]byte, 4)
	if _, err := f.Read(magic); err != nil || !bytes.Equal(magic, []byte("\x7fELF")) {
		return "", fmt.Errorf("%s is not an ELF program", path)
	}
	return path, nil
}

// Resolve tells what a runtime name stands for. Its errors are
// InvalidParameterValueExceptions that say what is missing, but for an
// interpreter that is there and cannot be asked, which is the platform's fault.
func (s *Set) Resolve(name string) (Runtime, error) {
	if r, ok := s.image(name); ok {
		return r, nil
	}
	r := Runtime{Name: name, Family: FamilyOf(name)}
	var in *interpreter
	var needs string
	switch r.Family {
	case Provided:
		r.TCP = true
		return r, nil
	case Python:
		in, needs = s.python(name), "a Python interpreter at /usr/bin/python3"
	case NodeJS:
		in, needs = s.node, "Node.js at /usr/bin/node"
	default:
		if slices.Contains(Names(), name) {
			return Runtime{}, alcove.InvalidParameter(
				"alcove cannot run the runtime %s. It runs nodejs*.x, python3.*, provided.al2 and provided.al2023, and runtimes that an image stands for (--runtime-image).", name)
		}
		return Runtime{}, alcove.InvalidParameter(
			"Value %s at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [%s] or be a valid ARN",
			name, strings.Join(runnable(), ", "))
	}
	if in == nil {
		return Runtime{}, alcove.InvalidParameter("The runtime %s needs %s, and this machine has none.", name, needs)
	}
	a, err := in.about()
	if err != nil {
		return Runtime{}, err
	}
	r.Version, r.Want, r.Args = a.version, a.want, a.args
	return r, nil
}

// python is the interpreter for a name: the exact one if it is there, else the
// system's.
func (s *Set) python(name string) *interpreter {
	if len(s.pythons) == 0 {
		return nil
	}
	for _, in := range s.pythons {
		if in.name == name {
			return in
		}
	}
	return s.pythons[0]
}

func (in *interpreter) about() (about, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.known == nil {
		a, err := in.ask(in.path)
		if err != nil {
			return about{}, err
		}
		in.known = &a
	}
	return *in.known, nil
}
