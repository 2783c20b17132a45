package artifact

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/alcove-run/alcove"
)

// contents reads a tree: files by path, links as "-> target", directories as "/".
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		switch {
		case d.IsDir():
			got[name] = "/"
		case d.Type() == fs.ModeSymlink:
			to, err := os.Readlink(path)
			got[name] = "-> " + to
			return err
		default:
			b, err := os.ReadFile(path)
			got[name] = string(b)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func (s *Store) layersOf(t testing.TB, zips ...[]byte) []alcove.Layer {
	t.Helper()
	var list []alcove.Layer
	for _, z := range zips {
		code, err := s.Put(t.Context(), Sent(z))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, alcove.Layer{Code: code})
	}
	return list
}

func TestLayersLieOverEachOther(t *testing.T) {
	s := open(t)
	s.SetReserve(0)
	layers := s.layersOf(t,
		makeZip(t, item{name: "python/a.py", body: "1"}, item{name: "python/b.py", body: "1"}, item{name: "tool/x", body: "1"}, item{name: "was-file", body: "1"},
			item{name: "lib", body: "python", mode: fs.ModeSymlink | 0o777}, item{name: "link", body: "python/a.py", mode: fs.ModeSymlink | 0o777}),
		makeZip(t, item{name: "python/b.py", body: "2"}, item{name: "python/c.py", body: "2"}, item{name: "tool", body: "2"}, item{name: "was-file/now", body: "2"},
			item{name: "lib/real.so", body: "2"}, item{name: "link", body: "2"}),
		makeZip(t, item{name: "bootstrap", body: "3", mode: 0o755}))
	dir, err := s.Layers(t.Context(), layers)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"python": "/", "python/a.py": "1", "python/b.py": "2", "python/c.py": "2", "tool": "2", "was-file": "/", "was-file/now": "2",
		"lib": "/", "lib/real.so": "2", "link": "2", "bootstrap": "3"}
	if got := contents(t, dir); !maps.Equal(got, want) {
		t.Errorf("%v\nwant %v", got, want)
	}
	if st, err := os.Stat(filepath.Join(dir, "bootstrap")); err != nil || st.Mode().Perm() != 0o755 {
		t.Errorf("%v %v", st, err)
	}
	if again, err := s.Layers(t.Context(), layers); err != nil || again != dir {
		t.Errorf("%s %v, want %s", again, err, dir)
	}
	// Another order is another tree.
	layers[0], layers[1] = layers[1], layers[0]
	other, err := s.Layers(t.Context(), layers)
	if err != nil || other == dir {
		t.Fatalf("%s %v", other, err)
	}
	if got := contents(t, other); got["python/b.py"] != "1" || got["lib"] != "-> python" || got["tool/x"] != "1" {
		t.Errorf("the other way round: %v", got)
	}
	// One layer alone is its own tree, none is none.
	one, err := s.Layers(t.Context(), layers[:1])
	if tree, err2 := s.Tree(t.Context(), layers[0].Code); err != nil || err2 != nil || one != tree {
		t.Errorf("%s %v, want %s", one, err, tree)
	}
	if none, err := s.Layers(t.Context(), nil); none != "" || err != nil {
		t.Errorf("%q %v", none, err)
	}
	if n, err := s.Unpacked(layers[0].Code); err != nil || n != 6 {
		t.Errorf("%d bytes %v, want 6", n, err)
	}
}

func TestMergedLayersGoWhenNobodyWantsThem(t *testing.T) {
	s := open(t)
	s.SetReserve(0)
	layers := s.layersOf(t, makeZip(t, item{name: "a", body: "1"}), makeZip(t, item{name: "b", body: "2"}))
	dir, err := s.Layers(t.Context(), layers)
	if err != nil {
		t.Fatal(err)
	}
	v := &alcove.Version{Code: layers[0].Code, Config: alcove.Config{Layers: layers}}
	wanted := map[string]bool{}
	for _, sha := range v.Packages() {
		wanted[sha] = true
	}
	if err := s.Remove(t.Context(), func(sha string) bool { return wanted[sha] }); err != nil || !exists(dir) {
		t.Fatalf("%v, there: %t", err, exists(dir))
	}
	if err := s.Remove(t.Context(), func(string) bool { return false }); err != nil || exists(dir) {
		t.Fatalf("%v, there: %t", err, exists(dir))
	}
}
