package catalog

import (
	"context"

	"github.com/alcove-run/alcove"
)

// minUnreserved is what AWS keeps unreserved of an account's concurrency. A
// smaller account keeps a tenth, so that it can reserve anything at all.
const minUnreserved = 100

// Unreserved is the account's concurrency less what functions have reserved.
func (c *Catalog) Unreserved() int { return int(c.unreserved.Load()) }

// Allocated is how much of the account's concurrency functions have reserved, and how
// much those without a reservation have provisioned.
func (c *Catalog) Allocated() (reserved, provisioned int) {
	v := c.view.Load()
	for _, e := range v.functions {
		if e.function.Reserved != nil {
			continue
		}
		for _, n := range e.provisioned {
			provisioned += n
		}
	}
	return v.reserved, provisioned
}

func reservedOf(e *entry) int {
	if e.function.Reserved == nil {
		return 0
	}
	return *e.function.Reserved
}

// SetReserved sets a function's reserved concurrency, or takes it away if
// reserved is nil.
func (c *Catalog) SetReserved(ctx context.Context, caller alcove.Caller, name string, reserved *int) error {
	c.reservedMu.Lock() // the sum is all functions'
	defer c.reservedMu.Unlock()
	defer c.lock(name)()
	err := c.edit(ctx, name, func(e *entry, r *record) error {
		r.Function.Reserved = nil
		if reserved == nil {
			return nil
		}
		least := min(minUnreserved, c.cfg.Concurrency/10)
		rest := c.cfg.Concurrency - (c.view.Load().reserved - reservedOf(e)) - *reserved
		// Less than before is always right, should the limit have been lowered.
		if rest < least && *reserved > reservedOf(e) {
			return alcove.InvalidParameter("Specified ReservedConcurrentExecutions for function decreases "+
				"account's UnreservedConcurrentExecution below its minimum value of [%d].", least)
		}
		n := *reserved
		r.Function.Reserved = &n
		return nil
	})
	switch {
	case err == nil && reserved == nil:
		c.log.Info("reserved concurrency taken away", "function", name, "caller", caller.ARN)
	case err == nil:
		c.log.Info("reserved concurrency set", "function", name, "reserved", *reserved, "caller", caller.ARN)
	}
	return err
}
