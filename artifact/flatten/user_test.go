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
	"testing"

	"pgregory.net/rapid"

	"github.com/alcove-run/alcove"
)

const (
	somePasswd = "root:x:0:0:root:/root:/bin/sh\nbroken\n\nalso:x:no:1::/:/\napp:x:1000:1001:,,,:/home/app:/bin/sh\ntoor:x:0:0::/:/bin/sh\n" +
		"7:x:8:9::relative:/bin/sh\nlast:x:70:71::/srv:/bin/sh"
	someGroup = "root:x:0:\nwheel:x:10:root,app\nbroken:x\napp:x:1001:app\ndocker:x:20:other\nvideo:x:30:other,app\nagain:x:30:app\nlast:x:71:"
)

func TestAs(t *testing.T) {
	for _, c := range []struct {
		who  string
		want *alcove.ImageUser
		bad  string
	}{
		{who: "", want: nil},
		{who: "root", want: nil},
		{who: "0", want: nil},
		{who: "0:1000", want: nil},
		{who: ":1000", want: nil},
		{who: "toor", want: nil},
		{who: "00", want: nil},
		{who: "app", want: &alcove.ImageUser{UID: 1000, GID: 1001, Groups: []uint32{10, 30}, Home: "/home/app"}},
		{who: "1000", want: &alcove.ImageUser{UID: 1000, GID: 1001, Groups: []uint32{10, 30}, Home: "/home/app"}},
		{who: "app:", want: &alcove.ImageUser{UID: 1000, GID: 1001, Groups: []uint32{10, 30}, Home: "/home/app"}},
		{who: "app:docker", want: &alcove.ImageUser{UID: 1000, GID: 20, Home: "/home/app"}},
		{who: "app:20", want: &alcove.ImageUser{UID: 1000, GID: 20, Home: "/home/app"}},
		{who: "app:4000", want: &alcove.ImageUser{UID: 1000, GID: 4000, Home: "/home/app"}},
		{who: "app:root", want: &alcove.ImageUser{UID: 1000, GID: 0, Home: "/home/app"}},
		{who: "2000", want: &alcove.ImageUser{UID: 2000, GID: 0, Home: "/"}},
		{who: "2000:3000", want: &alcove.ImageUser{UID: 2000, GID: 3000, Home: "/"}},
		{who: "7", want: &alcove.ImageUser{UID: 8, GID: 9, Home: "/"}}, // a name goes before a number
		{who: "last", want: &alcove.ImageUser{UID: 70, GID: 71, Home: "/srv"}},
		{who: "nobody", bad: `its user "nobody" is not in its /etc/passwd`},
		{who: "also", bad: `its user "also" is not in its /etc/passwd`},
		{who: "app:nogroup", bad: `its group "nogroup" is not in its /etc/group`},
		{who: "4294967295", bad: "not in its /etc/passwd"},
		{who: "-1", bad: "not in its /etc/passwd"},
		{who: "a\x00b", bad: "its user"},
		{who: strings.Repeat("a", 300), bad: "its user has 300 bytes"},
	} {
		b := New(t.TempDir(), Limits{Bytes: 1 << 20}, nil)
		if err := b.Layer(bytes.NewReader(layer(t, "etc/passwd = "+somePasswd, "etc/group -> /usr/../usr/lib/group", "usr/lib/group = "+someGroup))); err != nil {
			t.Fatal(err)
		}
		got, err := b.As(c.who)
		var bad *InvalidError
		switch {
		case c.bad != "":
			if !errors.As(err, &bad) || !strings.Contains(bad.Reason, c.bad) {
				t.Errorf("%.20q: %+v, %v", c.who, got, err)
			}
		case err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", c.want):
			t.Errorf("%q: %+v, %v, want %+v", c.who, got, err, c.want)
		}
	}
}

// Files of names that an image has otherwise than everybody.
func TestAsOdd(t *testing.T) {
	for _, c := range []struct {
		items []string
		who   string
		want  string
		bad   string
	}{
		{items: nil, who: "5", want: "&{UID:5 GID:0 Groups:[] Home:/}"},
		{items: nil, who: "app", bad: "not in its /etc/passwd"},
		{items: []string{"etc/passwd/"}, who: "5", want: "&{UID:5 GID:0 Groups:[] Home:/}"},
		{items: []string{"etc/passwd -> passwd"}, who: "5", bad: "links"},
		{items: []string{"etc/passwd -> ../../../etc/shadow"}, who: "5", want: "&{UID:5 GID:0 Groups:[] Home:/}"},
		{items: []string{"etc -> /"}, who: "5", want: "&{UID:5 GID:0 Groups:[] Home:/}"},
		{items: []string{"etc/passwd = " + strings.Repeat("x", maxPasswd+1)}, who: "5", bad: "/etc/passwd has"},
		{items: []string{"etc/passwd = a:x:1:1::/:", "etc/group = " + strings.Repeat("g:x:5:a\n", 50)}, who: "a", want: "&{UID:1 GID:1 Groups:[5] Home:/}"},
		{items: []string{"etc/passwd = a:x:1:1::/:", "etc/group = " + manyGroups(50)}, who: "a", bad: "more than 32 groups"},
	} {
		b := New(t.TempDir(), Limits{Bytes: 4 << 20}, nil)
		if err := b.Layer(bytes.NewReader(layer(t, c.items...))); err != nil {
			t.Fatal(err)
		}
		got, err := b.As(c.who)
		var bad *InvalidError
		if c.bad != "" && (!errors.As(err, &bad) || !strings.Contains(bad.Reason, c.bad)) || c.bad == "" && (err != nil || fmt.Sprintf("%+v", got) != c.want) {
			t.Errorf("%.60q: %+v, %v", c.items, got, err)
		}
	}
}

func manyGroups(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "g%d:x:%d:a\n", i, 100+i)
	}
	return b.String()
}

// What a user may do with a file by the kernel's rules, everybody may with that of
// the tree; writing nobody.
func TestModeFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.Uint32Range(1, 4)
		u := &alcove.ImageUser{UID: ids.Draw(t, "uid"), GID: ids.Draw(t, "gid"), Groups: rapid.SliceOfN(ids, 0, 2).Draw(t, "groups")}
		n := &node{mode: fs.FileMode(rapid.Uint32Range(0, 0o777).Draw(t, "mode")), uid: ids.Draw(t, "owner"), gid: ids.Draw(t, "group")}
		b := &Builder{user: u}
		got := b.modeFor(n)
		class := n.mode & 7
		if n.gid == u.GID || slices.Contains(u.Groups, n.gid) {
			class = n.mode >> 3 & 7
		}
		if n.uid == u.UID {
			class = n.mode >> 6 & 7
		}
		if got&7 != class&5 || got>>3&7 != class&5 || got&0o700 != n.mode&0o700|(class&5)<<6 {
			t.Fatalf("%+v for %+v has %o", n, u, got)
		}
	})
}

// The tree is for its user, hard links and directories above mounts included. Where
// who runs in it owns it, an owner has no rights that others have not.
func TestTreeOfUser(t *testing.T) {
	for _, owned := range []bool{false, true} {
		t.Run(fmt.Sprint(owned), func(t *testing.T) { testTreeOfUser(t, owned) })
	}
}

func testTreeOfUser(t *testing.T, owned bool) {
	work := t.TempDir()
	blobs, root := filepath.Join(work, "blobs"), filepath.Join(work, "root")
	if err := os.Mkdir(blobs, 0o700); err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range []tar.Header{
		{Name: "mine", Typeflag: tar.TypeReg, Mode: 0o700, Uid: 9, Gid: 9},
		{Name: "too", Typeflag: tar.TypeLink, Linkname: "mine"},
		{Name: "theirs", Typeflag: tar.TypeReg, Mode: 0o700},
		{Name: "huge", Typeflag: tar.TypeReg, Mode: 0o660, Uid: 1 << 40, Gid: -4},
		{Name: "run/", Typeflag: tar.TypeDir, Mode: 0o700, Uid: 4},
	} {
		h.Format = tar.FormatGNU
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b := New(blobs, Limits{Bytes: 1 << 20}, nil)
	b.owned = owned
	if err := b.Layer(&buf); err != nil {
		t.Fatal(err)
	}
	if _, err := b.As("9"); err != nil {
		t.Fatal(err)
	}
	if err := b.Finish(root, Fixed{Empty: []string{"/run/alcove"}, Files: map[string][]byte{"/etc/hosts": nil}}); err != nil {
		t.Fatal(err)
	}
	checkTree(t, root)
	for name, want := range map[string]fs.FileMode{"mine": 0o755, "too": 0o755, "theirs": 0o700, "huge": 0o600, "run": 0o755, "run/alcove": 0o755, "etc": 0o755, "etc/hosts": 0o444} {
		if owned {
			want = want & 0o5 * 0o111
		}
		info, err := os.Lstat(filepath.Join(root, name))
		if owned && err == nil && info.IsDir() {
			want |= 0o200
		}
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s is %v, want %v; %v", name, info.Mode(), want, err)
		}
	}
}
