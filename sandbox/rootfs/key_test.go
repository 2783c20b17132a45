package rootfs

import "testing"

// TestKey: wants have one key if and only if they ask for the same.
func TestKey(t *testing.T) {
	files := func(pairs ...string) Want {
		w := Want{Files: make(map[string][]byte)}
		for i := 0; i < len(pairs); i += 2 {
			w.Files[pairs[i]] = []byte(pairs[i+1])
		}
		return w
	}
	different := []Want{
		{}, files("/a", ""), files("/a", "x"), files("/a", "x", "/b", "y"), files("/a", "x \"/b\" y"), files("/a", "x \"/b\" 1 y"), files("/b", "x"),
		{Programs: []string{"/a"}}, {Dirs: []string{"/a"}}, {Programs: []string{"/a", "/b"}}, {Programs: []string{"/a /b"}},
		{Links: map[string]string{"/a": "b"}}, {Links: map[string]string{"/a": "c"}},
	}
	seen := make(map[string]int)
	for i, w := range different {
		if other, ok := seen[w.key()]; ok {
			t.Errorf("%+v and %+v have one key", different[other], w)
		}
		seen[w.key()] = i
		w.Name = "another"
		if _, ok := seen[w.key()]; !ok {
			t.Errorf("%+v: the name is in its key", w)
		}
	}
	for range 20 { // in whatever order the maps are
		if files("/a", "x", "/b", "y").key() != files("/b", "y", "/a", "x").key() {
			t.Fatal("the order of files is in the key")
		}
	}
}

func BenchmarkKey(b *testing.B) {
	w := Want{Files: map[string][]byte{"/var/runtime/bootstrap": make([]byte, 64<<10)}}
	for b.Loop() {
		w.key()
	}
}
