package artifact

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove"
)

const (
	invalid   = alcove.CodeInvalidParameterValue
	unzipText = "Could not unzip uploaded file. Please check your file, then try to upload again."
	sizeText  = "Unzipped size must be smaller than 262144000 bytes"
	emptyText = "Uploaded file must be a non-empty zip"
)

func TestTreeIsWhatTheZipSays(t *testing.T) {
	old := unix.Umask(0o077) // what is readable is not left to it
	defer unix.Umask(old)
	s := open(t)
	made := time.Date(2024, 2, 29, 12, 30, 42, 0, time.UTC)
	raw := makeZip(t,
		item{name: "index.py", body: "print(1)\n", head: func(h *zip.FileHeader) { h.Modified = made }},
		item{name: "./bin/tool", body: "#!/bin/sh\n", mode: 0o700},
		item{name: "empty/", mode: fs.ModeDir | 0o700},
		item{name: "empty/", mode: fs.ModeDir | 0o777},
		item{name: "a/b/c/deep.txt", body: strings.Repeat("x", 100_000), mode: 0o600},
		item{name: "a/b/stored", body: "as it is", raw: true},
		item{name: "suid", body: "x", mode: fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky | 0o755},
		item{name: "README", body: "upper"},
		item{name: "readme", body: "lower"},
		item{name: "name with spaces and é\n", body: "x"},
		item{name: "a/link", body: "../index.py", mode: fs.ModeSymlink | 0o777},
		item{name: "dir", body: "a/b", mode: fs.ModeSymlink | 0o777},
		item{name: "dangling", body: "not/there", mode: fs.ModeSymlink | 0o777},
	)
	code, err := s.Put(t.Context(), Sent(raw))
	if err != nil {
		t.Fatal(err)
	}
	if code.Size != int64(len(raw)) || s.Size() != int64(len(raw)) {
		t.Errorf("size is %d, the store has %d, want %d", code.Size, s.Size(), len(raw))
	}
	dir, err := s.Tree(t.Context(), code)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		got[rel] = info.Mode().String()
		if d.Type() == fs.ModeSymlink {
			got[rel], err = os.Readlink(p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	const d, f, x = "drwxr-xr-x", "-rw-r--r--", "-rwxr-xr-x"
	want := map[string]string{".": d, "index.py": f, "bin": d, "bin/tool": x, "empty": d, "a": d, "a/b": d, "a/b/c": d,
		"a/b/c/deep.txt": f, "a/b/stored": f, "suid": x, "README": f, "readme": f, "name with spaces and é\n": f,
		"a/link": "../index.py", "dir": "a/b", "dangling": "not/there"}
	if !maps.Equal(got, want) {
		t.Errorf("the tree is %v\nwant %v", got, want)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "dir/stored")); err != nil || string(b) != "as it is" {
		t.Errorf("over a link: %q, %v", b, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "index.py")); err != nil || !info.ModTime().Equal(made) {
		t.Errorf("modification time %v, %v; want %v", info.ModTime(), err, made)
	}
	z, err := s.OpenZip(code.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = z.Close() }()
	if b, err := io.ReadAll(z); err != nil || !bytes.Equal(b, raw) {
		t.Errorf("the zip came back as %d bytes, %v; want %d", len(b), err, len(raw))
	}
	again, err := s.Put(t.Context(), Sent(raw))
	if err != nil || again != code || s.Size() != int64(len(raw)) {
		t.Errorf("put again: %+v, %v, size %d", again, err, s.Size())
	}
	if names := left(t, s); len(names) != 2 {
		t.Errorf("there is %v, want a zip and a tree", names)
	}
}

func TestRefused(t *testing.T) {
	link := func(name, target string) item {
		return item{name: name, body: target, mode: fs.ModeSymlink | 0o777}
	}
	for name, items := range map[string][]item{
		"absolute":                   {{name: "/etc/passwd", body: "x"}},
		"parent":                     {{name: "../x", body: "x"}},
		"parent inside":              {{name: "a/../../x", body: "x"}},
		"parent that stays":          {{name: "a/../x", body: "x"}},
		"backslash":                  {{name: `..\..\x`, body: "x"}},
		"drive":                      {{name: `C:\x`, body: "x"}},
		"NUL":                        {{name: "a\x00b", body: "x"}},
		"no name":                    {{name: "", body: "x"}},
		"file called dot":            {{name: ".", body: "x"}},
		"file that ends in dot":      {{name: "a/.", body: "x"}},
		"long part":                  {{name: strings.Repeat("n", 256), body: "x"}},
		"long path":                  {{name: strings.Repeat("n/", 600) + "x", body: "x"}},
		"twice":                      {{name: "a", body: "1"}, {name: "a", body: "2"}},
		"twice once clean":           {{name: "a", body: "1"}, {name: "./a", body: "2"}},
		"file, then directory":       {{name: "a", body: "1"}, {name: "a/", mode: fs.ModeDir | 0o755}},
		"directory, then file":       {{name: "a/", mode: fs.ModeDir | 0o755}, {name: "a", body: "1"}},
		"file, then file in it":      {{name: "a", body: "1"}, {name: "a/b", body: "2"}},
		"file in it, then file":      {{name: "a/b", body: "1"}, {name: "a", body: "2"}},
		"link, then file through it": {link("a", "b"), {name: "a/x", body: "2"}},
		"device":                     {{name: "a", mode: fs.ModeDevice | 0o666}},
		"character device":           {{name: "a", mode: fs.ModeDevice | fs.ModeCharDevice | 0o666}},
		"fifo":                       {{name: "a", mode: fs.ModeNamedPipe | 0o666}},
		"socket":                     {{name: "a", mode: fs.ModeSocket | 0o666}},
		"link out":                   {link("a", "../x")},
		"link out from below":        {link("a/b", "../../x")},
		"absolute link":              {link("a", "/etc/passwd")},
		"absolute link to itself":    {link("a", "/var/task/x")},
		"empty link":                 {link("a", "")},
		"long link":                  {link("a", strings.Repeat("x", 1025))},
		"link with NUL":              {link("a", "b\x00c")},
		"link that is a directory":   {link("a/", "")},
		"links in a circle":          {link("a", "b"), link("b", "a")},
		// By its text "d/u" is at d/e; by way of the link "d/t" it is above the root.
		"link out over a link":        {{name: "d/e/f", body: "x"}, link("d/t", ".."), link("d/u", "t/../x")},
		"link out over a longer link": {{name: "p/q/r", body: "x"}, link("p/q/up", "../.."), link("p/q/out", "up/../../..")},
		"encrypted":                   {{name: "a", body: "x", raw: true, head: func(h *zip.FileHeader) { h.Flags |= 1 }}},
		"strongly encrypted":          {{name: "a", body: "x", raw: true, head: func(h *zip.FileHeader) { h.Flags |= 1 << 6 }}},
		"unknown method":              {{name: "a", body: "x", raw: true, head: func(h *zip.FileHeader) { h.Method = 12 }}},
		"directory with content":      {{name: "a/", raw: true, head: func(h *zip.FileHeader) { h.UncompressedSize64 = 1 }}},
		"wrong checksum":              {{name: "a", body: "x", raw: true, head: func(h *zip.FileHeader) { h.CRC32 = 1 }}},
		"shorter than it says":        {{name: "a", body: "x", raw: true, head: func(h *zip.FileHeader) { h.UncompressedSize64 = 2 }}},
		"longer than it says":         {{name: "a", body: "xyz", raw: true, head: func(h *zip.FileHeader) { h.UncompressedSize64 = 2 }}},
		"past the end": {{name: "a", body: "x", raw: true, head: func(h *zip.FileHeader) {
			h.CompressedSize64, h.UncompressedSize64 = 1<<20, 1<<20
		}}},
		"not deflated": {{name: "a", body: "\xff\xff\xff", raw: true, head: func(h *zip.FileHeader) {
			h.Method, h.UncompressedSize64 = zip.Deflate, 100
		}}},
		"a good file, then a bad one": {{name: "good", body: "x"}, {name: "../bad", body: "x"}},
		"a good file, then a broken one": {{name: "b/good", body: "x"}, {name: "a", body: "x", raw: true,
			head: func(h *zip.FileHeader) { h.CRC32 = 1 }}},
	} {
		t.Run(name, func(t *testing.T) {
			wantRefused(t, open(t), makeZip(t, items...), invalid, unzipText)
		})
	}
	good := makeZip(t, item{name: "a", body: "x"})
	for name, raw := range map[string][]byte{
		"no zip":    []byte("hello"),
		"cut short": good[:len(good)-1],
		"gzip":      {0x1f, 0x8b, 8, 0, 0, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) { wantRefused(t, open(t), raw, invalid, unzipText) })
	}
	t.Run("empty", func(t *testing.T) {
		s := open(t)
		wantRefused(t, s, makeZip(t), invalid, emptyText)
		wantRefused(t, s, nil, invalid, emptyText)
	})
	t.Run("too large", func(t *testing.T) {
		wantRefused(t, open(t), make([]byte, alcove.MaxUnzipped), invalid, "Unzipped size must be smaller than 262144000 bytes")
	})
}

func TestOverlappingEntriesAreRefused(t *testing.T) {
	raw := makeZip(t, item{name: "a", body: "xyz", raw: true}, item{name: "b", body: "xyz", raw: true})
	// The second header of the directory points at the content of the first.
	first := bytes.Index(raw, headerSignature)
	second := first + 4 + bytes.Index(raw[first+4:], headerSignature)
	if off := binary.LittleEndian.Uint32(raw[second+42:]); off == 0 {
		t.Fatal("the second entry begins at 0")
	}
	binary.LittleEndian.PutUint32(raw[second+42:], 0)
	wantRefused(t, open(t), raw, invalid, unzipText)
}

func TestBombsAreCounted(t *testing.T) {
	zeros := strings.Repeat("\x00", 30_000_000)
	var many []item
	for i := range 9 { // 270 MB
		many = append(many, item{name: fmt.Sprint(i), body: zeros})
	}
	honest := makeZip(t, many...)
	if len(honest) > 1<<20 {
		t.Fatalf("the bomb has %d bytes", len(honest))
	}
	wantRefused(t, open(t), honest, invalid, sizeText)

	// The same, declared as a byte each.
	for at := 0; ; {
		i := bytes.Index(honest[at:], headerSignature)
		if i < 0 {
			break
		}
		at += i + 4
		binary.LittleEndian.PutUint32(honest[at+20:], 1)
	}
	wantRefused(t, open(t), honest, invalid, unzipText)

	// One entry with a size that only zip64 can say.
	huge := makeZip(t, item{name: "a", body: "x", raw: true, head: func(h *zip.FileHeader) { h.UncompressedSize64 = 1 << 40 }})
	wantRefused(t, open(t), huge, invalid, sizeText)
	negative := makeZip(t, item{name: "a", body: "x", raw: true, head: func(h *zip.FileHeader) { h.UncompressedSize64 = 1 << 63 }})
	wantRefused(t, open(t), negative, invalid, sizeText)

	over := makeZip(t, item{name: "a", raw: true, body: "x", head: func(h *zip.FileHeader) { h.CompressedSize64 = 1 << 63 }})
	wantRefused(t, open(t), over, invalid, unzipText)
}

func TestSizeLimitIsExact(t *testing.T) {
	s := open(t)
	zeros := strings.Repeat("\x00", alcove.MaxUnzipped-1)
	if _, err := s.Put(t.Context(), Sent(makeZip(t, item{name: "a", body: zeros}))); err != nil {
		t.Errorf("a byte less than the limit: %v", err)
	}
	wantRefused(t, s, makeZip(t, item{name: "a", body: zeros + "\x00"}), invalid, sizeText)
	wantRefused(t, s, makeZip(t, item{name: "a", body: zeros}, item{name: "b", body: "x"}), invalid, sizeText)
}

func TestEntriesAreCounted(t *testing.T) {
	var items []item
	for i := range maxEntries / 10 {
		items = append(items, item{name: fmt.Sprintf("%d/a/b/c/d/e/f/g/h/i/j", i), raw: true})
	}
	wantRefused(t, open(t), makeZip(t, items...), invalid, unzipText)

	items = items[:0]
	for range 2*maxEntries + 1 {
		items = append(items, item{name: "a/", mode: fs.ModeDir | 0o755, raw: true})
	}
	wantRefused(t, open(t), makeZip(t, items...), invalid, unzipText)

	// More than 65,535 entries: zip64.
	s := open(t)
	items = append(items[:70_000], item{name: "a/b", body: "x"})
	code, err := s.Put(t.Context(), Sent(makeZip(t, items...)))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := s.Tree(t.Context(), code)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "a/b")); err != nil || string(b) != "x" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestSameZipAtOnce(t *testing.T) {
	s := open(t)
	raw := makeZip(t, item{name: "a", body: strings.Repeat("x", 1<<20)})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			code, err := s.Put(t.Context(), Sent(raw))
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := s.Tree(t.Context(), code); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if names := left(t, s); len(names) != 2 || s.Size() != int64(len(raw)) {
		t.Errorf("there is %v of size %d", names, s.Size())
	}
}

func BenchmarkPutZip(b *testing.B) {
	for _, n := range []int{1, 5000} {
		b.Run(fmt.Sprintf("files=%d", n), func(b *testing.B) {
			s := open(b)
			for i := 0; b.Loop(); i++ {
				b.StopTimer()
				items := []item{{name: "unique", body: fmt.Sprint(i)}}
				for k := range n {
					items = append(items, item{name: fmt.Sprintf("node_modules/p%d/lib/f%d.js", k%200, k), body: strings.Repeat("x", 2000)})
				}
				raw := makeZip(b, items...)
				b.StartTimer()
				if _, err := s.Put(b.Context(), Sent(raw)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
