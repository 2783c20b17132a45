package nodeapi

import (
	"context"
	"net/http"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
)

// tenant is the tenant of the path.
func tenant(c Config, r *http.Request) (auth.Operation, error) {
	t, err := alcove.ParseTenant(r.PathValue("tenant"))
	return auth.Operation{Resource: c.arn("tenant/" + string(t)), Tenant: t}, err
}

// purgeTenant answers DELETE tenants/TENANT when everything of the tenant is off the
// node. If that takes more than one attempt it answers with the first one's error;
// the node goes on.
func (c Config) purgeTenant(r *request) (any, error) {
	t, err := alcove.ParseTenant(r.PathValue("tenant"))
	if err != nil {
		return nil, err
	}
	// The caller may go; what it asked for was begun.
	took, err := c.Purge(context.WithoutCancel(r.Context()), t)
	if err != nil {
		return nil, &alcove.Error{Fault: alcove.FaultPlatform, Code: alcove.CodeService, Err: err,
			Message: "The purge is not complete. The node goes on with it and refuses the tenant until it is; its log says what is in the way."}
	}
	return Purged{Tenant: string(t), Seconds: took.Seconds()}, nil
}

// Purged is an answer.
type Purged struct {
	Tenant  string  `json:"tenant"`
	Seconds float64 `json:"seconds"` // what it took
}
