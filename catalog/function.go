package catalog

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/artifact"
	"github.com/alcove-run/alcove/sandbox/egress/policy"
	"github.com/alcove-run/alcove/store"
)

// CreateInput is a function to make. Its form has been checked.
type CreateInput struct {
	Name    string
	Config  alcove.Config
	Zip     *artifact.Package
	Image   string // name of a container image, instead of Zip
	Tags    map[string]string
	Publish bool   // make version 1 as well
	Signing string // id of a code signing configuration, or empty
}

// Create makes a function and answers its $LATEST, or its version 1 if it is to
// be published, in the state Pending; it becomes Active in the background. A
// name that is taken is a ResourceConflictException.
func (c *Catalog) Create(ctx context.Context, caller alcove.Caller, in CreateInput) (*alcove.Version, error) {
	if c.view.Load().functions[in.Name] != nil {
		return nil, exists(in.Name)
	}
	if len(in.Tags) > alcove.MaxTags {
		return nil, tooManyTags()
	}
	if in.Signing != "" {
		c.signingMu.Lock()
		defer c.signingMu.Unlock()
		if err := cmp.Or(c.hasSigning(in.Signing), c.trusts(in.Signing)); err != nil {
			return nil, err
		}
	}
	code, unpin, err := c.keepCode(ctx, in.Zip, in.Image)
	if err != nil {
		return nil, err
	}
	defer unpin()
	defer c.lock(in.Name)()

	now := c.cfg.Now()
	r := &record{Schema: recordSchema, Generation: 1}
	r.Function = alcove.Function{ID: uuid.NewString(), Name: in.Name, Tags: maps.Clone(in.Tags), Signing: in.Signing, Created: now}
	r.Latest = alcove.Version{FunctionID: r.Function.ID, Name: in.Name, ARN: c.cfg.Place.FunctionARN(in.Name),
		Number: alcove.Latest, Generation: 1, RevisionID: newRevision(), Config: cloneConfig(in.Config), Code: code,
		State: alcove.StatePending, StateReason: creatingReason, StateReasonCode: creatingCode, LastModified: now}
	if err := c.fits(&r.Latest); err != nil {
		return nil, err
	}
	if in.Publish {
		if err := c.publish(ctx, r, nil); err != nil {
			return nil, err
		}
	}
	if err := c.writeNew(ctx, r); err != nil {
		return nil, err
	}
	c.drive(&r.Latest)
	c.log.Info("function created", "function", in.Name, "id", r.Function.ID, "caller", caller.ARN)
	// As they were made: they may be Active by now, which AWS never answers.
	if in.Publish {
		return r.publishedNow, nil
	}
	return &r.Latest, nil
}

// writeNew writes the record of a function that must not be there.
func (c *Catalog) writeNew(ctx context.Context, r *record) error {
	ctx, cancel := c.writing(ctx)
	defer cancel()
	b, err := json.Marshal(r)
	if err != nil {
		return fault("write of "+r.Function.Name, err)
	}
	revision, err := c.bucket.Create(ctx, functionKey(r.Function.Name), b)
	switch {
	case errors.Is(err, store.ErrExists):
		return exists(r.Function.Name)
	case err != nil:
		return fault("write of "+r.Function.Name, err)
	}
	return c.awaitFunction(ctx, r.Function.Name, revision)
}

func exists(name string) error {
	return alcove.ClientError(alcove.CodeResourceConflict, "Function already exist: %s", name)
}

// Delete removes a function, or the published version that ref is qualified
// with; a version that is not there counts as removed, as on AWS.
func (c *Catalog) Delete(ctx context.Context, caller alcove.Caller, ref alcove.Ref) error {
	if ref.Qualifier == alcove.Latest {
		return alcove.InvalidParameter("$LATEST version cannot be deleted without deleting the function.")
	}
	if ref.Qualifier != "" && !digits(ref.Qualifier) {
		return alcove.InvalidParameter("Deletion of aliases is not currently supported.")
	}
	e, err := c.remove(ctx, ref)
	if err != nil || e == nil {
		return err
	}
	if ref.Qualifier == "" {
		// It is by the function's UUID, which nothing will have again. It has a lock
		// of its own, which may be the one that remove had.
		if err := c.SetEgress(ctx, caller, Egress{Scope: policy.Function, FunctionID: e.function.ID}); err != nil {
			c.log.Warn("a deleted function's egress policy is left behind", "function", ref.Name, "id", e.function.ID, "error", err)
		}
	}
	c.log.Info("function deleted", "function", ref.Name, "id", e.function.ID, "qualifier", ref.Qualifier, "caller", caller.ARN)
	return nil
}

// remove is Delete of what is the function's own. It gives what there was, or nil
// if there was no such version.
func (c *Catalog) remove(ctx context.Context, ref alcove.Ref) (*entry, error) {
	defer c.lock(ref.Name)()
	e, err := c.entryOf(ref.Name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := c.writing(ctx)
	defer cancel()
	numbers := e.numbers
	if ref.Qualifier != "" {
		if _, ok := e.versions[ref.Qualifier]; !ok {
			return nil, nil
		}
		if names := e.record.pointing(ref.Qualifier); names != nil {
			return nil, alcove.ClientError(alcove.CodeResourceConflict,
				"The version %s of function %s cannot be deleted: these aliases refer to it: %s", ref.Qualifier, ref.Name, strings.Join(names, ", "))
		}
		if _, has := e.record.Qualified[ref.Qualifier]; has {
			if err := c.edit(ctx, ref.Name, func(_ *entry, r *record) error { r.forget(ref.Qualifier); return nil }); err != nil {
				return nil, err
			}
			e = c.view.Load().functions[ref.Name] // edit has waited for it
		}
		numbers = []string{ref.Qualifier}
	} else {
		// The function first: once it is gone its versions are nobody's, and what
		// a crash leaves of them the next start removes.
		if err := c.removeKey(ctx, functionKey(ref.Name), e.revision); err != nil {
			return nil, err
		}
	}
	for _, n := range numbers {
		if err := c.removeKey(ctx, versionKey(e.function.ID, n), e.versions[n].revision); err != nil {
			return nil, err
		}
	}
	err = c.waiting.wait(ctx, c, func() bool {
		now := c.view.Load().functions[ref.Name]
		if now == nil || now.function.ID != e.function.ID {
			return true
		}
		_, there := now.versions[ref.Qualifier]
		return ref.Qualifier != "" && !there
	})
	if err != nil {
		return nil, fault("reading "+ref.Name+" back", err)
	}
	c.deletions.Add(int64(len(numbers)) + 1)
	c.code.kick()
	return e, nil
}

// removeKey deletes a key at a revision, or at a later one if it moved on: its
// state may have settled meanwhile, which changes nothing about its end.
func (c *Catalog) removeKey(ctx context.Context, key string, revision uint64) error {
	err := c.bucket.Delete(ctx, key, revision)
	if errors.Is(err, store.ErrConflict) {
		err = c.bucket.Delete(ctx, key, 0)
	}
	if err != nil {
		return fault("removal of "+key, err)
	}
	return nil
}

// removeOrphans removes what findOrphans found, unless it was written again.
func (c *Catalog) removeOrphans(orphans []store.Entry) {
	for _, o := range orphans {
		if c.ctx.Err() != nil {
			return
		}
		err := c.bucket.Delete(c.ctx, o.Key, o.Revision)
		if err != nil && !errors.Is(err, store.ErrConflict) && c.ctx.Err() == nil {
			c.log.Warn("record that nobody refers to could not be removed", "key", o.Key, "error", err)
		}
	}
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// nextNumber is the number that the next published version gets.
func (r *record) nextNumber() string { return strconv.Itoa(r.Function.LastVersion + 1) }
