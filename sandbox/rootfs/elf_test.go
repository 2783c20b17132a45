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
