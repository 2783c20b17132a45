package runtimes

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestDiscoverRefuses: what leads out of /usr, into /usr/local, or to a script is
// not an interpreter.
func TestDiscoverRefuses(t *testing.T) {
	bin := t.TempDir()
	script := filepath.Join(bin, "shim")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nexec python3 \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"python3": script, "node": script, "python3.12": "/nonesuch", "python3.13": "/etc/passwd", "python3.14": "/usr/bin/ldd"} {
		if err := os.Symlink(target, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	s := discover(bin, slog.New(slog.DiscardHandler))
	if len(s.pythons) != 0 || s.node != nil {
		t.Errorf("found %+v, %+v", s.pythons, s.node)
	}
	for name, want := range map[string]string{
		"python3.9":  "The runtime python3.9 needs a Python interpreter at /usr/bin/python3, and this machine has none.",
		"nodejs20.x": "The runtime nodejs20.x needs Node.js at /usr/bin/node, and this machine has none.",
	} {
		if _, err := s.Resolve(name); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Resolve("provided.al2"); err != nil {
		t.Error(err)
	}
}

// TestExactInterpreter: a name gets the interpreter of its own version if there
// is one, and else the system's.
func TestExactInterpreter(t *testing.T) {
	s := &Set{pythons: []*interpreter{{name: "python3.11", path: "/usr/bin/python3.11"}, {name: "python3.9", path: "/usr/bin/python3.9"}}}
	for name, want := range map[string]string{"python3.11": "/usr/bin/python3.11", "python3.9": "/usr/bin/python3.9", "python3.12": "/usr/bin/python3.11"} {
		if got := s.python(name).path; got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// TestDiscoverSystem: what Discover finds here is under its own name, once.
func TestDiscoverSystem(t *testing.T) {
	s := Discover(slog.New(slog.DiscardHandler))
	if len(s.pythons) == 0 || s.node == nil {
		t.Fatal("the tests of this package need /usr/bin/python3 and /usr/bin/node")
	}
	var paths []string
	for _, in := range s.pythons {
		paths = append(paths, in.path)
		if in.name != filepath.Base(in.path) {
			t.Errorf("%+v", in)
		}
	}
	slices.Sort(paths)
	if len(slices.Compact(slices.Clone(paths))) != len(paths) {
		t.Errorf("twice: %q", paths)
	}
}

func TestTopmost(t *testing.T) {
	dir := t.TempDir()
	for _, sub := range []string{"a", "a/b", "a/b/c", "a-b", "z"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	at := func(subs ...string) (list []string) {
		for _, sub := range subs {
			list = append(list, filepath.Join(dir, sub))
		}
		return list
	}
	if got := topmost(at("z", "a/b/c", "a", "none", "a/b", "a-b", "a")); !slices.Equal(got, at("a", "a-b", "z")) {
		t.Errorf("got %q", got)
	}
}
