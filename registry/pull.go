package registry

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/zstd"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/artifact"
	"github.com/alcove-run/alcove/artifact/flatten"
)

// pullTime bounds one pull. A registry that is silent for a minute ends it sooner.
const pullTime = time.Hour

// pull brings in an image by its digest, while ctx lasts and the Puller is open.
func (p *Puller) pull(ctx context.Context, code alcove.Code, b *flatten.Builder) (alcove.ImageSettings, error) {
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, pullTime, errors.New("the pull took too long"))
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	ref, err := p.reference(code.Resolved)
	if err != nil {
		return alcove.ImageSettings{}, err
	}
	if d, ok := ref.(name.Digest); !ok || d.DigestStr() != "sha256:"+code.SHA256 {
		return alcove.ImageSettings{}, fmt.Errorf("registry: %s is not %s", code.Resolved, code.SHA256)
	}
	f, err := p.find(ctx, ref)
	if err != nil {
		return alcove.ImageSettings{}, err
	}
	config, err := f.image.ConfigFile()
	if err != nil {
		return alcove.ImageSettings{}, damaged(err)
	}
	settings, err := p.settings(config, len(f.manifest.Layers))
	if err != nil {
		return alcove.ImageSettings{}, err
	}
	layers, err := f.image.Layers()
	if err != nil {
		return alcove.ImageSettings{}, err
	}
	for i, l := range layers {
		if err := pullLayer(b, l, config.RootFS.DiffIDs[i]); err != nil {
			return alcove.ImageSettings{}, fmt.Errorf("layer %d of %d: %w", i+1, len(layers), err)
		}
	}
	if settings.User, err = b.As(config.Config.User); err != nil {
		return alcove.ImageSettings{}, err
	}
	p.cfg.Log.Info("image pulled", "image", code.Image, "digest", code.SHA256, "layers", len(layers), "took", time.Since(began))
	return settings, nil
}

// settings reads what the image says of itself.
func (p *Puller) settings(c *v1.ConfigFile, layers int) (alcove.ImageSettings, error) {
	s := alcove.ImageSettings{
		EntryPoint: c.Config.Entrypoint, Command: c.Config.Cmd, Environment: c.Config.Env, WorkingDirectory: c.Config.WorkingDir,
	}
	switch {
	case c.OS != "linux" || c.Architecture != p.cfg.Architecture:
		return s, &flatten.InvalidError{Reason: fmt.Sprintf("it is for %.40q on %.40q, this node runs %s on linux", c.OS, c.Architecture, p.cfg.Architecture)}
	case len(c.RootFS.DiffIDs) != layers:
		return s, &flatten.InvalidError{Reason: fmt.Sprintf("its config has %d layers, its manifest %d", len(c.RootFS.DiffIDs), layers)}
	}
	if err := s.Check(); err != nil {
		return s, &flatten.InvalidError{Reason: err.Error()}
	}
	return s, nil
}

// damaged makes the image's fault of what is wrong with what was received, not of
// what receiving it came to.
func damaged(err error) error {
	if remoteFault(err) {
		return err
	}
	return &flatten.InvalidError{Reason: "its config cannot be read"}
}

// pullLayer lays one layer over the others. What is received is verified by the
// layer's digest, what it unpacks to by the config's.
func pullLayer(b *flatten.Builder, l v1.Layer, want v1.Hash) error {
	compressed, err := l.Compressed()
	if err != nil {
		return err
	}
	defer func() { _ = compressed.Close() }()
	source := &source{r: compressed}
	plain, done, err := decompress(source)
	if err != nil {
		return source.blame(err)
	}
	defer done()
	hash := sha256.New()
	if err := b.Layer(io.TeeReader(plain, hash)); err != nil {
		return source.blame(err)
	}
	// To the end, where the digest is checked.
	if n, err := io.Copy(io.Discard, io.LimitReader(source, 1)); err != nil {
		return err
	} else if n > 0 {
		return &flatten.InvalidError{Reason: "something follows a layer's compressed end"}
	}
	if got := hex.EncodeToString(hash.Sum(nil)); want.Algorithm != "sha256" || got != want.Hex {
		return &flatten.InvalidError{Reason: "a layer is not what the config says"}
	}
	return nil
}

// source remembers what reading came to, so that it can be told from what is
// wrong with what was read.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// blame gives the error of the source, if it had one; else err is of the disk, or
// the image's fault.
func (s *source) blame(err error) error {
	var bad *flatten.InvalidError
	switch {
	case s.err != nil:
		return s.err
	case errors.As(err, &bad), isDisk(err):
		return err
	}
	return &flatten.InvalidError{Reason: "a layer cannot be unpacked: " + err.Error()}
}

func isDisk(err error) bool {
	return errors.As(err, new(*fs.PathError)) || errors.As(err, new(*os.LinkError)) || errors.Is(err, artifact.ErrNoSpace)
}

// zstdWindow is the largest that the zstd program makes without being asked to
// use more memory.
const zstdWindow = 128 << 20

// decompress tells the compression by what it begins with: media types are not
// always right.
func decompress(r io.Reader) (plain io.Reader, done func(), err error) {
	buffered := bufio.NewReaderSize(r, 64<<10)
	magic, err := buffered.Peek(4)
	if err != nil && err != io.EOF {
		return nil, nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(buffered)
		return z, func() {}, err
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}), len(magic) == 4 && magic[0]&0xf0 == 0x50 && bytes.Equal(magic[1:], []byte{0x2a, 0x4d, 0x18}):
		z, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindow))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	}
	return buffered, func() {}, nil
}
