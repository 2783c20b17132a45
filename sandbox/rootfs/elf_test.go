package rootfs

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLoaderCacheOfThisHost(t *testing.T) {
	raw, err := os.ReadFile("/etc/ld.so.cache")
	if err != nil {
		t.Skipf("no glibc: %v", err)
	}
	libs := ldCache(raw)
	if len(libs) < 10 || len(libs["libc.so.6"]) == 0 {
		t.Fatalf("%d libraries, libc.so.6 at %q", len(libs), libs["libc.so.6"])
	}
	for _, p := range libs["libc.so.6"] {
		if !isFile(p) {
			t.Errorf("%s is no file", p)
		}
	}
}

func FuzzLoaderCache(f *testing.F) {
	if raw, err := os.ReadFile("/etc/ld.so.cache"); err == nil {
		f.Add(raw[:min(len(raw), 4096)])
	}
	f.Add([]byte(ldNewMagic))
	f.Add(append([]byte(ldOldMagic), 0xff, 0xff, 0xff, 0xff))
	f.Fuzz(func(t *testing.T, raw []byte) {
		for name, paths := range ldCache(raw) {
			for _, p := range paths {
				if name == "" || !filepath.IsAbs(p) {
					t.Fatalf("%q: %q", name, p)
				}
			}
		}
	})
}

func TestShebang(t *testing.T) {
	for content, want := range map[string][2]string{
		"#!/bin/sh\necho":                {"/bin/sh", ""},
		"#! /usr/bin/env  python3\n":     {"/usr/bin/env", "python3"},
		"#!/bin/sh":                      {"/bin/sh", ""},
		"echo":                           {},
		"":                               {},
		"#!/usr/bin/perl -w\nuse x;\n\n": {"/usr/bin/perl", "-w"},
	} {
		name := filepath.Join(t.TempDir(), "script")
		if err := os.WriteFile(name, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
		interp, arg, err := shebang(name)
		if err != nil || interp != want[0] || arg != want[1] {
			t.Errorf("%q: %q %q %v", content, interp, arg, err)
		}
	}
}

func TestSearchPath(t *testing.T) {
	got := searchPath([]string{"$ORIGIN/../lib:/opt/x:rel:${ORIGIN}:/a/$LIB"}, "/usr/x/bin")
	if len(got) != 3 || got[0] != "/usr/x/lib" || got[1] != "/opt/x" || got[2] != "/usr/x/bin" {
		t.Errorf("%q", got)
	}
}

// A library that the loader finds through its cache or through what an object
// says of itself comes along; where a tree's loader would not look, it gets a
// name where it does.
func TestWhereLibrariesAreFound(t *testing.T) {
	src := t.TempDir()
	s := open(t, t.TempDir())
	s.sources = append(s.sources, src)
	sh, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	lib := filepath.Join(src, "odd", "libodd.so.1")
	raw, err := os.ReadFile(sh) // any ELF file does: nobody loads it
	if err != nil {
		t.Fatal(err)
	}
	write(t, lib, string(raw), 0o644)
	write(t, filepath.Join(src, "text", "libodd.so.1"), "no ELF file", 0o644)
	newPlanner := func(cache map[string][]string) *planner {
		return &planner{
			ld:      loader{cache: cache, allowed: s.allowed, objects: map[string]object{}, reals: map[string]string{}},
			log:     quiet(),
			entries: map[string]entry{}, linked: map[string]bool{}, merged: mergedDirs(),
		}
	}
	p := newPlanner(nil)
	o, err := p.ld.read(sh)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := p.ld.find("libodd.so.1", o, nil); ok {
		t.Errorf("found from nothing: %+v", got)
	}
	o.runpath = []string{filepath.Join(src, "text"), filepath.Join(src, "odd")}
	if got, ok := p.ld.find("libodd.so.1", o, nil); !ok || got.path != lib || got.off {
		t.Errorf("by RUNPATH: %+v, %v", got, ok)
	}
	if _, ok := p.ld.find("libodd.so.1", object{class: o.class, machine: o.machine + 1, runpath: o.runpath}, nil); ok {
		t.Error("a library for another processor was taken")
	}
	o.runpath = nil
	if got, ok := p.ld.find("libodd.so.1", o, []string{filepath.Join(src, "odd")}); !ok || got.path != lib {
		t.Errorf("by the RPATH of what needs it: %+v, %v", got, ok)
	}
	p = newPlanner(map[string][]string{"libodd.so.1": {"/usr/local/lib/libodd.so.1", lib}})
	got, ok := p.ld.find("libodd.so.1", o, nil)
	if !ok || got.path != lib || !got.off {
		t.Fatalf("by the cache: %+v, %v", got, ok)
	}
	if err := p.library(got, "libodd.so.1", o, nil, true); err != nil {
		t.Fatal(err)
	}
	home, err := filepath.EvalSymlinks(defaultDirs(o)[0])
	if err != nil {
		t.Skipf("no Debian: %v", err)
	}
	name := filepath.Join(home, "libodd.so.1")
	if e := p.entries[name]; e.kind != link || filepath.Join(home, e.target) != lib || p.entries[lib].kind != file {
		t.Errorf("%s is %+v, the library itself %+v", name, e, p.entries[lib])
	}
}

// A script brings its interpreter along, one that env looks up as well.
func TestScriptsBringTheirInterpreters(t *testing.T) {
	src := t.TempDir()
	s := open(t, t.TempDir())
	s.sources = append(s.sources, src)
	script := filepath.Join(src, "tool")
	write(t, script, "#!/usr/bin/env python3\nprint(1)\n", 0o755)
	tr := tree(t, s, Want{Programs: []string{script}})
	for _, name := range []string{script, "/usr/bin/python3", "/usr/bin/env"} {
		if st, err := os.Stat(filepath.Join(tr.Dir, name)); err != nil || st.Mode() != 0o555 {
			t.Errorf("%s: %v", name, err)
		}
	}
}
