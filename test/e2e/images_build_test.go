package e2e

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"io/fs"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/compression"
	oci "github.com/google/go-containerregistry/pkg/name"
	fake "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/alcove-run/alcove/sandbox/rootfs"
)

// ociRegistry is a registry on loopback, with what a test puts in front of it.
type ociRegistry struct {
	host string

	mu    sync.Mutex
	front func(w http.ResponseWriter, r *http.Request) bool // guarded by mu; true: answered
}

func newRegistry(t *testing.T) *ociRegistry {
	t.Helper()
	reg := &ociRegistry{}
	inner := fake.New(fake.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reg.mu.Lock()
		front := reg.front
		reg.mu.Unlock()
		if front == nil || !front(w, r) {
			inner.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	reg.host = strings.TrimPrefix(s.URL, "http://")
	return reg
}

func (r *ociRegistry) put(front func(w http.ResponseWriter, r *http.Request) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.front = front
}

// push gives the name of what is then there.
func (r *ociRegistry) push(t *testing.T, repo string, i v1.Image) string {
	t.Helper()
	ref, err := oci.ParseReference(r.host + "/" + repo)
	if err == nil {
		err = remote.Write(ref, i)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r.host + "/" + repo
}

// An item is one entry of a layer: a file, a directory if the name ends in "/", or
// a link. Links and modes are for hostile ones.
type item struct {
	name, text string
	header     tar.Header // what is in it is the entry's
}

func link(name, to string) item {
	return item{name: name, header: tar.Header{Typeflag: tar.TypeSymlink, Linkname: to}}
}

// layer packs items after the files of a directory, which may be empty.
func layer(t *testing.T, dir string, o []tarball.LayerOption, items ...item) v1.Layer {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	write := func(h *tar.Header, content io.Reader) {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if dir != "" {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || path == dir {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			to := ""
			if d.Type() == fs.ModeSymlink {
				to, _ = os.Readlink(path)
			}
			h, err := tar.FileInfoHeader(info, to)
			if err != nil {
				return err
			}
			h.Name, h.Uid, h.Gid, h.Uname, h.Gname = path[len(dir)+1:], 0, 0, "", ""
			if d.IsDir() {
				h.Name += "/"
			}
			if !d.Type().IsRegular() {
				write(h, strings.NewReader(""))
				return nil
			}
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			write(h, f)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, i := range items {
		h := i.header
		h.Name, h.Size = i.name, int64(len(i.text))
		if h.Mode == 0 {
			h.Mode = 0o755
		}
		if strings.HasSuffix(i.name, "/") {
			h.Typeflag = tar.TypeDir
		}
		write(&h, strings.NewReader(i.text))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	raw := buf.Bytes()
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil }, o...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

var (
	ociGzip = []tarball.LayerOption{tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(1)}
	ociZstd = []tarball.LayerOption{tarball.WithMediaType(types.OCILayerZStd), tarball.WithCompression(compression.ZStd)}
)

// image is one of layers for this machine, in OCI's media types.
func image(t *testing.T, config v1.Config, layers ...v1.Layer) v1.Image {
	t.Helper()
	i := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	i, err := mutate.AppendLayers(i, layers...)
	if err != nil {
		t.Fatal(err)
	}
	file, err := i.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config = "linux", runtime.GOARCH, config
	if i, err = mutate.ConfigFile(i, file); err != nil {
		t.Fatal(err)
	}
	return i
}

// pythonLayer is this machine's Python with what it needs.
func pythonLayer(t *testing.T) v1.Layer {
	t.Helper()
	real, err := filepath.EvalSymlinks("/usr/bin/python3")
	if err != nil {
		t.Fatal(err)
	}
	store, err := rootfs.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	tree, err := store.Tree(context.Background(), rootfs.Want{Name: "image", Programs: []string{"/usr/bin/python3"}, Dirs: []string{"/usr/lib/" + filepath.Base(real)}})
	if err != nil {
		t.Fatal(err)
	}
	return layer(t, tree.Dir, ociGzip)
}

func testFile(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata/images", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// awsConfig is that of AWS's base image for Python 3.13, with the handler that is
// the last word of a user's Dockerfile.
var awsConfig = v1.Config{
	Entrypoint: []string{"/lambda-entrypoint.sh"}, Cmd: []string{"app.handler"}, WorkingDir: "/var/task",
	Env: []string{
		"LANG=en_US.UTF-8", "TZ=:/etc/localtime", "PATH=/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
		"LD_LIBRARY_PATH=/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
		"LAMBDA_TASK_ROOT=/var/task", "LAMBDA_RUNTIME_DIR=/var/runtime", "FROM_IMAGE=image", "BOTH=image",
	},
}

// awsLike are the layers of an image that is laid out as AWS's base images are.
func awsLike(t *testing.T, python v1.Layer, items ...item) []v1.Layer {
	t.Helper()
	return []v1.Layer{python, layer(t, "", ociZstd,
		item{name: "lambda-entrypoint.sh", text: testFile(t, "lambda-entrypoint.sh")},
		item{name: "var/runtime/bootstrap", text: testFile(t, "bootstrap")},
		item{name: "var/runtime/bootstrap.py", text: testFile(t, "bootstrap.py")},
		link("var/lang/bin/python3.13", "/usr/bin/python3"),
	), layer(t, "", ociGzip, append([]item{{name: "var/task/app.py", text: testFile(t, "app.py")}}, items...)...)}
}
