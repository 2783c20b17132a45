package nodeapi

import (
	"context"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/catalog"
	"github.com/alcove-run/alcove/sandbox/egress/policy"
)

// EgressPolicies are where policies of what may be reached are kept.
type EgressPolicies interface {
	SetEgress(ctx context.Context, caller alcove.Caller, e catalog.Egress) error
	Egress(e catalog.Egress) (*policy.Policy, bool)
	Egresses() []*catalog.Egress
}

// Egress is a policy in an answer.
type Egress struct {
	Scope    policy.Scope `json:"scope"`
	Function string       `json:"function,omitempty"`
	Tenant   string       `json:"tenant,omitempty"`
	// Set is what was set, or null: then the scopes that are less specific count.
	Set *policy.Policy `json:"set"`
	// Default is, of the node, what counts if nothing was set.
	Default *policy.Policy `json:"default,omitempty"`
}

// egressOf is whose policy a request is about.
type egressOf func(c Config, r *request) (catalog.Egress, Egress, error)

func nodeEgress(c Config, _ *request) (catalog.Egress, Egress, error) {
	return catalog.Egress{Scope: policy.Node}, Egress{Scope: policy.Node, Default: c.NodeEgress}, nil
}

func functionEgress(c Config, r *request) (catalog.Egress, Egress, error) {
	ref, err := c.Place.ParseRef(r.PathValue("name"), "")
	if err == nil && ref.Qualifier != "" {
		err = alcove.InvalidParameter("An egress policy is set for a function, not for a version or an alias.")
	}
	if err != nil {
		return catalog.Egress{}, Egress{}, err
	}
	f, err := c.Function(ref.Name)
	if err != nil {
		return catalog.Egress{}, Egress{}, err
	}
	return catalog.Egress{Scope: policy.Function, FunctionID: f.ID}, Egress{Scope: policy.Function, Function: f.Name}, nil
}

func tenantEgress(_ Config, r *request) (catalog.Egress, Egress, error) {
	t, err := alcove.ParseTenant(r.PathValue("tenant"))
	return catalog.Egress{Scope: policy.Tenant, Tenant: t}, Egress{Scope: policy.Tenant, Tenant: string(t)}, err
}

// getEgress answers GET with the policy as it is then, as the others do.
func getEgress(of egressOf) func(Config, *request) (any, error) {
	return func(c Config, r *request) (any, error) {
		key, answer, err := of(c, r)
		if err == nil {
			answer.Set, _ = c.Egress.Egress(key)
		}
		return answer, err
	}
}

// putEgress answers PUT with a policy.
func putEgress(of egressOf) func(Config, *request) (any, error) {
	return func(c Config, r *request) (any, error) {
		key, answer, err := of(c, r)
		if err != nil {
			return nil, err
		}
		if key.Policy, err = policy.Parse(r.body, key.Scope); err != nil {
			return nil, alcove.InvalidParameter("The egress policy is not valid: %v.", err)
		}
		answer.Set = key.Policy
		return answer, c.Egress.SetEgress(r.Context(), r.caller, key)
	}
}

// deleteEgress answers DELETE: the scopes that are less specific count again.
func deleteEgress(of egressOf) func(Config, *request) (any, error) {
	return func(c Config, r *request) (any, error) {
		key, answer, err := of(c, r)
		if err != nil {
			return nil, err
		}
		return answer, c.Egress.SetEgress(r.Context(), r.caller, key)
	}
}

// listEgress answers GET egress with every policy that was set, the node's first.
func (c Config) listEgress(r *request) (any, error) {
	key, node, err := nodeEgress(c, r)
	if err != nil {
		return nil, err
	}
	node.Set, _ = c.Egress.Egress(key)
	list := []Egress{node}
	for _, e := range c.Egress.Egresses() {
		switch e.Scope {
		case policy.Function:
			list = append(list, Egress{Scope: e.Scope, Function: c.FunctionName(e.FunctionID), Set: e.Policy})
		case policy.Tenant:
			list = append(list, Egress{Scope: e.Scope, Tenant: string(e.Tenant), Set: e.Policy})
		}
	}
	return map[string]any{"policies": list}, nil
}
