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
		var err error
		r.Function.Tags, err = Retagged(r.Function.Tags, set, remove)
		return err
	})
	if err == nil {
		c.log.Info("tags set", "function", name, "caller", caller.ARN)
	}
	return err
}

// Retagged is tags with some set and others taken away.
func Retagged(tags, set map[string]string, remove []string) (map[string]string, error) {
	next := make(map[string]string, len(tags)+len(set))
	maps.Copy(next, tags)
	maps.Copy(next, set)
	for _, key := range remove {
		delete(next, key)
	}
	if len(next) > alcove.MaxTags {
		return nil, tooManyTags()
	}
	return next, nil
}

// SetRecursiveLoop sets what becomes of a function that calls itself without end.
func (c *Catalog) SetRecursiveLoop(ctx context.Context, caller alcove.Caller, name, loop string) error {
	defer c.lock(name)()
	err := c.edit(ctx, name, func(_ *entry, r *record) error {
		r.Function.RecursiveLoop = loop
		return nil
	})
	if err == nil {
		c.log.Info("recursion config set", "function", name, "recursiveLoop", loop, "caller", caller.ARN)
	}
	return err
}

func tooManyTags() error {
	return alcove.InvalidParameter("Number of tags exceeds resource tag limit.")
}
