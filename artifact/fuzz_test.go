package artifact

import (
	"archive/zip"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alcove-run/alcove"
)

// Whatever is sent is either refused, which leaves nothing, or becomes a tree
// that keeps every promise. It is never the platform's fault.
func FuzzPutZip(f *testing.F) {
	f.Add(makeZip(f, item{name: "a", body: "x"}, item{name: "d/e", body: "y", mode: 0o755}))
	f.Add(makeZip(f, item{name: "a", body: "b", mode: fs.ModeSymlink}, item{name: "b", body: "y", raw: true}))
	f.Add(makeZip(f, item{name: "d/t", body: "..", mode: fs.ModeSymlink}, item{name: "d/u", body: "t/../x", mode: fs.ModeSymlink}))
	f.Add(makeZip(f, item{name: "../a", body: "x", raw: true}))
	f.Add(makeZip(f, item{name: "a", body: "x", raw: true, head: func(h *zip.FileHeader) { h.UncompressedSize64 = 1 << 40 }}))
	f.Add(makeZip(f, item{name: "dir/", mode: fs.ModeDir | 0o755}, item{name: "p", mode: fs.ModeNamedPipe}))
	f.Add(makeZip(f))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s := open(t)
		code, err := s.Put(t.Context(), Sent(raw))
		if err != nil {
			if e, ok := errors.AsType[*alcove.Error](err); !ok || e.Fault != alcove.FaultClient {
				t.Fatalf("not the client's fault: %v", err)
			}
			if names := left(t, s); len(names) != 0 {
				t.Fatalf("refused, and left %v: %v", names, err)
			}
			return
		}
		dir, err := s.Tree(t.Context(), code)
		if err != nil {
			t.Fatal(err)
		}
		checkTree(t, dir)
	})
}

func checkTree(t *testing.T, dir string) {
	t.Helper()
	var size int64
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch m := info.Mode(); {
		case m.Type() == fs.ModeSymlink:
			if to, err := filepath.EvalSymlinks(p); err == nil && to != dir && !strings.HasPrefix(to, dir+"/") {
				t.Errorf("%s leads to %s", p, to)
			}
		case m != 0o644 && m != 0o755 && m != fs.ModeDir|0o755:
			t.Errorf("%s is %v", p, m)
		case m.IsRegular():
			size += info.Size()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if size >= alcove.MaxUnzipped {
		t.Errorf("the tree has %d bytes", size)
	}
	if entries, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(entries) != 1 {
		t.Errorf("beside the tree: %v, %v", entries, err)
	}
}
