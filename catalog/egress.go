package catalog

import (
	"context"
	"encoding/base32"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/sandbox/egress/policy"
)

const egressPrefix = "egress/"

// Egress is a policy of what may be reached from environments: the node's, a
// function's or a tenant's.
type Egress struct {
	Scope policy.Scope `json:"scope"`
	// FunctionID is the function's, Tenant the tenant's, whose it is.
	FunctionID   string         `json:"functionId,omitempty"`
	Tenant       alcove.Tenant  `json:"tenant,omitempty"`
	Policy       *policy.Policy `json:"policy"`
	LastModified time.Time      `json:"lastModified"`
}

func (e *Egress) codeBytes() int64 { return 0 }
func (e *Egress) pkg() string      { return "" }

// decodeEgress makes of what it does not understand a policy that allows nothing: a
// policy that is not understood must not be one that is not there.
func decodeEgress(b []byte) (object, error) {
	e := &Egress{}
	err := json.Unmarshal(b, e)
	if err == nil && e.Policy == nil {
		err = errors.New("no policy")
	}
	if err == nil {
		err = e.Policy.Check(e.Scope)
	}
	if err != nil {
		e.Policy = &policy.Policy{Mode: policy.None}
	}
	return e, nil
}

// tenantKey has no byte that the store does not take.
var tenantKey = base32.HexEncoding.WithPadding(base32.NoPadding)

func (e *Egress) key() string {
	switch e.Scope {
	case policy.Function:
		return egressPrefix + "function/" + e.FunctionID
	case policy.Tenant:
		return egressPrefix + "tenant/" + strings.ToLower(tenantKey.EncodeToString([]byte(e.Tenant)))
	}
	return egressPrefix + "node"
}

// SetEgress sets the policy of what e names, or takes it away if e.Policy is nil.
func (c *Catalog) SetEgress(ctx context.Context, caller alcove.Caller, e Egress) error {
	if e.Policy != nil {
		if err := e.Policy.Check(e.Scope); err != nil {
			return alcove.InvalidParameter("The egress policy is not valid: %v.", err)
		}
		e.Policy = e.Policy.Clone()
	}
	e.LastModified = c.cfg.Now()
	err := editObject(ctx, c, e.key(), func(*Egress) (*Egress, error) {
		if e.Policy == nil {
			return nil, nil
		}
		return &e, nil
	})
	if err == nil {
		c.log.Info("egress policy set", "scope", e.Scope, "function", e.FunctionID, "tenant", e.Tenant, "removed", e.Policy == nil, "caller", caller.ARN)
	}
	return err
}

// Egress gives the policy of what e names; it is shared: it must not be changed.
func (c *Catalog) Egress(e Egress) (*policy.Policy, bool) {
	if o, ok := get[*Egress](c, e.key()); ok {
		return o.Policy, true
	}
	return nil, false
}

// Egresses gives all policies: the node's, functions', tenants'.
func (c *Catalog) Egresses() []*Egress {
	list := all[*Egress](c, egressPrefix)
	slices.SortStableFunc(list, func(a, b *Egress) int { return strings.Compare(string(a.Tenant), string(b.Tenant)) })
	return list
}

// EgressRules are the policies that hold for environments of a function that are a
// tenant's, or nobody's. They are read from memory. The node's is as it is given if
// none is set.
func (c *Catalog) EgressRules(node *policy.Policy, functionID string, t alcove.Tenant) policy.Rules {
	r := policy.Rules{Node: node}
	if p, ok := c.Egress(Egress{Scope: policy.Node}); ok {
		r.Node = p
	}
	if p, ok := c.Egress(Egress{Scope: policy.Function, FunctionID: functionID}); ok {
		r.Function = p
	}
	if t != "" {
		if p, ok := c.Egress(Egress{Scope: policy.Tenant, Tenant: t}); ok {
			r.Tenant = p
		}
	}
	return r
}

// OnEgress has f called after each change of a policy, by the goroutine that
// follows the store: it must not block.
func (c *Catalog) OnEgress(f func()) { c.onEgress.Store(&f) }

// egressChanged calls it.
func (c *Catalog) egressChanged(key string) {
	if !strings.HasPrefix(key, egressPrefix) {
		return
	}
	if f := c.onEgress.Load(); f != nil {
		(*f)()
	}
}
