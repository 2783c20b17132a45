package lambdaapi

import (
	"context"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/invoke"
)

// invokeAsync is the operation that Invoke with InvocationType Event took the place
// of. It has neither tenant nor qualifier: an isolated function refuses it, as it
// refuses every call without a tenant.
func invokeAsync(a *API, ctx context.Context, caller alcove.Caller, c *call) (reply, error) {
	ref, err := a.ref(c.param("FunctionName"), "", maxNamespacedName)
	if err != nil {
		return reply{}, err
	}
	req := invoke.Request{Ref: ref, Trace: a.trace(c.request), Received: c.received, Payload: c.body}
	if err := checkPayload(&req.Payload); err != nil {
		return reply{}, err
	}
	return a.accept(ctx, caller, req)
}
