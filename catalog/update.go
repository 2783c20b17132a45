package catalog

import (
	"context"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/artifact"
)

// UpdateCodeInput is another package for a function.
type UpdateCodeInput struct {
	Zip             *artifact.Package
	Image           string // name of a container image, instead of Zip
	Architecture    string // empty: as before
	Publish, DryRun bool
	RevisionID      string // empty, or the revision that $LATEST has to be at
}

// suits refuses code of another kind than the function's.
func (in *UpdateCodeInput) suits(v *alcove.Version) error {
	switch {
	case v.FromImage() && in.Image == "":
		return alcove.InvalidParameter("Please provide ImageUri when updating a function with packageType Image.")
	case !v.FromImage() && in.Image != "":
		return alcove.InvalidParameter("Please don't provide ImageUri when updating a function with packageType Zip.")
	}
	return nil
}

// UpdateCode gives $LATEST another package and answers it with the update in
// progress, or the version that is published of it. A dry run checks everything
// and changes nothing.
func (c *Catalog) UpdateCode(ctx context.Context, caller alcove.Caller, name string, in UpdateCodeInput) (*alcove.Version, error) {
	ready := func(r *record) error {
		if err := r.free(); err != nil {
			return err
		}
		if err := in.suits(&r.Latest); err != nil {
			return err
		}
		if err := c.trusts(r.Function.Signing); err != nil {
			return err
		}
		return r.checkRevision(in.RevisionID)
	}
	// Before the package is unpacked, which takes long, and again after it.
	e, err := c.entryOf(name)
	if err != nil {
		return nil, err
	}
	if err := ready(e.record); err != nil {
		return nil, err
	}
	code, unpin, err := c.keepCode(ctx, in.Zip, in.Image)
	if err != nil {
		return nil, err
	}
	defer unpin()
	set := func(v *alcove.Version) error {
		v.Code = code
		if in.Architecture != "" {
			v.Config.Architecture = in.Architecture
		}
		return nil
	}
	if in.DryRun {
		v := *e.latest
		if err := set(&v); err != nil {
			return nil, err
		}
		return &v, c.fits(&v)
	}
	defer c.lock(name)()
	var answer *alcove.Version
	err = c.edit(ctx, name, func(e *entry, r *record) error {
		if err := ready(r); err != nil {
			return err
		}
		if err := r.begin(c, set); err != nil {
			return err
		}
		answer = &r.Latest
		if !in.Publish {
			return nil
		}
		if v, ok := r.unchanged(e); ok {
			answer = v
			return nil
		}
		if err := c.publish(ctx, r, nil); err != nil {
			return err
		}
		answer = r.publishedNow
		return nil
	})
	if err != nil {
		return nil, err
	}
	return c.updated(caller, name, "code", answer), nil
}

// UpdateConfiguration changes $LATEST's configuration by change and answers it
// with the update in progress. revisionID is empty or the revision that it has
// to be at. change may be called more than once, and must not write to the catalog.
func (c *Catalog) UpdateConfiguration(ctx context.Context, caller alcove.Caller, name, revisionID string,
	change func(*alcove.Config) error) (*alcove.Version, error) {
	defer c.lock(name)()
	var answer *alcove.Version
	err := c.edit(ctx, name, func(_ *entry, r *record) error {
		if err := r.free(); err != nil {
			return err
		}
		if err := r.checkRevision(revisionID); err != nil {
			return err
		}
		tenancy := r.Latest.Config.Tenancy
		err := r.begin(c, func(v *alcove.Version) error {
			if err := change(&v.Config); err != nil {
				return err
			}
			if v.Config.Tenancy != tenancy {
				return alcove.InvalidParameter("The tenancy configuration of a function cannot be changed.")
			}
			return nil
		})
		answer = &r.Latest
		return err
	})
	if err != nil {
		return nil, err
	}
	return c.updated(caller, name, "configuration", answer), nil
}

// updated finishes an update that was written.
func (c *Catalog) updated(caller alcove.Caller, name, what string, v *alcove.Version) *alcove.Version {
	c.drive(v)
	c.log.Info("function updated", "function", name, "id", v.FunctionID, "what", what, "version", v.Number, "caller", caller.ARN)
	return v
}
