package registry

import (
	"archive/tar"
	"bytes"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/compression"
	"github.com/google/go-containerregistry/pkg/name"
	fake "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/alcove-run/alcove/artifact"
	"github.com/alcove-run/alcove/internal/hostlist"
)

// server is a registry with what a test puts in front of it.
type server struct {
	t     *testing.T
	host  string
	front func(w http.ResponseWriter, r *http.Request, next http.Handler)
}

func newServer(t *testing.T) *server {
	s := &server{t: t}
	reg := fake.New(fake.Logger(log.New(io.Discard, "", 0)))
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.front != nil {
			s.front(w, r, reg)
			return
		}
		reg.ServeHTTP(w, r)
	}))
	t.Cleanup(h.Close)
	s.host = strings.TrimPrefix(h.URL, "http://")
	return s
}

func (s *server) ref(repo string) name.Reference {
	ref, err := name.ParseReference(s.host + "/" + repo)
	if err != nil {
		s.t.Fatal(err)
	}
	return ref
}

// push gives the name of what is then there.
func (s *server) push(repo string, what remote.Taggable) string {
	s.t.Helper()
	var err error
	switch what := what.(type) {
	case v1.Image:
		err = remote.Write(s.ref(repo), what)
	case v1.ImageIndex:
		err = remote.WriteIndex(s.ref(repo), what)
	default:
		err = remote.Put(s.ref(repo), what)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return s.host + "/" + repo
}

// tarOf is a layer with files, of which those with names that end in a slash are
// directories.
func tarOf(t *testing.T, files map[string]string) []byte {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for path, text := range files {
		h := &tar.Header{Name: path, Mode: 0o755, Size: int64(len(text)), Typeflag: tar.TypeReg}
		if strings.HasSuffix(path, "/") {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func layerOf(t *testing.T, files map[string]string, o ...tarball.LayerOption) v1.Layer {
	raw := tarOf(t, files)
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil }, o...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func zstdLayer() tarball.LayerOption { return tarball.WithCompression(compression.ZStd) }

// imageOf is an image of layers for an architecture.
func imageOf(t *testing.T, architecture string, config v1.Config, layers ...v1.Layer) v1.Image {
	i, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		t.Fatal(err)
	}
	file, err := i.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config = "linux", architecture, config
	if i, err = mutate.ConfigFile(i, file); err != nil {
		t.Fatal(err)
	}
	return i
}

func oci(i v1.Image) v1.Image {
	return mutate.ConfigMediaType(mutate.MediaType(i, types.OCIManifestSchema1), types.OCIConfigJSON)
}

// puller pulls from a registry to a store of its own.
func (s *server) puller(change func(*Config)) (*Puller, *artifact.Store) {
	s.t.Helper()
	store, err := artifact.Open(s.t.TempDir(), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	store.SetReserve(0)
	hosts, err := hostlist.Parse([]string{s.host})
	if err != nil {
		s.t.Fatal(err)
	}
	cfg := Config{Artifacts: store, Hosts: hosts, Architecture: "amd64", Log: slog.New(slog.DiscardHandler), Keychain: authn.NewMultiKeychain()}
	if change != nil {
		change(&cfg)
	}
	p, err := New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = p.Close() })
	return p, store
}
