package catalog

import (
	"context"

	"github.com/alcove-run/alcove"
)

// SetStock sets how many environments of a function's versions wait for tenants
// that nobody knows yet, or leaves that to the node again if s is nil.
func (c *Catalog) SetStock(ctx context.Context, caller alcove.Caller, name string, s *alcove.Stock) error {
	defer c.lock(name)()
	err := c.edit(ctx, name, func(_ *entry, r *record) error {
		r.Function.Stock = nil
		if s == nil {
			return nil
		}
		if err := s.Check(&r.Latest); err != nil {
			return err
		}
		own := s.Clone()
		r.Function.Stock = &own
		return nil
	})
	if err == nil {
		c.log.Info("stock set", "function", name, "stock", s, "caller", caller.ARN)
	}
	return err
}
