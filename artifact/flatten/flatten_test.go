package flatten

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// An item is one entry of a layer in a test: "name/" is a directory, "name -> to"
// a link, "name => to" a hard link, "name = text" a file.
func layer(t testing.TB, items ...string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, item := range items {
		h := &tar.Header{ModTime: time.Unix(1_700_000_000, 0), Mode: 0o644, Format: tar.FormatPAX}
		content := ""
		if name, to, ok := strings.Cut(item, " -> "); ok {
			h.Name, h.Linkname, h.Typeflag = name, to, tar.TypeSymlink
		} else if name, to, ok := strings.Cut(item, " => "); ok {
			h.Name, h.Linkname, h.Typeflag = name, to, tar.TypeLink
		} else if name, text, ok := strings.Cut(item, " = "); ok {
			h.Name, h.Typeflag, h.Size, content = name, tar.TypeReg, int64(len(text)), text
		} else if name, ok := strings.CutPrefix(item, "special "); ok {
			h.Name, h.Typeflag = name, tar.TypeChar
		} else {
			h.Name, h.Typeflag, h.Mode = item, tar.TypeDir, 0o755
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// flattened gives the tree of layers as items, sorted, hard links as files.
func flattened(t testing.TB, limits Limits, fixed Fixed, layers ...[]byte) ([]string, error) {
	t.Helper()
	work := t.TempDir()
	blobs := filepath.Join(work, "blobs")
	if err := os.Mkdir(blobs, 0o700); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(work, "root")
	b := New(blobs, limits, nil)
	for _, l := range layers {
		if err := b.Layer(bytes.NewReader(l)); err != nil {
			return nil, err
		}
	}
	if err := b.Finish(root, fixed); err != nil {
		return nil, err
	}
	checkTree(t, root)
	left, err := filepath.Glob(filepath.Join(blobs, "*", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	return describe(t, root), nil
}

func describe(t testing.TB, root string) []string {
	var out []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		name := path[len(root)+1:]
		switch {
		case d.IsDir():
			out = append(out, name+"/")
		case d.Type() == fs.ModeSymlink:
			to, err := os.Readlink(path)
			out = append(out, name+" -> "+to)
			return err
		default:
			text, err := os.ReadFile(path)
			out = append(out, name+" = "+string(text))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

// checkTree holds what goes for every tree.
func checkTree(t testing.TB, root string) {
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		mode := info.Mode()
		if mode.Type() != 0 && mode.Type() != fs.ModeDir && mode.Type() != fs.ModeSymlink ||
			mode&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky) != 0 || mode.Type() != fs.ModeSymlink && mode.Perm()&0o022 != 0 {
			t.Errorf("%s has the mode %v", path, mode)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestLayers(t *testing.T) {
	for _, c := range []struct {
		name   string
		layers [][]string
		want   []string
	}{
		{"plain", [][]string{{"a/", "a/b = 1", "c -> a/b"}}, []string{"a/", "a/b = 1", "c -> a/b"}},
		{"implied directories", [][]string{{"a/b/c = 1"}}, []string{"a/", "a/b/", "a/b/c = 1"}},
		{"names as within a root", [][]string{{"/a = 1", "./b = 2", "../../c = 3", "d/../../e = 4", "./"}}, []string{"a = 1", "b = 2", "c = 3", "e = 4"}},
		{"file over file", [][]string{{"a = 1"}, {"a = 2"}}, []string{"a = 2"}},
		{"twice in a layer", [][]string{{"a = 1", "a = 2"}}, []string{"a = 2"}},
		{"directory over directory", [][]string{{"a/", "a/b = 1"}, {"a/", "a/c = 2"}}, []string{"a/", "a/b = 1", "a/c = 2"}},
		{"directory over file", [][]string{{"a = 1"}, {"a/", "a/c = 2"}}, []string{"a/", "a/c = 2"}},
		{"file over directory", [][]string{{"a/b/c = 1"}, {"a = 2"}}, []string{"a = 2"}},
		{"link over directory", [][]string{{"a/b = 1", "c/"}, {"a -> c"}}, []string{"a -> c", "c/"}},
		{"directory over link", [][]string{{"a -> c", "c/x = 1"}, {"a/"}}, []string{"a/", "c/", "c/x = 1"}},
		{"whiteout", [][]string{{"a/b = 1", "a/c = 2"}, {"a/.wh.b"}}, []string{"a/", "a/c = 2"}},
		{"whiteout of a directory", [][]string{{"a/b/c = 1"}, {".wh.a"}}, nil},
		{"whiteout of nothing", [][]string{{"a/"}, {"a/.wh.b", "x/.wh.y"}}, []string{"a/"}},
		{"whiteout hides lower layers only", [][]string{{"a/b = 1"}, {"a/b = 2", "a/.wh.b"}}, []string{"a/", "a/b = 2"}},
		{"opaque", [][]string{{"a/b = 1", "a/d/e = 1"}, {"a/", "a/c = 2", "a/.wh..wh..opq"}}, []string{"a/", "a/c = 2"}},
		{"opaque first", [][]string{{"a/b = 1"}, {"a/.wh..wh..opq", "a/c = 2"}}, []string{"a/", "a/c = 2"}},
		{"opaque reaches into directories of its layer", [][]string{{"a/b/old = 1"}, {"a/", "a/b/", "a/b/new = 2", "a/.wh..wh..opq"}}, []string{"a/", "a/b/", "a/b/new = 2"}},
		{"whiteout through a link", [][]string{{"usr/lib/x = 1", "lib -> usr/lib"}, {"lib/.wh.x"}}, []string{"lib -> usr/lib", "usr/", "usr/lib/"}},
		{"metadata of AUFS", [][]string{{".wh..wh.plnk/", ".wh..wh.plnk/x = 1", ".wh..wh.aufs = 1"}}, nil},
		{"through a link", [][]string{{"usr/lib/", "lib -> usr/lib"}, {"lib/x = 1"}}, []string{"lib -> usr/lib", "usr/", "usr/lib/", "usr/lib/x = 1"}},
		{"through an absolute link", [][]string{{"run/", "var/run -> /run"}, {"var/run/x = 1"}}, []string{"run/", "run/x = 1", "var/", "var/run -> /run"}},
		{"through a link out", [][]string{{"out -> ../../../etc", "abs -> /etc"}, {"out/x = 1", "abs/y = 2"}},
			[]string{"abs -> /etc", "etc/", "etc/x = 1", "etc/y = 2", "out -> ../../../etc"}},
		{"hard link", [][]string{{"a = 1", "b => a", "c => /b"}}, []string{"a = 1", "b = 1", "c = 1"}},
		{"hard link to a lower layer", [][]string{{"a = 1"}, {"b => a", ".wh.a"}}, []string{"b = 1"}},
		{"hard link to itself", [][]string{{"a = 1"}, {"a => a"}}, []string{"a = 1"}},
		{"hard link to a link", [][]string{{"a -> x", "b => a"}}, []string{"a -> x", "b -> x"}},
		{"hard link through a link out", [][]string{{"etc/passwd = mine", "out -> /../../etc", "b => out/passwd"}}, []string{"b = mine", "etc/", "etc/passwd = mine", "out -> /../../etc"}},
		{"one of two names replaced", [][]string{{"a = 1", "b => a"}, {"a = 2"}}, []string{"a = 2", "b = 1"}},
		{"special files", [][]string{{"special dev/null", "a = 1"}}, []string{"a = 1"}},
		{"dangling links", [][]string{{"a -> nowhere", "b -> a/../b", "a/x = 1"}}, []string{"a -> nowhere", "b -> a/../b", "nowhere/", "nowhere/x = 1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var layers [][]byte
			for _, l := range c.layers {
				layers = append(layers, layer(t, l...))
			}
			got, err := flattened(t, Limits{Bytes: 1 << 20}, Fixed{}, layers...)
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("got  %q, %v\nwant %q", got, err, c.want)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	long := strings.Repeat("x/", 300)
	deep := []string{long}
	for i := range 5 {
		deep = append(deep, fmt.Sprintf("l%d -> /%s", i, strings.Repeat(long, i+1)), fmt.Sprintf("l%d/%s", i, long))
	}
	for _, c := range []struct {
		name, because string
		limits        Limits
		items         []string
	}{
		{"long name", "a part of", Limits{}, []string{strings.Repeat("n", 256)}},
		{"long path", "a path has", Limits{}, []string{strings.Repeat("n/", 2000)}},
		{"too deep", "too deep", Limits{}, deep},
		{"below a file", "is a file", Limits{}, []string{"a = 1", "a/b = 2"}},
		{"below a whiteout", "below a whiteout", Limits{}, []string{"a/.wh.b/c = 1"}},
		{"whiteout of the parent", "no whiteout", Limits{}, []string{"a/", "a/.wh..."}},
		{"whiteout of no name", "no whiteout", Limits{}, []string{"a/", "a/.wh."}},
		{"hard link to nothing", "not there", Limits{}, []string{"a => b"}},
		{"hard link to the host", "not there", Limits{}, []string{"a => /etc/passwd"}},
		{"hard link out", "not there", Limits{}, []string{"l -> ../../..", "a => l/etc/passwd"}},
		{"hard link to a directory", "to the directory", Limits{}, []string{"d/", "a => d"}},
		{"links in a circle", "links", Limits{}, []string{"a -> b", "b -> a", "a/x = 1"}},
		{"too large", "larger than", Limits{Bytes: 4096}, []string{"a = " + strings.Repeat("1", 3000)}},
		{"too many", "more than 3", Limits{Entries: 3}, []string{"a/", "b/", "c/", "d/"}},
		{"too many implied", "more than 3", Limits{Entries: 3}, []string{"a/b/c/d/"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.limits.Bytes == 0 {
				c.limits.Bytes = 1 << 20
			}
			_, err := flattened(t, c.limits, Fixed{}, layer(t, c.items...))
			var bad *InvalidError
			if !errors.As(err, &bad) || !strings.Contains(bad.Reason, c.because) {
				t.Errorf("got %v, want %q", err, c.because)
			}
		})
	}
	if _, err := flattened(t, Limits{Bytes: 1 << 20}, Fixed{}, []byte(strings.Repeat("no tar file ", 100))); !errors.As(err, new(*InvalidError)) {
		t.Errorf("no tar file: %v", err)
	}
}

// Targets of links are in memory, and few bytes when they are compressed.
func TestLongTargets(t *testing.T) {
	b := New(t.TempDir(), Limits{Bytes: 1 << 20}, nil)
	b.links = 2000
	err := b.Layer(bytes.NewReader(layer(t, "a -> "+strings.Repeat("x", 1500), "b -> "+strings.Repeat("y", 1500))))
	if !errors.As(err, new(*InvalidError)) || !strings.Contains(err.Error(), "targets") {
		t.Errorf("got %v", err)
	}
}

// Work that few bytes ask for is bounded.
func TestEntangled(t *testing.T) {
	items := []string{"l0 -> /"}
	for i := range 30 {
		items = append(items, fmt.Sprintf("l%d -> %sl%d", i+1, strings.Repeat("./", 1000), i))
	}
	for i := range 1000 {
		items = append(items, fmt.Sprintf("l30/f%d = 1", i))
	}
	_, err := flattened(t, Limits{Bytes: 1 << 30, Entries: 2000}, Fixed{}, layer(t, items...))
	if err == nil || !strings.Contains(err.Error(), "entangled") {
		t.Errorf("got %v", err)
	}
}

// A file with holes counts as long as it is.
func TestHoles(t *testing.T) {
	// GNU sparse format 1.0: the map is in the file's data.
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	data := make([]byte, 512)
	copy(data, "1\n1048576\n0\n") // one segment, empty, at the end
	if err := w.WriteHeader(&tar.Header{Name: "GNUSparseFile.0/holes", Typeflag: tar.TypeReg, Size: 512, Mode: 0o644, Format: tar.FormatPAX,
		PAXRecords: map[string]string{}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	w.Close()
	// archive/tar writes no such records: they are put in by hand.
	records := ""
	for _, r := range []string{"GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.realsize=1048576", "GNU.sparse.name=holes1"} {
		records += fmt.Sprintf("%d %s\n", len(r)+4, r) // of two digits
	}
	var out bytes.Buffer
	h := tar.NewWriter(&out)
	_ = h.WriteHeader(&tar.Header{Name: "pax", Typeflag: tar.TypeReg, Size: int64(len(records)), Mode: 0o644, Format: tar.FormatUSTAR})
	_, _ = h.Write([]byte(records))
	_ = h.Flush()
	raw := out.Bytes()
	raw[156] = tar.TypeXHeader
	sum := 0
	copy(raw[148:156], "        ")
	for _, c := range raw[:512] {
		sum += int(c)
	}
	copy(raw[148:156], fmt.Sprintf("%06o\x00 ", sum))
	whole := append(raw, buf.Bytes()...)
	got, err := flattened(t, Limits{Bytes: 4 << 20}, Fixed{}, whole)
	if err != nil || len(got) != 1 || len(got[0]) != len("holes1 = ")+1<<20 {
		t.Fatalf("%d entries, %v", len(got), err)
	}
	if _, err := flattened(t, Limits{Bytes: 512 << 10}, Fixed{}, whole); !errors.As(err, new(*InvalidError)) {
		t.Errorf("beyond the limit: %v", err)
	}
}

func TestModes(t *testing.T) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range []tar.Header{
		{Name: "su", Typeflag: tar.TypeReg, Mode: 0o6777},
		{Name: "secret", Typeflag: tar.TypeReg, Mode: 0},
		{Name: "tmp/", Typeflag: tar.TypeDir, Mode: 0o1777},
		{Name: "closed/", Typeflag: tar.TypeDir, Mode: 0},
	} {
		h.Uid, h.Gid = 1000, 1000
		h.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": "x"}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	work := t.TempDir()
	b := New(work, Limits{Bytes: 1 << 20}, nil)
	if err := b.Layer(&buf); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(t.TempDir(), "root")
	if err := b.Finish(root, Fixed{}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{"su": 0o755, "secret": 0o400, "tmp": fs.ModeDir | 0o755, "closed": fs.ModeDir | 0o700} {
		info, err := os.Lstat(filepath.Join(root, name))
		if err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
		if st := info.Sys().(*syscall.Stat_t); int(st.Uid) != os.Getuid() {
			t.Errorf("%s belongs to %d", name, st.Uid)
		}
		if n, _ := syscall.Getxattr(filepath.Join(root, name), "security.capability", make([]byte, 100)); n > 0 {
			t.Errorf("%s has capabilities", name)
		}
	}
}

var sandboxFixed = Fixed{
	Empty: []string{"/proc", "/tmp", "/run/alcove"},
	Dirs:  []string{"/var/task", "/opt"},
	Files: map[string][]byte{"/etc/hosts": []byte("own")},
}

// Where sandboxes have their mounts there are directories, whatever the image
// has there.
func TestFixed(t *testing.T) {
	for _, c := range []struct {
		name  string
		items []string
		want  []string
	}{
		{"nothing", nil, []string{"etc/", "etc/hosts = own", "opt/", "proc/", "run/", "run/alcove/", "tmp/", "var/", "var/task/"}},
		{"links", []string{"proc -> /etc", "tmp -> /", "run -> /var/run", "var/task -> /app", "opt -> nowhere", "etc/hosts -> /proc/x"},
			[]string{"app/", "etc/", "etc/hosts = own", "nowhere/", "opt -> nowhere", "proc/", "run/", "run/alcove/", "tmp/", "var/", "var/task -> /app"}},
		{"files", []string{"proc = x", "tmp = x", "run/alcove = x", "opt = x", "etc/hosts/x = y"},
			[]string{"etc/", "etc/hosts = own", "opt = x", "proc/", "run/", "run/alcove/", "tmp/", "var/", "var/task/"}},
		{"full", []string{"proc/1/x = y", "tmp/x = y", "run/x = y", "run/alcove/runtime.sock = y"},
			[]string{"etc/", "etc/hosts = own", "opt/", "proc/", "run/", "run/alcove/", "run/x = y", "tmp/", "var/", "var/task/"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := flattened(t, Limits{Bytes: 1 << 20}, sandboxFixed, layer(t, c.items...))
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("got  %q, %v\nwant %q", got, err, c.want)
			}
		})
	}
}

// Whatever a layer is, nothing but the tree is written, and it holds what goes
// for every tree.
func FuzzLayers(f *testing.F) {
	f.Add(layer(f, "a/", "a/b = 1", "c -> ../../../tmp", "c/x = 1", "h => a/b"), layer(f, "a/.wh..wh..opq", ".wh.c", "tmp -> /", "proc = 1"))
	f.Add(layer(f, "a -> b", "b -> a", "a/x = 1"), []byte{})
	f.Fuzz(func(t *testing.T, one, two []byte) {
		outside := t.TempDir()
		work := filepath.Join(outside, "work")
		if err := errors.Join(os.Mkdir(work, 0o700), os.Mkdir(filepath.Join(work, "blobs"), 0o700)); err != nil {
			t.Fatal(err)
		}
		b := New(filepath.Join(work, "blobs"), Limits{Bytes: 1 << 20, Entries: 500}, nil)
		root := filepath.Join(work, "root")
		err := b.Layer(bytes.NewReader(one))
		if err == nil {
			err = b.Layer(bytes.NewReader(two))
		}
		if err == nil {
			err = b.Finish(root, sandboxFixed)
		}
		var path *fs.PathError
		if errors.As(err, &path) {
			t.Errorf("the image brought about an error of the disk: %v", err)
		}
		if entries, _ := os.ReadDir(outside); len(entries) != 1 {
			t.Errorf("written outside: %v", entries)
		}
		if err != nil {
			return
		}
		checkTree(t, root)
		for _, d := range sandboxFixed.Empty {
			if info, err := os.Lstat(root + d); err != nil || !info.IsDir() {
				t.Errorf("%s: %v", d, err)
			}
		}
	})
}
