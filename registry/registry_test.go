package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/internal/hostlist"
)

var testConfig = v1.Config{Entrypoint: []string{"/bin/e"}, Cmd: []string{"c"}, Env: []string{"A=1", "B=x=y"}, WorkingDir: "/w", User: "1000"}

// An image of any of the forms that there are becomes one tree.
func TestPull(t *testing.T) {
	one, two := map[string]string{"bin/e": "one", "gone": "x"}, map[string]string{"bin/f": "two", ".wh.gone": ""}
	s := newServer(t)
	docker := imageOf(t, "amd64", testConfig, layerOf(t, one), layerOf(t, two))
	ociGzip := oci(imageOf(t, "amd64", testConfig, layerOf(t, one, tarball.WithMediaType(types.OCILayer)), layerOf(t, two, tarball.WithMediaType(types.OCILayer))))
	ociZstd := oci(imageOf(t, "amd64", testConfig, layerOf(t, one, zstdLayer(), tarball.WithMediaType(types.OCILayerZStd)), layerOf(t, two, tarball.WithMediaType(types.OCILayer))))
	plain := oci(imageOf(t, "amd64", testConfig, static.NewLayer(tarOf(t, one), types.OCIUncompressedLayer), static.NewLayer(tarOf(t, two), types.OCIUncompressedLayer)))
	arm := oci(imageOf(t, "arm64", testConfig, layerOf(t, map[string]string{"arm": ""})))
	index := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex),
		mutate.IndexAddendum{Add: arm, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}}},
		mutate.IndexAddendum{Add: imageOf(t, "amd64", v1.Config{}), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"}}},
		mutate.IndexAddendum{Add: ociGzip, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}})
	list := mutate.IndexMediaType(index, types.DockerManifestList)
	for _, c := range []struct {
		name string
		what remote.Taggable
		is   v1.Image
	}{
		{"docker", docker, docker}, {"oci-gzip", ociGzip, ociGzip}, {"oci-zstd", ociZstd, ociZstd}, {"oci-plain", plain, plain},
		{"index", index, ociGzip}, {"list", list, ociGzip},
	} {
		t.Run(c.name, func(t *testing.T) {
			image := s.push("repo/"+c.name+":tag", c.what)
			p, _ := s.puller(nil)
			code, err := p.Resolve(context.Background(), image)
			if err != nil {
				t.Fatal(err)
			}
			digest, _ := c.is.Digest()
			want := alcove.Code{SHA256: digest.Hex, Image: image, Resolved: s.host + "/repo/" + c.name + "@" + digest.String()}
			if code != want {
				t.Errorf("got %+v, want %+v", code, want)
			}
			i, err := p.Image(context.Background(), code)
			if err != nil {
				t.Fatal(err)
			}
			if u := i.Settings.User; u == nil || u.UID != 1000 || u.GID != 0 || u.Home != "/" {
				t.Errorf("user %+v", u)
			}
			i.Settings.User = nil
			if got := fmt.Sprint(i.Settings); got != "{[/bin/e] [c] [A=1 B=x=y] /w <nil>}" {
				t.Errorf("settings %s", got)
			}
			var files []string
			_ = filepath.WalkDir(filepath.Join(i.Dir, "bin"), func(path string, d fs.DirEntry, err error) error {
				text, _ := os.ReadFile(path)
				files = append(files, d.Name()+"="+string(text))
				return err
			})
			if !slices.Equal(files, []string{"bin=", "e=one", "f=two"}) {
				t.Errorf("files %q", files)
			}
			if _, err := os.Lstat(filepath.Join(i.Dir, "gone")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("what a layer removed is there: %v", err)
			}
			// By digest as well, and without the registry now.
			s.front = func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { http.Error(w, "down", http.StatusTeapot) }
			defer func() { s.front = nil }()
			if _, err := p.Image(context.Background(), code); err != nil {
				t.Errorf("again: %v", err)
			}
		})
	}
	p, _ := s.puller(nil)
	digest, _ := docker.Digest()
	if code, err := p.Resolve(context.Background(), s.host+"/repo/docker@"+digest.String()); err != nil || code.SHA256 != digest.Hex {
		t.Errorf("by digest: %+v, %v", code, err)
	}
}

// What callers are answered whose image is not one.
func TestRefusals(t *testing.T) {
	s := newServer(t)
	good := s.push("good:1", imageOf(t, "amd64", testConfig))
	armOnly := s.push("arm:1", mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: imageOf(t, "arm64", testConfig),
		Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}}}))
	chart := s.push("chart:1", mutate.ConfigMediaType(oci(imageOf(t, "amd64", testConfig)), "application/vnd.cncf.helm.config.v1+json"))
	foreign := s.push("foreign:1", imageOf(t, "amd64", testConfig, static.NewLayer([]byte("x"), types.DockerForeignLayer)))
	p, _ := s.puller(nil)
	for _, c := range []struct{ image, code, text string }{
		{s.host + "/none:1", "InvalidParameterValueException", "Source image " + s.host + "/none:1 does not exist. Provide a valid source image."},
		{s.host + "/good:2", "InvalidParameterValueException", "Source image " + s.host + "/good:2 does not exist. Provide a valid source image."},
		{"UPPER case", "InvalidParameterValueException", "Source image UPPER case is not valid. Provide a valid source image."},
		{s.host + "/good@sha512:" + strings.Repeat("a", 128), "InvalidParameterValueException", "is not valid. Provide a valid source image."},
		{s.host + "/" + strings.Repeat("a", 2000), "InvalidParameterValueException", "is not valid"},
		{"169.254.169.254/a:b", "InvalidParameterValueException", "does not pull from the registry 169.254.169.254."},
		{"python:3.13", "InvalidParameterValueException", "does not pull from the registry index.docker.io."},
		{strings.Replace(good, "127.0.0.1", "localhost", 1), "InvalidParameterValueException", "does not pull from the registry localhost:"},
		{armOnly, "InvalidParameterValueException", "has no image for linux/amd64"},
		{chart, "InvalidParameterValueException", "The image manifest, config or layer media type for the source image " + chart + " is not supported."},
		{foreign, "InvalidParameterValueException", "The image manifest, config or layer media type for the source image " + foreign + " is not supported."},
	} {
		_, err := p.Resolve(context.Background(), c.image)
		if e := alcove.AsError(err); err == nil || e.Code != c.code || !strings.Contains(e.Message, c.text) {
			t.Errorf("%.60s: got %v\nwant %s: %s", c.image, err, c.code, c.text)
		}
	}
	for status, want := range map[int]string{401: "AccessDeniedException", 403: "AccessDeniedException", 404: "InvalidParameterValueException", 418: "ServiceException"} {
		s.front = func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { http.Error(w, "no", status) }
		_, err := p.Resolve(context.Background(), good)
		if e := alcove.AsError(err); err == nil || e.Code != want {
			t.Errorf("status %d: %v", status, err)
		}
	}
	none, _ := s.puller(func(c *Config) { c.Hosts = hostlist.List{} })
	if _, err := none.Resolve(context.Background(), good); err == nil || !strings.Contains(alcove.AsError(err).Message, "--registries") {
		t.Errorf("nothing listed: %v", err)
	}
}

// What is wrong with an image that was found.
func TestNotReady(t *testing.T) {
	s := newServer(t)
	layer := layerOf(t, map[string]string{"a": strings.Repeat("a", 100_000)})
	digest, _ := layer.Digest()
	good := imageOf(t, "amd64", testConfig, layer)
	push := func(tag string, i v1.Image) string { return s.push("r:"+tag, i) }
	other, err := good.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	other = other.DeepCopy()
	other.RootFS.DiffIDs[0].Hex = strings.Repeat("0", 64)
	lies, err := mutate.ConfigFile(good, other)
	if err != nil {
		t.Fatal(err)
	}
	blob := func(answer func(w http.ResponseWriter)) func(http.ResponseWriter, *http.Request, http.Handler) {
		return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, digest.String()) {
				answer(w)
				return
			}
			next.ServeHTTP(w, r)
		}
	}
	retries = nil
	for _, c := range []struct {
		name, image, code, text string
		front                   func(http.ResponseWriter, *http.Request, http.Handler)
	}{
		{"other architecture", push("arm", imageOf(t, "arm64", testConfig, layer)), "InvalidImage", "it is for", nil},
		{"too large", push("large", imageOf(t, "amd64", testConfig, layerOf(t, map[string]string{"a": strings.Repeat("a", 1<<20)}))), "InvalidImage", "larger than 524288 bytes", nil},
		{"no tar file", push("notar", imageOf(t, "amd64", testConfig, static.NewLayer([]byte(strings.Repeat("no", 1000)), types.DockerLayer))), "InvalidImage", "no tar file", nil},
		{"damaged gzip", push("nogzip", imageOf(t, "amd64", testConfig, static.NewLayer([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x00garbage"), types.DockerLayer))), "InvalidImage", "cannot be unpacked", nil},
		{"other content", push("lies", lies), "InvalidImage", "not what the config says", nil},
		{"variables", push("env", imageOf(t, "amd64", v1.Config{Env: []string{"NOVALUE"}})), "InvalidImage", "no environment variable", nil},
		{"settings", push("settings", imageOf(t, "amd64", v1.Config{Cmd: []string{strings.Repeat("x", 20_000)}})), "InvalidImage", "settings", nil},
		{"deleted", push("gone", good), "ImageDeleted", "does not exist any more", blob(func(w http.ResponseWriter) { w.WriteHeader(404) })},
		{"no permission", push("denied", good), "ImageAccessDenied", "permission", blob(func(w http.ResponseWriter) { w.WriteHeader(403) })},
		{"other bytes", push("forged", good), "", "", blob(func(w http.ResponseWriter) { _, _ = w.Write(tarOf(t, map[string]string{"evil": "x"})) })},
		{"cut off", push("cut", good), "", "", blob(func(w http.ResponseWriter) { _, _ = w.Write([]byte("\x1f\x8b\x08")) })},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, store := s.puller(func(c *Config) { c.MaxSize = 512 << 10 })
			code, err := p.Resolve(context.Background(), c.image)
			if err != nil {
				t.Fatal(err)
			}
			s.front = c.front
			defer func() { s.front = nil }()
			_, err = p.Image(context.Background(), code)
			var not *alcove.NotReady
			switch is := errors.As(err, &not); {
			case err == nil:
				t.Fatal("it was pulled")
			case c.code == "" && is:
				t.Errorf("the network's fault became the image's: %v", err)
			case c.code != "" && (!is || not.Code != c.code || !strings.Contains(not.Reason, c.text)):
				t.Errorf("got %v, want %s: %s", err, c.code, c.text)
			}
			if _, err := store.Image(code.SHA256); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("something of it is kept: %v", err)
			}
		})
	}
}

// Blobs may be elsewhere: where the operator has listed, or at public addresses.
func TestRedirects(t *testing.T) {
	s := newServer(t)
	image := s.push("r:1", imageOf(t, "amd64", testConfig, layerOf(t, map[string]string{"a": "1"})))
	var asked []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Header.Get("Authorization"))
		http.Redirect(w, r, "http://"+s.host+r.URL.Path+"?direct", http.StatusTemporaryRedirect)
	}))
	defer proxy.Close()
	away := strings.TrimPrefix(proxy.URL, "http://")
	s.front = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		user, pass, _ := r.BasicAuth()
		switch {
		case r.URL.RawQuery == "direct":
			next.ServeHTTP(w, r)
		case user != "u" || pass != "p":
			w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
			w.WriteHeader(http.StatusUnauthorized)
		case strings.Contains(r.URL.Path, "/blobs/"):
			http.Redirect(w, r, "http://"+away+r.URL.Path, http.StatusTemporaryRedirect)
		default:
			next.ServeHTTP(w, r)
		}
	}
	retries = nil
	credentials := func(c *Config) { c.Keychain = keys{s.host: {Username: "u", Password: "p"}} }
	p, _ := s.puller(credentials)
	code, err := p.Resolve(context.Background(), image)
	if err != nil {
		t.Fatal(err)
	}
	var not *alcove.NotReady
	if _, err = p.Image(context.Background(), code); !errors.As(err, &not) || not.Code != alcove.NotReadyImageAccess || len(asked) > 0 {
		t.Errorf("redirected to what is not listed: %v, %d requests", err, len(asked))
	}
	p, _ = s.puller(func(c *Config) {
		credentials(c)
		c.Hosts, _ = hostlist.Parse([]string{s.host, away})
	})
	if _, err := p.Image(context.Background(), code); err != nil {
		t.Errorf("redirected to what is listed: %v", err)
	}
	if len(asked) == 0 || slices.ContainsFunc(asked, func(h string) bool { return h != "" }) {
		t.Errorf("the registry's credentials went elsewhere: %q", asked)
	}
	p, _ = s.puller(nil)
	if _, err := p.Resolve(context.Background(), image); alcove.AsError(err).Code != "AccessDeniedException" {
		t.Errorf("without credentials: %v", err)
	}
}

// A registry that leads a node astray, or never to an end, is told from one that is
// down, and takes neither time nor memory.
func TestAstray(t *testing.T) {
	s := newServer(t)
	away := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("asked for %s", r.URL) }))
	defer away.Close()
	good := s.push("r:1", imageOf(t, "amd64", testConfig, layerOf(t, map[string]string{"a": "1"})))
	p, _ := s.puller(nil)
	code, err := p.Resolve(context.Background(), good)
	if err != nil {
		t.Fatal(err)
	}
	retries = nil
	var asked atomic.Int32
	to := func(where, location string) func(http.ResponseWriter, *http.Request, http.Handler) {
		return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if !strings.Contains(r.URL.Path, where) {
				next.ServeHTTP(w, r)
				return
			}
			asked.Add(1)
			http.Redirect(w, r, location, http.StatusTemporaryRedirect)
		}
	}
	realm := func(at string) func(http.ResponseWriter, *http.Request, http.Handler) {
		return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+at+`",service="s"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}
	for name, c := range map[string]struct {
		front func(http.ResponseWriter, *http.Request, http.Handler)
		text  string
	}{
		"private":   {to("/manifests/", away.URL), "leads to where this node does not fetch from"},
		"metadata":  {to("/manifests/", "http://169.254.169.254/latest/"), "leads to where this node does not fetch from"},
		"mapped":    {to("/manifests/", "https://[::ffff:10.0.0.1]/"), "leads to where this node does not fetch from"},
		"token":     {realm(away.URL + "/token"), "leads to where this node does not fetch from"},
		"token far": {realm("http://169.254.169.254/"), "leads to where this node does not fetch from"},
		"loop":      {to("/manifests/", "http://"+s.host+"/v2/r/manifests/1"), "redirects without end"},
		"large": {func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if !strings.Contains(r.URL.Path, "/manifests/") {
				next.ServeHTTP(w, r)
				return
			}
			w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
			for block := make([]byte, 1<<20); ; {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		}, "is not supported"},
	} {
		t.Run(name, func(t *testing.T) {
			s.front = c.front
			asked.Store(0)
			defer func() { s.front = nil }()
			_, err := p.Resolve(context.Background(), good)
			if e := alcove.AsError(err); err == nil || e.Code != "InvalidParameterValueException" || !strings.Contains(e.Message, c.text) {
				t.Errorf("got %v, want %s", err, c.text)
			}
			if n := asked.Load(); n > redirects+1 {
				t.Errorf("%d requests", n)
			}
		})
	}
	for location, text := range map[string]string{
		"http://169.254.169.254/": "leads to where this node does not fetch from", "http://" + s.host + "/v2/r/blobs/again": "redirects without end",
	} {
		s.front = to("/blobs/", location)
		asked.Store(0)
		_, err := p.Image(context.Background(), code)
		var not *alcove.NotReady
		if !errors.As(err, &not) || not.Code != alcove.NotReadyImageAccess || !strings.Contains(not.Reason, text) || asked.Load() > redirects+1 {
			t.Errorf("a blob at %s: %v, after %d requests", location, err, asked.Load())
		}
		s.front = nil
	}
}

// keys is a keychain.
type keys map[string]authn.AuthConfig

func (k keys) Resolve(r authn.Resource) (authn.Authenticator, error) {
	if c, ok := k[r.RegistryStr()]; ok {
		return authn.FromConfig(c), nil
	}
	return authn.Anonymous, nil
}

// Credentials are those of the Docker configuration, with its helpers.
func TestDockerConfiguration(t *testing.T) {
	s := newServer(t)
	image := s.push("r:1", imageOf(t, "amd64", testConfig))
	s.front = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if user, pass, _ := r.BasicAuth(); user != "helped" || pass != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	}
	dir := t.TempDir()
	t.Setenv("HOME", t.TempDir())
	t.Setenv("DOCKER_CONFIG", dir)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	files := map[string]string{
		"config.json":            `{"credHelpers":{"` + s.host + `":"test"}}`,
		"docker-credential-test": "#!/bin/sh\ncat >/dev/null\necho '{\"ServerURL\":\"x\",\"Username\":\"helped\",\"Secret\":\"secret\"}'\n",
	}
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p, _ := s.puller(func(c *Config) { c.Keychain = nil })
	if _, err := p.Resolve(context.Background(), image); err != nil {
		t.Errorf("by a helper: %v", err)
	}
}

func TestRuntimes(t *testing.T) {
	s := newServer(t)
	first, second := imageOf(t, "amd64", testConfig, layerOf(t, map[string]string{"a": "1"})), imageOf(t, "amd64", testConfig, layerOf(t, map[string]string{"a": "2"}))
	image := s.push("py:1", first)
	file := filepath.Join(t.TempDir(), "runtimes.json")
	mapped := func(c *Config) { c.Runtimes, c.RuntimesFile = map[string]string{"python3.13": image}, file }
	p, store := s.puller(mapped)
	if digest, ok := p.Mapped("python3.13"); digest != "" || !ok {
		t.Errorf("before it was found: %q, %v", digest, ok)
	}
	if _, ok := p.Mapped("python3.12"); ok {
		t.Error("a runtime that no image stands for is mapped")
	}
	code, i, err := p.Runtime(context.Background(), "python3.13")
	if err != nil {
		t.Fatal(err)
	}
	if digest, _ := p.Mapped("python3.13"); digest != code.SHA256 || !p.Pinned(digest) {
		t.Errorf("mapped to %q, which is %v", digest, p.Pinned(digest))
	}
	// A later process needs no registry, and takes the new image when there is one.
	s.front = func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(http.StatusTeapot) }
	p, _ = s.puller(func(c *Config) { mapped(c); c.Artifacts = store })
	again, j, err := p.Runtime(context.Background(), "python3.13")
	if err != nil || again != code || i.Dir != j.Dir || !p.Pinned(code.SHA256) {
		t.Errorf("without the registry: %+v, %v", again, err)
	}
	s.front = nil
	s.push("py:1", second)
	if _, err := p.look(context.Background(), "python3.13"); err != nil {
		t.Fatal(err)
	}
	now, _, err := p.Runtime(context.Background(), "python3.13")
	if digest, _ := second.Digest(); err != nil || now.SHA256 != digest.Hex || !p.Pinned(code.SHA256) {
		t.Errorf("after it moved: %+v, %v", now, err)
	}
	if _, err := New(Config{Hosts: p.cfg.Hosts, Runtimes: map[string]string{"python3.13": "elsewhere.example/x:1"}}); err == nil {
		t.Error("a runtime's image may be of any registry")
	}
}

// A name either is refused or is of the registry that was looked up in the list.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"a", "ghcr.io/a/b:c", "localhost:5000/a@sha256:" + strings.Repeat("a", 64), "[::1]:5000/a", "user@host/a", "a//b", "\x00", "http://a/b", "a.b/c:d@e", "127.0.0.1:80:90/a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref, host, port, err := parse(s)
		if err != nil {
			return
		}
		at := ref.Context().RegistryStr()
		if host == "" || port == "" || at != host && at != host+":"+port && at != "["+host+"]:"+port && at != "["+host+"]" {
			t.Errorf("%q: %q became %q and %q", s, at, host, port)
		}
		if strings.ContainsAny(host+port, "/@?# \x00") {
			t.Errorf("%q: host %q, port %q", s, host, port)
		}
		digested := ref.Context().Digest("sha256:" + strings.Repeat("a", 64)).Name()
		if _, err := name.NewDigest(digested); err != nil {
			t.Errorf("%q resolves to %q: %v", s, digested, err)
		}
	})
}

// Whatever a config says, it is refused or a process can be started with it.
func FuzzSettings(f *testing.F) {
	f.Add([]byte(`{"os":"linux","architecture":"amd64","config":{"Env":["A=b"],"Cmd":["x"],"Entrypoint":["y"],"WorkingDir":"/"}}`))
	f.Add([]byte(`{"os":"linux","architecture":"amd64","config":{"Env":["A\u0000=b"]}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := v1.ParseConfigFile(strings.NewReader(string(raw)))
		if err != nil {
			return
		}
		p := &Puller{cfg: Config{Architecture: "amd64"}}
		s, err := p.settings(c, len(c.RootFS.DiffIDs))
		if err != nil {
			return
		}
		for _, text := range append(append(append([]string{s.WorkingDirectory}, s.EntryPoint...), s.Command...), s.Environment...) {
			if strings.ContainsRune(text, 0) || len(text) > alcove.MaxImageSettings {
				t.Errorf("taken: %.100q", text)
			}
		}
	})
}
