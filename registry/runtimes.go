package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sync/singleflight"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/artifact"
)

// runtimeImages are what the images of Config.Runtimes stand for.
type runtimeImages struct {
	flights singleflight.Group // one look for each runtime

	mu    sync.Mutex
	known map[string]alcove.Code // by runtime; what this process or one before it found
	given map[string]bool        // digests that environments may stand on
}

// open reads what an earlier process found, so that a node needs no registry to
// start.
func (r *runtimeImages) open(p *Puller) error {
	r.known, r.given = map[string]alcove.Code{}, map[string]bool{}
	for runtime, image := range p.cfg.Runtimes {
		if _, err := p.reference(image); err != nil {
			return fmt.Errorf("image of the runtime %s: %s", runtime, alcove.AsError(err).Message)
		}
	}
	raw, err := os.ReadFile(p.cfg.RuntimesFile)
	if p.cfg.RuntimesFile == "" || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	kept := map[string]alcove.Code{}
	if err == nil {
		err = json.Unmarshal(raw, &kept)
	}
	if err != nil {
		// It only spares requests.
		p.cfg.Log.Warn("it is not known which images of runtimes there were", "file", p.cfg.RuntimesFile, "error", err)
		return nil
	}
	for runtime, code := range kept {
		if p.cfg.Runtimes[runtime] == code.Image {
			r.known[runtime], r.given[code.SHA256] = code, true
		}
	}
	return nil
}

// RefreshRuntimes begins to find out what the images of runtimes stand for now,
// and to pull those that are not here.
func (p *Puller) RefreshRuntimes() {
	for runtime := range p.cfg.Runtimes {
		go func() {
			_ = p.work.do(func() error {
				if _, err := p.look(p.ctx, runtime); err != nil {
					p.cfg.Log.Warn("image of a runtime not found; one that is here already goes on being used", "runtime", runtime, "image", p.cfg.Runtimes[runtime], "error", err)
				}
				return nil
			})
			if _, _, err := p.Runtime(p.ctx, runtime); err != nil && p.ctx.Err() == nil {
				p.cfg.Log.Error("functions of a runtime cannot run", "runtime", runtime, "image", p.cfg.Runtimes[runtime], "error", err)
			}
		}()
	}
}

// look finds out what the image of a runtime stands for now.
func (p *Puller) look(ctx context.Context, runtime string) (alcove.Code, error) {
	found, err, _ := p.runtimes.flights.Do(runtime, func() (any, error) {
		code, err := p.Resolve(ctx, p.cfg.Runtimes[runtime])
		if err != nil {
			return alcove.Code{}, err
		}
		r := &p.runtimes
		r.mu.Lock()
		defer r.mu.Unlock()
		r.known[runtime], r.given[code.SHA256] = code, true
		if err := writeJSON(p.cfg.RuntimesFile, r.known); err != nil {
			p.cfg.Log.Warn("the next start will have to ask for the images of runtimes", "error", err)
		}
		return code, nil
	})
	return found.(alcove.Code), err
}

// Mapped tells whether an image stands for a runtime, and its digest, which is
// empty until it has been found.
func (p *Puller) Mapped(runtime string) (digest string, ok bool) {
	if _, ok = p.cfg.Runtimes[runtime]; !ok {
		return "", false
	}
	r := &p.runtimes
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known[runtime].SHA256, true
}

// Runtime gives the image that stands for a runtime.
func (p *Puller) Runtime(ctx context.Context, runtime string) (alcove.Code, artifact.Image, error) {
	r := &p.runtimes
	r.mu.Lock()
	code, ok := r.known[runtime]
	r.mu.Unlock()
	if !ok {
		var err error
		if code, err = p.look(ctx, runtime); err != nil {
			return alcove.Code{}, artifact.Image{}, fmt.Errorf("image of the runtime %s: %w", runtime, err)
		}
	}
	i, err := p.Image(ctx, code)
	return code, i, err
}

// Pinned tells whether an image stands for a runtime, or did so while
// environments may have been made of it.
func (p *Puller) Pinned(sha string) bool {
	r := &p.runtimes
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.given[sha]
}

// writeJSON replaces a file whole.
func writeJSON(path string, v any) error {
	if path == "" {
		return nil
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
