// Package registry finds and pulls container images, for the functions that are
// made of them: names become digests, an index becomes the image for this node's
// platform, layers become a tree in package artifact.
//
// It makes requests for callers of the API, and so only to hosts that the
// operator has listed (package hostlist), and to public ones that those redirect
// to. Registries and images are not trusted: sizes are counted, digests verified,
// and what an image holds only ever becomes a tree (package artifact/flatten).
// Credentials are those of the operator's Docker configuration. They go to the
// registry that they are for, and into no log.
package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/artifact"
	"github.com/alcove-run/alcove/artifact/flatten"
	"github.com/alcove-run/alcove/internal/hostlist"
)

// Artifacts keeps images.
type Artifacts interface {
	Image(sha string) (artifact.Image, error)
	PutImage(ctx context.Context, sha string, limit int64, fill artifact.Fill) (artifact.Image, error)
}

// Config is what a Puller works with. Artifacts and Log are required.
type Config struct {
	Artifacts Artifacts
	// Hosts are the registries that images may come from.
	Hosts hostlist.List
	// MaxSize is how many bytes an image may have uncompressed; zero is AWS's
	// limit.
	MaxSize int64
	// Runtimes are images by the names of the runtimes that they stand for.
	Runtimes map[string]string
	// RuntimesFile is where it is kept which images those were.
	RuntimesFile string
	// Keychain knows credentials; nil is that of the Docker configuration of this
	// process's user.
	Keychain authn.Keychain
	// Architecture is Go's name of what images have to be for; empty is this
	// program's.
	Architecture string
	Log          *slog.Logger
}

// Puller pulls images. It is safe for concurrent use.
type Puller struct {
	cfg    Config
	client http.RoundTripper
	ctx    context.Context // done when the Puller closes
	stop   context.CancelFunc
	work   work
	// asking bounds how many credential helpers run at once.
	asking   chan struct{}
	runtimes runtimeImages
}

// New makes a Puller. It makes no request.
func New(cfg Config) (*Puller, error) {
	if cfg.MaxSize == 0 {
		cfg.MaxSize = alcove.MaxImage
	}
	if cfg.Keychain == nil {
		cfg.Keychain = authn.DefaultKeychain
	}
	if cfg.Architecture == "" {
		cfg.Architecture = runtime.GOARCH
	}
	p := &Puller{cfg: cfg, client: listed{cfg.Hosts, cfg.Hosts.Transport()}, asking: make(chan struct{}, 4)}
	p.ctx, p.stop = context.WithCancel(context.Background())
	if err := p.runtimes.open(p); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// Close ends what is being pulled, and waits for it.
func (p *Puller) Close() error {
	p.stop()
	p.work.close()
	return nil
}

// work is what a Puller does in the background.
type work struct {
	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup
}

// do runs f unless it is too late.
func (w *work) do(f func() error) error {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return context.Canceled
	}
	w.wg.Add(1)
	w.mu.Unlock()
	defer w.wg.Done()
	return f()
}

func (w *work) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.wg.Wait()
}

// resolveTime bounds finding out what a name stands for, which a caller waits for.
const resolveTime = 20 * time.Second

// maxName is how long a name of an image may be. AWS has no limit of its own.
const maxName = 1024

// Resolve tells what the name of an image stands for now. Its errors are
// *alcove.Error, with AWS's texts where AWS has one.
func (p *Puller) Resolve(ctx context.Context, image string) (alcove.Code, error) {
	ref, err := p.reference(image)
	if err != nil {
		return alcove.Code{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	found, err := p.find(ctx, ref)
	if err != nil {
		return alcove.Code{}, p.refusal(image, err)
	}
	return alcove.Code{
		SHA256: found.digest.Hex, Image: image, Resolved: ref.Context().Digest(found.digest.String()).Name(),
	}, nil
}

// reference reads the name of an image, and sees that it is of a listed registry.
func (p *Puller) reference(image string) (name.Reference, error) {
	if p.cfg.Hosts.Empty() {
		return nil, alcove.InvalidParameter("Source image %s cannot be used: this node pulls images from no registry. "+
			"Its operator can start it with --registries HOST, for each registry that images may come from.", shown(image))
	}
	ref, host, port, err := parse(image)
	if err != nil {
		e := alcove.InvalidParameter("Source image %s is not valid. Provide a valid source image.", shown(image))
		e.Err = err
		return nil, e
	}
	if !p.cfg.Hosts.Has(host, port) && !(host == name.DefaultRegistry && p.cfg.Hosts.Has("docker.io", port)) {
		return nil, alcove.InvalidParameter("Source image %s is not valid: this node does not pull from the registry %s. "+
			"Its operator can add that to --registries.", shown(image), ref.Context().RegistryStr())
	}
	if p.cfg.Hosts.Plain(host, port) {
		ref, err = name.ParseReference(image, name.Insecure)
	}
	return ref, err
}

// parse reads the name of an image. A registry without a port is at 443, and no
// registry is Docker Hub, as everywhere.
func parse(image string) (ref name.Reference, host, port string, err error) {
	if len(image) > maxName {
		return nil, "", "", fmt.Errorf("it has %d bytes", len(image))
	}
	if ref, err = name.ParseReference(image); err != nil {
		return nil, "", "", err
	}
	if d, ok := ref.(name.Digest); ok && !strings.HasPrefix(d.DigestStr(), "sha256:") {
		return nil, "", "", errors.New("the digest is not one of SHA-256")
	}
	host, port = ref.Context().RegistryStr(), "443"
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host, port = host[:i], host[i+1:]
	}
	return ref, strings.Trim(host, "[]"), port, nil
}

// shown is the name of an image as messages have it.
func shown(image string) string { return strings.ToValidUTF8(image[:min(len(image), maxName)], "?") }

// options are those of every request.
func (p *Puller) options(ctx context.Context) []remote.Option {
	return []remote.Option{
		remote.WithContext(ctx), remote.WithTransport(p.client), remote.WithAuthFromKeychain(bounded{p}),
		remote.WithUserAgent("alcove"), remote.WithJobs(1),
	}
}

// bounded is the keychain, whose helpers are programs that may hang.
type bounded struct{ p *Puller }

// Resolve implements authn.Keychain.
func (k bounded) Resolve(r authn.Resource) (authn.Authenticator, error) {
	return k.ResolveContext(context.Background(), r)
}

// ResolveContext implements authn.ContextKeychain.
func (k bounded) ResolveContext(ctx context.Context, r authn.Resource) (authn.Authenticator, error) {
	type answer struct {
		auth authn.Authenticator
		err  error
	}
	done := make(chan answer, 1)
	select {
	case k.p.asking <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("credentials: %w", ctx.Err())
	}
	go func() {
		defer func() { <-k.p.asking }()
		auth, err := authn.Resolve(ctx, k.p.cfg.Keychain, r)
		done <- answer{auth, err}
	}()
	select {
	case a := <-done:
		return a.auth, a.err
	case <-ctx.Done():
		return nil, fmt.Errorf("credentials: a credential helper does not answer: %w", ctx.Err())
	}
}

// found is an image in its registry.
type found struct {
	digest   v1.Hash
	manifest *v1.Manifest
	image    v1.Image
}

// errUnsupported are media types that no image has that this package pulls.
var errUnsupported = errors.New("media type not supported")

// errPlatform is an index without an image for this node.
var errPlatform = errors.New("no image for this platform")

// maxIndex is how many images an index may have.
const maxIndex = 1000

// find gets the manifest of an image, of an index that for this node's platform.
func (p *Puller) find(ctx context.Context, ref name.Reference) (*found, error) {
	d, err := remote.Get(ref, p.options(ctx)...)
	if err != nil {
		return nil, err
	}
	if d.MediaType.IsIndex() {
		index, err := d.ImageIndex()
		if err != nil {
			return nil, err
		}
		list, err := index.IndexManifest()
		if err != nil || len(list.Manifests) > maxIndex {
			return nil, errors.Join(errUnsupported, err)
		}
		digest, ok := choose(list.Manifests, p.cfg.Architecture)
		if !ok {
			return nil, errPlatform
		}
		if d, err = remote.Get(ref.Context().Digest(digest.String()), p.options(ctx)...); err != nil {
			return nil, err
		}
	}
	if !d.MediaType.IsImage() {
		return nil, fmt.Errorf("manifest %w: %s", errUnsupported, d.MediaType)
	}
	image, err := d.Image()
	if err != nil {
		return nil, err
	}
	m, err := image.Manifest()
	if err != nil {
		return nil, errors.Join(errUnsupported, err)
	}
	return &found{d.Digest, m, image}, checkManifest(m)
}

// choose picks the image of an index for an architecture. Attestations have a
// platform that nothing runs on.
func choose(list []v1.Descriptor, architecture string) (v1.Hash, bool) {
	for _, d := range list {
		pf := d.Platform
		if pf == nil || !d.MediaType.IsImage() || d.Digest.Algorithm != "sha256" {
			continue
		}
		plain := pf.Variant == "" || architecture == "arm64" && pf.Variant == "v8" || architecture == "amd64" && pf.Variant == "v1"
		if pf.OS == "linux" && pf.Architecture == architecture && plain {
			return d.Digest, true
		}
	}
	return v1.Hash{}, false
}

const (
	maxLayers = 127     // what Docker builds, and AWS takes
	maxConfig = 4 << 20 // bytes of an image's config
)

// checkManifest refuses what cannot be pulled, before anything is.
func checkManifest(m *v1.Manifest) error {
	switch m.Config.MediaType {
	case types.OCIConfigJSON, types.DockerConfigJSON:
	default:
		return fmt.Errorf("config %w: %s", errUnsupported, m.Config.MediaType)
	}
	if len(m.Layers) > maxLayers || m.Config.Size > maxConfig || m.Config.Size < 0 {
		return fmt.Errorf("manifest %w: %d layers, a config of %d bytes", errUnsupported, len(m.Layers), m.Config.Size)
	}
	for _, l := range m.Layers {
		switch l.MediaType {
		case types.OCILayer, types.OCILayerZStd, types.OCIUncompressedLayer, types.DockerLayer, types.DockerUncompressedLayer:
		default:
			return fmt.Errorf("layer %w: %s", errUnsupported, l.MediaType)
		}
		if l.Size < 0 || len(l.URLs) > 0 {
			return fmt.Errorf("layer %w: of %d bytes at %q", errUnsupported, l.Size, l.URLs)
		}
	}
	return nil
}

// retries are the waits before a pull that the network ended is tried again.
var retries = []time.Duration{time.Second, 5 * time.Second}

// Image gives the image that code is, which is pulled if it is not here. Where
// that is not the node's fault the error is an *alcove.NotReady. The pull goes on when
// ctx ends, unless it ends with artifact.ErrUnwanted for all who asked for the image.
func (p *Puller) Image(ctx context.Context, code alcove.Code) (artifact.Image, error) {
	for try := 0; ; try++ {
		i, err := p.cfg.Artifacts.Image(code.SHA256)
		if !errors.Is(err, fs.ErrNotExist) {
			return i, err
		}
		i, err = p.cfg.Artifacts.PutImage(ctx, code.SHA256, p.cfg.MaxSize, func(ctx context.Context, b *flatten.Builder) (s alcove.ImageSettings, err error) {
			err = p.work.do(func() error {
				s, err = p.pull(ctx, code, b)
				return err
			})
			return s, err
		})
		if err == nil {
			return i, nil
		}
		err = p.notReady(code, err)
		if final := errors.As(err, new(*alcove.NotReady)) || isDisk(err) || ctx.Err() != nil || p.ctx.Err() != nil; final || try == len(retries) {
			return artifact.Image{}, err
		}
		p.cfg.Log.Warn("image not pulled, which is tried again", "image", code.Image, "error", err)
		select {
		case <-time.After(retries[try]):
		case <-ctx.Done():
		case <-p.ctx.Done():
		}
	}
}
