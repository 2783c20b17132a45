package catalog

import (
	"context"
	"maps"

	"github.com/alcove-run/alcove"
)

// SetTags gives a function tags, replacing the values of those that it has, and
// takes others away; removing a tag that is not there is no error.
func (c *Catalog) SetTags(ctx context.Context, caller alcove.Caller, name string, set map[string]string, remove []string) error {
	defer c.lock(name)()
	err := c.edit(ctx, name, func(_ *entry, r *record) error {
		tags := make(map[string]string, len(r.Function.Tags)+len(set))
		maps.Copy(tags, r.Function.Tags)
		maps.Copy(tags, set)
		for _, key := range remove {
			delete(tags, key)
		}
		if len(tags) > alcove.MaxTags {
			return tooManyTags()
		}
		r.Function.Tags = tags
		return nil
	})
	if err == nil {
		c.log.Info("tags set", "function", name, "caller", caller.ARN)
	}
	return err
}

func tooManyTags() error {
	return alcove.InvalidParameter("Number of tags exceeds resource tag limit.")
}
