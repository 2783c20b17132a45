package catalog

import (
	"context"

	"github.com/alcove-run/alcove"
)

// PublishInput says how a version is published.
type PublishInput struct {
	Description *string // nil: $LATEST's
	CodeSHA256  string  // base64, as the client sends it; empty, or what $LATEST has to have
	RevisionID  string  // empty, or the revision that $LATEST has to be at
}

// Publish makes a version of $LATEST as it is, and answers it. If $LATEST is as
// it was when a version was published last, that version is the answer.
func (c *Catalog) Publish(ctx context.Context, caller alcove.Caller, name string, in PublishInput) (*alcove.Version, error) {
	defer c.lock(name)()
	var answer *alcove.Version
	err := c.edit(ctx, name, func(e *entry, r *record) error {
		if err := r.free(); err != nil {
			return err
		}
		if err := r.checkRevision(in.RevisionID); err != nil {
			return err
		}
		if has := r.Latest.Code.Digest(); in.CodeSHA256 != "" && in.CodeSHA256 != has {
			return alcove.InvalidParameter("CodeSHA256 (%s) is different from current CodeSHA256 in $LATEST (%s). "+
				"Please try again with the CodeSHA256 in $LATEST.", in.CodeSHA256, has)
		}
		if r.Latest.State != alcove.StateActive {
			return inState(r.Latest.State)
		}
		if r.Latest.Update == alcove.UpdateFailed {
			return alcove.ClientError(alcove.CodeResourceConflict,
				"The operation cannot be performed at this time. The last update failed for resource: %s", r.Latest.ARN)
		}
		if v, ok := r.unchanged(e); ok {
			answer = v
			return errUnchanged
		}
		if err := c.publish(ctx, r, in.Description); err != nil {
			return err
		}
		// Publishing makes a revision of $LATEST too (recorded).
		r.Latest.RevisionID = newRevision()
		answer = r.publishedNow
		return nil
	})
	if err == errUnchanged {
		return answer, nil
	}
	if err != nil {
		return nil, err
	}
	c.log.Info("version published", "function", name, "id", answer.FunctionID, "version", answer.Number, "caller", caller.ARN)
	return answer, nil
}

// errUnchanged ends an edit that has nothing to write.
var errUnchanged = alcove.InvalidParameter("unchanged")

// unchanged gives the version that was published last, if it is there and
// $LATEST is still what it was made of.
func (r *record) unchanged(e *entry) (*alcove.Version, bool) {
	v, ok := e.versions[r.Published.Number]
	return v.Version, ok && r.Published.Description == r.Latest.Config.Description && runsAlike(v.Version, &r.Latest)
}

// publish writes the record of a new version of r.Latest and counts it in r,
// which is yet to be written. A version of a $LATEST that is pending is pending.
func (c *Catalog) publish(ctx context.Context, r *record, description *string) error {
	v := r.Latest
	v.Config = cloneConfig(v.Config)
	v.Number, v.RevisionID, v.LastModified = r.nextNumber(), newRevision(), c.cfg.Now()
	if description != nil {
		v.Config.Description = *description
	}
	if r.pending() {
		v.State, v.StateReason, v.StateReasonCode = alcove.StatePending, creatingReason, creatingCode
		v.Update, v.UpdateReason, v.UpdateReasonCode = "", "", ""
	}
	if err := c.putVersion(ctx, &v); err != nil {
		return err
	}
	r.Function.LastVersion++
	r.Published.Number, r.Published.Description = v.Number, r.Latest.Config.Description
	r.publishedNow = &v
	return nil
}
