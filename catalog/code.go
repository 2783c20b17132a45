package catalog

import (
	"context"
	"sync"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/artifact"
)

// code is what the catalog knows of packages beyond the view: which ones are
// being put, and that some may be nobody's.
type code struct {
	delay time.Duration
	wake  chan struct{}

	mu   sync.Mutex
	pins map[string]int  // guarded by mu; put, and not in the view yet
	ever map[string]bool // guarded by mu; pinned since the start, until the first sweep ends
}

func (k *code) init(delay time.Duration) {
	k.delay = delay
	k.wake = make(chan struct{}, 1)
	k.pins = make(map[string]int)
	k.ever = make(map[string]bool)
}

// kick has packages that nobody refers to removed before long.
func (k *code) kick() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

func (k *code) pinned(sha string) (now, ever bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.pins[sha] > 0, k.ever[sha] || k.ever == nil
}

// keepCode is keep for a package, or for the image of that name.
func (c *Catalog) keepCode(ctx context.Context, zip *artifact.Package, image string) (alcove.Code, func(), error) {
	if image == "" {
		return c.keep(ctx, zip)
	}
	if c.cfg.Resolve == nil {
		return alcove.Code{}, nil, alcove.InvalidParameter("This node has no container images.")
	}
	code, err := c.cfg.Resolve(ctx, image)
	if err != nil {
		return alcove.Code{}, nil, fault("image", err)
	}
	return code, c.pin(code.SHA256), nil
}

// keep stores a package and keeps it from being swept until unpin is called,
// which is when the view refers to it or nothing ever will.
func (c *Catalog) keep(ctx context.Context, zip *artifact.Package) (alcove.Code, func(), error) {
	if limit := c.cfg.CodeStorage; limit > 0 && c.view.Load().codeBytes+zip.Code().Size > limit {
		return alcove.Code{}, nil, alcove.ClientError(alcove.CodeCodeStorageExceeded, "Code storage limit exceeded.")
	}
	unpin := c.pin(zip.Code().SHA256)
	code, err := c.cfg.Artifacts.Put(ctx, zip)
	if err != nil {
		unpin()
		return alcove.Code{}, nil, fault("package", err)
	}
	return code, unpin, nil
}

// pin keeps a digest from being swept until it is released.
func (c *Catalog) pin(sha string) (unpin func()) {
	k := &c.code
	k.mu.Lock()
	k.pins[sha]++
	if k.ever != nil {
		k.ever[sha] = true
	}
	k.mu.Unlock()
	return func() {
		k.mu.Lock()
		if k.pins[sha]--; k.pins[sha] == 0 {
			delete(k.pins, sha)
		}
		k.mu.Unlock()
		k.kick() // it may be nobody's, and what it replaces too
	}
}

// fits refuses a function whose code and layers are too large together when
// they are unpacked.
func (c *Catalog) fits(v *alcove.Version) error {
	if len(v.Config.Layers) == 0 {
		return nil // the package alone was measured when it came
	}
	var total int64
	for _, code := range append(codes(v.Config.Layers), v.Code) {
		n, err := c.cfg.Artifacts.Unpacked(code)
		if err != nil {
			return fault("size of a package", err)
		}
		total += n
	}
	if total > alcove.MaxUnzipped {
		return alcove.InvalidParameter("Function code combined with layers exceeds the maximum allowed size of %d bytes. The actual size is %d bytes.", alcove.MaxUnzipped, total)
	}
	return nil
}

func codes(layers []alcove.Layer) []alcove.Code {
	list := make([]alcove.Code, len(layers))
	for i, l := range layers {
		list[i] = l.Code
	}
	return list
}

// referenced is the set of packages that the view refers to.
func (c *Catalog) referenced() map[string]bool {
	set := make(map[string]bool)
	now := c.view.Load()
	for _, o := range now.shelf {
		set[o.value.pkg()] = true
	}
	add := func(v *alcove.Version) {
		for _, sha := range v.Packages() {
			set[sha] = true
		}
	}
	for _, e := range now.functions {
		add(e.latest)
		add(e.running)
		for _, v := range e.versions {
			add(v.Version)
		}
	}
	return set
}

// sweeps removes packages that nobody refers to: what an earlier process left,
// at once, and then some time after there may be new ones. started is what was
// referred to when the catalog opened.
func (c *Catalog) sweeps(started map[string]bool) {
	// Nothing ran when the catalog opened, so packages that were nobody's then
	// and were not put since are not in use, and nobody has to be asked.
	c.sweep(func(sha string) bool {
		_, ever := c.code.pinned(sha)
		return started[sha] || ever
	})
	c.code.mu.Lock()
	c.code.ever = nil
	c.code.mu.Unlock()
	for {
		c.compact()
		select {
		case <-c.code.wake:
		case <-c.ctx.Done():
			return
		}
		select {
		case <-time.After(c.code.delay):
		case <-c.ctx.Done():
			return
		}
		inUse := false
		c.sweep(func(sha string) bool {
			used := c.cfg.CodeInUse(sha)
			inUse = inUse || used
			return used
		})
		if inUse {
			c.code.kick() // until its environments are gone
		}
	}
}

// compact has the bucket forget deletions, once they are many.
func (c *Catalog) compact() {
	if c.deletions.Load() < compactAfter {
		return
	}
	c.deletions.Store(0)
	if err := c.bucket.Compact(c.ctx, time.Hour); err != nil && c.ctx.Err() == nil {
		c.log.Warn("catalog could not be compacted", "error", err)
	}
}

// sweep removes packages that are neither pinned, nor in the view, nor kept.
func (c *Catalog) sweep(kept func(sha string) bool) {
	if c.unreadable.Load() {
		return
	}
	var of *view
	var refs map[string]bool
	err := c.cfg.Artifacts.Remove(c.ctx, func(sha string) bool {
		// In this order: a pin is released when the view has the package.
		if now, _ := c.code.pinned(sha); now {
			return true
		}
		if v := c.view.Load(); v != of {
			of, refs = v, c.referenced()
		}
		return refs[sha] || c.cfg.Pinned(sha) || kept(sha)
	})
	if err != nil && c.ctx.Err() == nil {
		c.log.Warn("packages that nobody refers to could not be removed", "error", err)
	}
}
