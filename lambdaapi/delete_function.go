package lambdaapi

import (
	"context"

	"github.com/alcove-run/alcove"
)

// deleteFunction answers 204 as the service does (recorded), though the newest
// model says 200: SDKs take any success.
func deleteFunction(a *API, ctx context.Context, caller alcove.Caller, c *call) (reply, error) {
	ref, err := a.qualified(c)
	if err != nil {
		return reply{}, err
	}
	return done(a.Catalog.Delete(ctx, caller, ref))
}
