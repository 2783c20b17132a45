package catalog

import (
	"context"

	"github.com/alcove-run/alcove"
)

// SetRuntimeManagement says when the runtime of $LATEST or of a published
// version may be updated.
func (c *Catalog) SetRuntimeManagement(ctx context.Context, caller alcove.Caller, ref alcove.Ref, set alcove.RuntimeManagement) error {
	err := c.editQualified(ctx, ref, func(_ *entry, r *record, key, _ string) error {
		r.setQualified(key, func(q *qualified) { q.RuntimeManagement = set })
		return nil
	})
	if err == nil {
		c.log.Info("runtime management config set", "function", ref.Name, "qualifier", ref.Qualifier, "updateOn", set.UpdateOn, "caller", caller.ARN)
	}
	return err
}

// RuntimeManagement gives what was set, or Auto.
func (c *Catalog) RuntimeManagement(ref alcove.Ref) (alcove.RuntimeManagement, error) {
	e, err := c.entryOf(ref.Name)
	if err != nil {
		return alcove.RuntimeManagement{}, err
	}
	if set := e.record.Qualified[keyOf(ref)].RuntimeManagement; set.UpdateOn != "" {
		return set, nil
	}
	return alcove.RuntimeManagement{UpdateOn: "Auto"}, nil
}
