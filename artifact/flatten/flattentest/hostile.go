// Package flattentest makes the root tree of a hostile container image, for the
// tests of what runs on one. It is used by tests only.
package flattentest

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/artifact"
	"github.com/alcove-run/alcove/artifact/flatten"
	"github.com/alcove-run/alcove/sandbox/rootfs"
)

// HostileRoot gives the root of an image that has this machine's Python, and in
// the places of a sandbox's mounts what would lead a careless one out or astray.
func HostileRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "img-") // any user may enter it
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	store, err := artifact.Open(filepath.Join(dir, "artifact"), nil)
	if err != nil {
		t.Fatal(err)
	}
	store.SetReserve(0)
	python := pythonTree(t, filepath.Join(dir, "python"))
	i, err := store.PutImage(t.Context(), strings.Repeat("a", 64), 1<<30, func(b *flatten.Builder) (alcove.ImageSettings, error) {
		if err := b.Layer(pack(t, python)); err != nil {
			return alcove.ImageSettings{}, err
		}
		return alcove.ImageSettings{}, b.Layer(hostile(t))
	})
	if err != nil {
		t.Fatal(err)
	}
	return i.Dir
}

func pythonTree(t *testing.T, dir string) string {
	real, err := filepath.EvalSymlinks("/usr/bin/python3")
	if err != nil {
		t.Fatal(err)
	}
	store, err := rootfs.Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	tree, err := store.Tree(context.Background(), rootfs.Want{Name: "image", Programs: []string{"/usr/bin/python3"}, Dirs: []string{"/usr/lib/" + filepath.Base(real)}})
	if err != nil {
		t.Fatal(err)
	}
	return tree.Dir
}

// pack is a tree as a layer.
func pack(t *testing.T, dir string) io.Reader {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	err := w.AddFS(os.DirFS(dir))
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return &buf
}

func hostile(t *testing.T) io.Reader {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range []tar.Header{
		{Name: "tmp", Typeflag: tar.TypeSymlink, Linkname: "/etc"},
		{Name: "proc", Typeflag: tar.TypeSymlink, Linkname: "../../../../proc"},
		{Name: "sys", Typeflag: tar.TypeReg},
		{Name: "dev", Typeflag: tar.TypeSymlink, Linkname: "/"},
		{Name: "run", Typeflag: tar.TypeSymlink, Linkname: "/var/run"},
		{Name: "var/run", Typeflag: tar.TypeSymlink, Linkname: "/run"},
		{Name: "etc/hosts", Typeflag: tar.TypeSymlink, Linkname: "/proc/self/environ"},
		{Name: "su", Typeflag: tar.TypeReg, Mode: 0o6755},
		{Name: "anybody", Typeflag: tar.TypeDir, Mode: 0o7777},
		{Name: "anybody/file", Typeflag: tar.TypeReg, Mode: 0o666},
		{Name: "disk", Typeflag: tar.TypeBlock, Devmajor: 8},
		{Name: "pipe", Typeflag: tar.TypeFifo, Mode: 0o666},
		{Name: "etc/passwd", Typeflag: tar.TypeReg, Mode: 0o666, Size: 4 << 20},
	} {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(bytes.Repeat([]byte("x"), int(h.Size))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &buf
}
