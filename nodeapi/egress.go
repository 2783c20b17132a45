package nodeapi

import (
	"context"
	"strconv"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/catalog"
	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/egress/policy"
)

// EgressPolicies are where policies of what may be reached are kept.
type EgressPolicies interface {
	SetEgress(ctx context.Context, caller alcove.Caller, e catalog.Egress) error
	Egress(e catalog.Egress) (*policy.Policy, bool)
	Egresses() []*catalog.Egress
	EgressRules(node *policy.Policy, functionID string, t alcove.Tenant) policy.Rules
}

// Egress is a policy in an answer.
type Egress struct {
	Scope    policy.Scope `json:"scope"`
	Function string       `json:"function,omitempty"`
	Tenant   string       `json:"tenant,omitempty"`
	// LastModified is when it was set.
	LastModified *time.Time `json:"lastModified,omitempty"`
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
	return c.egressOfFunction(r.PathValue("name"))
}

func (c Config) egressOfFunction(name string) (catalog.Egress, Egress, error) {
	ref, err := c.Place.ParseRef(name, "")
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
	_, node, err := nodeEgress(c, r)
	if err != nil {
		return nil, err
	}
	list := []Egress{node}
	for _, e := range c.Egress.Egresses() {
		one := Egress{Scope: e.Scope, Set: e.Policy, LastModified: &e.LastModified}
		switch e.Scope {
		case policy.Node:
			list[0].Set, list[0].LastModified = one.Set, one.LastModified
			continue
		case policy.Function:
			one.Function = c.FunctionName(e.FunctionID)
		case policy.Tenant:
			one.Tenant = string(e.Tenant)
		}
		list = append(list, one)
	}
	return map[string]any{"policies": list}, nil
}

// Effective is what holds for environments of a function that are a tenant's.
type Effective struct {
	Function string `json:"function"`
	Tenant   string `json:"tenant,omitempty"`
	// Policies are those that speak about it: the node's, which there always is, the
	// function's, and the tenant's.
	Policies []Egress `json:"policies"`
	// Deciding are the scopes whose policies have to allow a destination, each of
	// them, in the order in which they are asked. The others do not count.
	Deciding []policy.Scope `json:"deciding"`
	// Private are the exceptions from what nobody reaches, which are the node's.
	Private []policy.Rule `json:"private"`
	// Unavailable is why there is no network at all on this node, if there is none.
	Unavailable string `json:"unavailable,omitempty"`
	// Check is what becomes of one destination, where it was asked for.
	Check *EgressCheck `json:"check,omitempty"`
}

// EgressCheck is what becomes of a destination.
type EgressCheck struct {
	To      string `json:"to"`
	Allowed bool   `json:"allowed"`
	// Rule is what refuses it. A name that is allowed may still lead to an address
	// that nobody reaches: names are not looked up for this.
	Rule string `json:"rule,omitempty"`
}

// effectiveEgress answers GET egress/effective?function=F[&tenant=T][&to=DESTINATION]
// with the policies that hold for it and which of them decide; and whether they
// allow a destination, [tcp://|udp://]NAME:PORT or ADDRESS:PORT.
func (c Config) effectiveEgress(r *request) (any, error) {
	q := r.URL.Query()
	if q.Get("function") == "" {
		return nil, alcove.InvalidParameter("Give the function, as function=NAME.")
	}
	key, of, err := c.egressOfFunction(q.Get("function"))
	if err != nil {
		return nil, err
	}
	var t alcove.Tenant
	if q.Has("tenant") {
		if t, err = alcove.ParseTenant(q.Get("tenant")); err != nil {
			return nil, err
		}
	}
	rules := c.Egress.EgressRules(c.NodeEgress, key.FunctionID, t)
	_, node, err := nodeEgress(c, r)
	if err != nil {
		return nil, err
	}
	node.Set, _ = c.Egress.Egress(catalog.Egress{Scope: policy.Node})
	of.Set = rules.Function
	answer := Effective{Function: of.Function, Tenant: string(t), Policies: []Egress{node, of}, Deciding: rules.Deciding(), Private: []policy.Rule{}}
	if t != "" {
		answer.Policies = append(answer.Policies, Egress{Scope: policy.Tenant, Tenant: string(t), Set: rules.Tenant})
	}
	if rules.Node != nil {
		answer.Private = append(answer.Private, rules.Node.Private...)
	}
	for _, f := range c.Findings() {
		if f.Name == sandbox.LinkFinding && f.State == sandbox.Missing {
			answer.Unavailable = f.Detail
		}
	}
	if q.Has("to") {
		answer.Check, err = c.checkEgress(rules, q.Get("to"))
	}
	return answer, err
}

// checkEgress says what becomes of a destination, which is a rule that names one.
func (c Config) checkEgress(rules policy.Rules, text string) (*EgressCheck, error) {
	to, err := policy.ParseRule(text)
	switch {
	case err != nil:
		return nil, alcove.InvalidParameter("to is no destination: %v.", err)
	case to.Below || to.Name == "" && !to.Prefix.IsSingleIP() || to.First == 0 || to.First != to.Last:
		return nil, alcove.InvalidParameter("to is no single destination: give NAME:PORT or ADDRESS:PORT, as tcp://example.com:443.")
	}
	proto := to.Proto
	if proto == 0 {
		proto = policy.TCP
	}
	var v policy.Verdict
	if to.Name != "" {
		v = rules.DialName(proto, to.Name, to.First)
	} else {
		a := to.Prefix.Addr()
		v = rules.Dial(policy.Dial{Proto: proto, Addr: a, Port: to.First, Own: c.OwnAddress(a)})
	}
	return &EgressCheck{To: to.String(), Allowed: v.OK, Rule: v.Rule}, nil
}

// EgressRefusal is something that environments wanted and did not get, of late.
type EgressRefusal struct {
	Tenant      string    `json:"tenant,omitempty"`
	Function    string    `json:"function"`
	Protocol    string    `json:"protocol"`
	Destination string    `json:"destination"`
	Rule        string    `json:"rule"`
	First       time.Time `json:"first"`
	Last        time.Time `json:"last"`
	Count       int64     `json:"count"`
	// NotLogged are further refusals, of whatever, that came too quickly to be told
	// one by one.
	NotLogged int64 `json:"notLogged,omitempty"`
}

// Bounds of an answer with refusals.
const defaultRefusals, maxRefusals = 100, 1000

// egressRefusals answers GET egress/refusals[?tenant=T][&function=F][&limit=N] with
// what was refused since the node started, the last first, as far as it is
// remembered. The logs have all records.
func (c Config) egressRefusals(r *request) (any, error) {
	q := r.URL.Query()
	limit := defaultRefusals
	if q.Has("limit") {
		n, err := strconv.Atoi(q.Get("limit"))
		if err != nil || n < 1 || n > maxRefusals {
			return nil, alcove.InvalidParameter("limit has to be a number from 1 to %d.", maxRefusals)
		}
		limit = n
	}
	name := ""
	if f := q.Get("function"); f != "" {
		ref, err := c.Place.ParseRef(f, "")
		if err != nil {
			return nil, err
		}
		name = ref.Name
	}
	list := []EgressRefusal{}
	for _, e := range c.Refusals(func(t alcove.Tenant) bool {
		return r.scope.Sees(t) && (!q.Has("tenant") || string(t) == q.Get("tenant"))
	}) {
		if name != "" && e.Function != name || len(list) == limit {
			continue
		}
		list = append(list, EgressRefusal{Tenant: string(e.Tenant), Function: e.Function, Protocol: e.Protocol, Destination: e.Destination, Rule: e.Rule,
			First: e.First, Last: e.Last, Count: e.Count, NotLogged: e.NotLogged})
	}
	return map[string]any{"refusals": list}, nil
}
