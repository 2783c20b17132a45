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
	"slices"
	"strings"
	"testing"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/artifact"
	"github.com/alcove-run/alcove/artifact/flatten"
	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/rootfs"
)

// HostileRoot gives the root of an image that has this machine's Python, and in
// the places of a sandbox's mounts what would lead a careless one out or astray.
func HostileRoot(t *testing.T) string {
	t.Helper()
	root, _ := hostileRoot(t, "")
	return root
}

// User is the one of UserRoot.
var User = sandbox.User{UID: 1234, GID: 4321, Groups: []uint32{77, 78, 79}}

// Reads are files of UserRoot, and whether its user may read them.
var Reads = map[string]bool{
	"/mine": true, "/group": true, "/further": true, "/anybody/file": true, "/closed/mine": true,
	"/root": false, "/none": false, "/theirs/mine": false, "/not-mine": false,
}

// UserRoot is HostileRoot of an image that names a user, User.
func UserRoot(t *testing.T) string {
	t.Helper()
	root, u := hostileRoot(t, "app")
	if u == nil || u.UID != User.UID || u.GID != User.GID || !slices.Equal(u.Groups, User.Groups) || u.Home != "/home/app" {
		t.Fatalf("the user is %+v", u)
	}
	return root
}

func hostileRoot(t *testing.T, user string) (string, *alcove.ImageUser) {
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
	i, err := store.PutImage(t.Context(), strings.Repeat("a", 64), 1<<30, func(_ context.Context, b *flatten.Builder) (alcove.ImageSettings, error) {
		if err := b.Layer(pack(t, python)); err != nil {
			return alcove.ImageSettings{}, err
		}
		if err := b.Layer(hostile(t)); err != nil || user == "" {
			return alcove.ImageSettings{}, err
		}
		if err := b.Layer(owned(t)); err != nil {
			return alcove.ImageSettings{}, err
		}
		u, err := b.As(user)
		return alcove.ImageSettings{User: u}, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return i.Dir, i.Settings.User
}

// owned is a layer with files of several owners, and the names of some of them.
func owned(t *testing.T) io.Reader {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	passwd := "root:x:0:0::/root:/bin/sh\nother:x:5:5::/:/bin/sh\napp:x:1234:4321::/home/app:/bin/sh\n"
	group := "root:x:0:\nnobody:x:5:other\nfirst:x:77:other,app\nsecond:x:78:app\nown:x:4321:app\nthird:x:79:app\n"
	for _, f := range []struct {
		name           string
		mode           int64
		uid, gid       int
		text, linkname string
	}{
		{name: "etc/passwd", text: passwd, mode: 0o600}, {name: "etc/group", linkname: "../mine-too"}, {name: "mine-too", text: group, mode: 0o644},
		{name: "mine", mode: 0o600, uid: 1234}, {name: "group", mode: 0o640, gid: 4321}, {name: "further", mode: 0o640, gid: 79},
		{name: "closed/", mode: 0o700, uid: 1234}, {name: "closed/mine", mode: 0o400, uid: 1234},
		{name: "root", mode: 0o600}, {name: "none", mode: 0o640, uid: 5, gid: 5}, {name: "theirs/", mode: 0o700, uid: 5}, {name: "theirs/mine", mode: 0o644, uid: 1234},
		{name: "not-mine", mode: 0o604, gid: 78}, // a group's permissions go before everybody's
	} {
		h := tar.Header{Name: f.name, Typeflag: tar.TypeReg, Mode: f.mode, Uid: f.uid, Gid: f.gid, Size: int64(len(f.text))}
		switch {
		case strings.HasSuffix(f.name, "/"):
			h.Typeflag = tar.TypeDir
		case f.linkname != "":
			h.Typeflag, h.Linkname = tar.TypeSymlink, f.linkname
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &buf
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
