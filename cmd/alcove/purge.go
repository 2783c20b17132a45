package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/purge"
)

// purgeDir is the purges' below the data directory.
const purgeDir = "purge"

// openPurges goes on with the purges that are not complete. Everybody who owns bytes
// of tenants is in its list.
func (n *node) openPurges(context.Context) (err error) {
	n.purges, err = purge.Open(purge.Config{
		Dir: n.path(purgeDir), Hold: n.invoker.Hold, Log: n.log,
		Owners: []purge.Owner{
			{Name: "environments", Purge: n.purgeInvocations},
			// What was cut off is in the queue again.
			{Name: "events", Purge: n.events.PurgeTenant},
			// After the last report, and before reports go.
			{Name: "ledger", Purge: n.ledger.PurgeTenant},
			{Name: "metrics", Purge: n.purgeMetrics},
			{Name: "refusals", Purge: func(_ context.Context, t alcove.Tenant) error { n.refusals.Forget(t); return nil }},
			{Name: "telemetry", Purge: func(_ context.Context, t alcove.Tenant) error { n.telemetry.Forget(t); return nil }},
			{Name: "logs", Purge: n.logs.PurgeTenant},
			// What was read of the logs until then.
			{Name: "queries", Purge: n.queries.PurgeTenant},
			{Name: "journal", Purge: n.purgeJournal},
		},
	})
	if err != nil {
		return err
	}
	n.opened(closes(n.purges))
	return nil
}

// purgeLook is how often it is looked whether a tenant's invocations have ended.
const purgeLook = 20 * time.Millisecond

// purgeInvocations ends a tenant's invocations and environments. Invocations that
// were admitted before the tenant was held may still come to the pool, and of a node
// that was killed the tenant may have a frozen sandbox with its memory and its /tmp.
// What cannot be removed of that is an error: others' purges have their turn then.
func (n *node) purgeInvocations(ctx context.Context, tenant alcove.Tenant) error {
	for {
		last := n.invoker.UnderWay(tenant) == 0
		if err := n.pool.PurgeTenant(ctx, tenant); err != nil {
			return err
		}
		if last {
			return n.swept(ctx)
		}
		select {
		case <-time.After(purgeLook):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// purgeMetrics takes out a tenant's series and its counters.
func (n *node) purgeMetrics(ctx context.Context, tenant alcove.Tenant) error {
	n.counters.Forget(tenant)
	return n.metrics.PurgeTenant(ctx, tenant)
}

// purgeJournal takes a tenant's reports out of the journal: the ledger has what stays
// of them.
func (n *node) purgeJournal(_ context.Context, tenant alcove.Tenant) error {
	_, err := n.journal.Erase(func(payload []byte) bool {
		var r struct {
			Tenant alcove.Tenant `json:"tenant"`
		}
		// What is no report is nobody's.
		return json.Unmarshal(payload, &r) == nil && r.Tenant == tenant
	})
	return err
}
