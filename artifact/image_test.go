package artifact

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/artifact/flatten"
)

var imageDigest = strings.Repeat("1", 64)

// imageLayer is a layer of headers; files hold their names.
func imageLayer(t *testing.T, headers ...tar.Header) *bytes.Buffer {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(h.Name))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(h.Name[:h.Size])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &buf
}

func openStore(t *testing.T, dir string) *Store {
	s, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.SetReserve(0)
	return s
}

func TestPutImage(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	if _, err := s.Image(imageDigest); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before: %v", err)
	}
	settings := alcove.ImageSettings{EntryPoint: []string{"/a"}, Environment: []string{"A=1"}}
	fills := 0
	fill := func(_ context.Context, b *flatten.Builder) (alcove.ImageSettings, error) {
		fills++
		return settings, b.Layer(imageLayer(t, tar.Header{Name: "a", Typeflag: tar.TypeReg, Mode: 0o755}))
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			i, err := s.PutImage(t.Context(), imageDigest, 1<<20, fill)
			if err != nil || i.Settings.EntryPoint[0] != "/a" {
				t.Errorf("%+v, %v", i, err)
			}
		})
	}
	wg.Wait()
	if fills != 1 {
		t.Errorf("filled %d times", fills)
	}
	i, err := s.Image(imageDigest)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "proc", "sys", "dev", "tmp", "run/alcove", "var/task", "opt", "etc/hosts", "etc/resolv.conf"} {
		if _, err := os.Lstat(filepath.Join(i.Dir, name)); err != nil {
			t.Error(err)
		}
	}
	// The next process has it, and removes what nobody refers to.
	s = openStore(t, dir)
	if err := s.Remove(t.Context(), func(sha string) bool { return sha == imageDigest }); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Image(imageDigest); err != nil {
		t.Error(err)
	}
	if err := s.Remove(t.Context(), func(string) bool { return false }); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Image(imageDigest); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after: %v", err)
	}
	noLeftovers(t, dir)
}

// What an earlier version of alcove has flattened is flattened again.
func TestImageOfAnotherForm(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, "image", imageDigest)
	if err := os.MkdirAll(filepath.Join(old, rootName, "old"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, kept := range []string{`{"entryPoint":["/old"]}`, `{"form":999,"entryPoint":["/old"]}`} {
		if err := os.WriteFile(filepath.Join(old, settingsName), []byte(kept), 0o600); err != nil {
			t.Fatal(err)
		}
		s := openStore(t, dir)
		if i, err := s.Image(imageDigest); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %+v, %v", kept, i, err)
		}
		// As long as that fails, the old one stays and is not given.
		broken := errors.New("no registry")
		_, err := s.PutImage(t.Context(), imageDigest, 1<<20, func(context.Context, *flatten.Builder) (alcove.ImageSettings, error) {
			return alcove.ImageSettings{}, broken
		})
		if !errors.Is(err, broken) || !exists(filepath.Join(old, rootName, "old")) {
			t.Errorf("%s: %v", kept, err)
		}
	}
	s := openStore(t, dir)
	i, err := s.PutImage(t.Context(), imageDigest, 1<<20, func(_ context.Context, b *flatten.Builder) (alcove.ImageSettings, error) {
		return alcove.ImageSettings{EntryPoint: []string{"/new"}, User: &alcove.ImageUser{UID: 7}}, b.Layer(imageLayer(t, tar.Header{Name: "new", Typeflag: tar.TypeReg}))
	})
	if err != nil || i.Settings.EntryPoint[0] != "/new" || i.Settings.User == nil || i.Settings.User.UID != 7 {
		t.Errorf("%+v, %v", i, err)
	}
	if exists(filepath.Join(i.Dir, "old")) || !exists(filepath.Join(i.Dir, "new")) {
		t.Error("the tree is not the new one's")
	}
	if again, err := openStore(t, dir).Image(imageDigest); err != nil || again.Settings.EntryPoint[0] != "/new" {
		t.Errorf("in the next process: %+v, %v", again, err)
	}
	if err := s.Remove(t.Context(), func(string) bool { return false }); err != nil {
		t.Fatal(err)
	}
	noLeftovers(t, dir)
}

func noLeftovers(t *testing.T, dir string) {
	t.Helper()
	for _, d := range []string{"tmp", "image"} {
		if left, err := os.ReadDir(filepath.Join(dir, d)); err != nil || len(left) > 0 {
			t.Errorf("%s has %v, %v", d, left, err)
		}
	}
}

// An image that fails, or that there is no room for, leaves nothing.
func TestPutImageFails(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	broken := errors.New("cut off")
	_, err := s.PutImage(t.Context(), imageDigest, 1<<20, func(_ context.Context, b *flatten.Builder) (alcove.ImageSettings, error) {
		if err := b.Layer(imageLayer(t, tar.Header{Name: "a", Typeflag: tar.TypeReg})); err != nil {
			return alcove.ImageSettings{}, err
		}
		return alcove.ImageSettings{}, broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	noLeftovers(t, dir)
	s.SetReserve(1 << 60)
	_, err = s.PutImage(t.Context(), imageDigest, 1<<20, func(_ context.Context, b *flatten.Builder) (alcove.ImageSettings, error) {
		return alcove.ImageSettings{}, b.Layer(imageLayer(t, tar.Header{Name: "a", Typeflag: tar.TypeReg}))
	})
	if !errors.Is(err, ErrNoSpace) {
		t.Errorf("without room: %v", err)
	}
	noLeftovers(t, dir)
	if _, err := s.PutImage(context.Background(), "../x", 1<<20, nil); err == nil {
		t.Error("a path is taken for a digest")
	}
}

// Programs and directories are found as within the image, with the rights of
// somebody who owns nothing in it.
func TestImageProgram(t *testing.T) {
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "prog"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, t.TempDir())
	file := func(name string, mode int64) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: mode}
	}
	link := func(name, to string) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to}
	}
	i, err := s.PutImage(t.Context(), imageDigest, 1<<20, func(_ context.Context, b *flatten.Builder) (alcove.ImageSettings, error) {
		return alcove.ImageSettings{}, b.Layer(imageLayer(t, file("usr/bin/prog", 0o755), file("usr/bin/data", 0o644), file("usr/bin/mine", 0o700),
			link("bin", "usr/bin"), link("abs", "/usr/bin/prog"), link("up", "../../../../usr/bin/prog"), link("round", "/round"), link("out", outside),
			tar.Header{Name: "closed/", Typeflag: tar.TypeDir, Mode: 0o700}, file("closed/prog", 0o755), link("var/task", "/usr")))
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, dir, path, want string
		err                   error
	}{
		{"/usr/bin/prog", "/", "", "/usr/bin/prog", nil},
		{"prog", "/", "/none:/bin", "/bin/prog", nil},
		{"prog", "/usr", "bin", "/usr/bin/prog", nil},
		{"./bin/prog", "/usr", "", "/usr/./bin/prog", nil},
		{"/abs", "/", "", "/abs", nil},
		{"/up", "/", "", "/up", nil},
		{"/../../usr/bin/prog", "/", "", "/../../usr/bin/prog", nil},
		{"prog", "/", "", "", syscall.ENOENT},
		{"/usr/bin/data", "/", "", "", syscall.EACCES},
		{"/usr/bin/mine", "/", "", "", syscall.EACCES},
		{"data", "/", "/none:/bin:/none", "", syscall.EACCES},
		{"/usr/bin", "/", "", "", syscall.EACCES},
		{"/closed/prog", "/", "", "", syscall.EACCES},
		{"/round", "/", "", "", syscall.ELOOP},
		{"/out/prog", "/", "", "", syscall.ENOENT},
		{outside + "/prog", "/", "", "", syscall.ENOENT},
		{"/usr/bin/prog/x", "/", "", "", syscall.ENOTDIR},
		{"/" + strings.Repeat("n", 300), "/", "", "", syscall.ENAMETOOLONG},
	} {
		if got, err := i.Program(c.name, c.dir, c.path); got != c.want || err != c.err {
			t.Errorf("%s in %s, PATH %s: %q, %v; want %q, %v", c.name, c.dir, c.path, got, err, c.want, c.err)
		}
	}
	for dir, want := range map[string]error{"/": nil, "/bin": nil, "/closed": syscall.EACCES, "/usr/bin/prog": syscall.ENOTDIR, "/none": syscall.ENOENT} {
		if err := i.CanEnter(dir); err != want {
			t.Errorf("directory %s: %v, want %v", dir, err, want)
		}
	}
	if !i.HasDir("/opt") || i.HasDir("/var/task") || i.HasDir("/bin") {
		t.Error("what can be mounted at")
	}
}

// A fill goes on for as long as one of those who asked for it wants the image, whether
// or not they still wait, and ends with the last. Who asks then begins another.
func TestUnwantedImage(t *testing.T) {
	s := openStore(t, t.TempDir())
	ended, begun, finish := make(chan error), make(chan bool), make(chan bool)
	fill := func(ctx context.Context, _ *flatten.Builder) (alcove.ImageSettings, error) {
		begun <- true
		select {
		case <-ctx.Done():
			ended <- context.Cause(ctx)
			return alcove.ImageSettings{}, context.Cause(ctx)
		case <-finish:
			return alcove.ImageSettings{}, nil
		}
	}
	ask := func() (end context.CancelCauseFunc, answer chan error) {
		ctx, end := context.WithCancelCause(t.Context())
		answer = make(chan error, 1)
		go func() {
			_, err := s.PutImage(ctx, imageDigest, 1<<20, fill)
			answer <- err
		}()
		return end, answer
	}
	wanted := func(n int) {
		t.Helper()
		for {
			s.fills.mu.Lock()
			one := s.fills.of[imageDigest]
			now := one != nil && one.wanted == n
			s.fills.mu.Unlock()
			if now {
				return
			}
			runtime.Gosched()
		}
	}
	endFirst, first := ask()
	<-begun
	endSecond, second := ask()
	wanted(2)
	endFirst(ErrUnwanted)
	if err := <-first; !errors.Is(err, ErrUnwanted) {
		t.Errorf("the first: %v", err)
	}
	wanted(1)
	endSecond(ErrUnwanted)
	if err := <-second; !errors.Is(err, ErrUnwanted) {
		t.Errorf("the second: %v", err)
	}
	wanted(0)
	// One that comes while that fill ends waits for its end.
	_, third := ask()
	if err := <-ended; !errors.Is(err, ErrUnwanted) {
		t.Errorf("the fill ended with %v", err)
	}
	<-begun
	// To hang up is not to want it no more.
	endFourth, fourth := ask()
	wanted(2)
	endFourth(nil)
	if err := <-fourth; !errors.Is(err, context.Canceled) {
		t.Errorf("one that hung up: %v", err)
	}
	wanted(2)
	finish <- true
	if err := <-third; err != nil {
		t.Error(err)
	}
	if _, err := s.Image(imageDigest); err != nil {
		t.Error(err)
	}
}
