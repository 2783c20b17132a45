package nodeapi

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/catalog"
	"github.com/alcove-run/alcove/environment"
	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/egress/policy"
)

// policies keeps them in memory.
type policies map[string]catalog.Egress

func (p policies) key(e catalog.Egress) string {
	return string(e.Scope) + e.FunctionID + string(e.Tenant)
}

func (p policies) SetEgress(_ context.Context, _ alcove.Caller, e catalog.Egress) error {
	if p[p.key(e)] = e; e.Policy == nil {
		delete(p, p.key(e))
	}
	return nil
}

func (p policies) Egress(e catalog.Egress) (*policy.Policy, bool) {
	e, ok := p[p.key(e)]
	return e.Policy, ok
}

func (p policies) Egresses() (list []*catalog.Egress) {
	for _, e := range p {
		list = append(list, &e)
	}
	return list
}

func (p policies) EgressRules(node *policy.Policy, functionID string, t alcove.Tenant) policy.Rules {
	r := policy.Rules{Node: node}
	for to, key := range map[**policy.Policy]catalog.Egress{
		&r.Node: {Scope: policy.Node}, &r.Function: {Scope: policy.Function, FunctionID: functionID}, &r.Tenant: {Scope: policy.Tenant, Tenant: t},
	} {
		if set, ok := p.Egress(key); ok {
			*to = set
		}
	}
	return r
}

func TestEgressPolicies(t *testing.T) {
	h := New(Config{
		Place:        alcove.Place{Partition: "aws", Region: "us-east-1", Account: "000000000000"},
		Authenticate: func(*http.Request, []byte) (alcove.Caller, error) { return alcove.Caller{}, nil },
		Authorize:    func(alcove.Caller, auth.Operation) (*auth.Scope, error) { return nil, nil },
		Function: func(name string) (*alcove.Function, error) {
			if name != "f" {
				return nil, alcove.ClientError(alcove.CodeResourceNotFound, "no %s", name)
			}
			return &alcove.Function{ID: "id", Name: "f"}, nil
		},
		Egress: policies{}, NodeEgress: &policy.Policy{Mode: policy.Open}, FunctionName: func(string) string { return "f" },
		OwnAddress: func(a netip.Addr) bool { return a == netip.MustParseAddr("8.7.6.5") },
		Findings: func() []sandbox.Finding {
			return []sandbox.Finding{{Name: sandbox.LinkFinding, State: sandbox.Missing, Detail: "functions reach no network: x"}}
		},
		Refusals: func(sees func(alcove.Tenant) bool) []environment.Refused {
			var list []environment.Refused
			for _, t := range []alcove.Tenant{"ann", "bob"} {
				if sees(t) {
					list = append(list, environment.Refused{Tenant: t, Function: "f", Protocol: "tcp", Destination: "10.1.2.3:80", Rule: "always: private range", Count: 3, NotLogged: 4})
				}
			}
			return list
		},
	})
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "egress", "", 200, `{"policies":[{"scope":"node","set":null,"default":{"mode":"open"}}]}`},
		{"GET", "egress/functions/f", "", 200, `{"scope":"function","function":"f","set":null}`},
		{"PUT", "egress/functions/f", `{"mode":"list","allow":["Example.com:443"]}`, 200, `"set":{"mode":"list","allow":["example.com:443"]}`},
		{"GET", "egress/functions/f", "", 200, `"allow":["example.com:443"]`},
		{"PUT", "egress/functions/f", `{"mode":"list","allow":["example.com:0"]}`, 400, `is no port`},
		{"PUT", "egress/functions/f", `{"mode":"open","private":["10.0.0.0/8"]}`, 400, `node's policy alone`},
		{"PUT", "egress/functions/f", ``, 400, `no JSON object`},
		{"PUT", "egress/functions/g", `{"mode":"open"}`, 404, alcove.CodeResourceNotFound},
		{"PUT", "egress/functions/f:1", `{"mode":"open"}`, 400, "not for a version"},
		{"GET", "egress/functions/f", "", 200, `"allow":["example.com:443"]`},
		{"PUT", "egress/tenants/ann", `{"mode":"none"}`, 200, `{"scope":"tenant","tenant":"ann","set":{"mode":"none"}}`},
		{"PUT", "egress/tenants/" + Segment(".."), `{"mode":"none"}`, 200, `{"scope":"tenant","tenant":"..","set":{"mode":"none"}}`},
		{"DELETE", "egress/tenants/" + Segment(".."), "", 200, `{"scope":"tenant","tenant":"..","set":null}`},
		{"PUT", "egress/tenants/%20", `{"mode":"none"}`, 400, alcove.CodeValidation},
		{"PUT", "egress/node", `{"mode":"none","private":["10.0.0.0/8"],"widen":true}`, 200, `"set":{"mode":"none","private":["10.0.0.0/8"],"widen":true}`},
		{"GET", "egress", "", 200, `"tenant":"ann"`},
		{"GET", "egress/effective?function=f&tenant=ann", "", 200, `"deciding":["tenant"],"private":["10.0.0.0/8"],"unavailable":"functions reach no network: x"}`},
		{"GET", "egress/effective?function=f&tenant=bob&to=example.com:443", "", 200, `"deciding":["function"],"private":["10.0.0.0/8"],"unavailable":"functions reach no network: x","check":{"to":"example.com:443","allowed":true}}`},
		{"GET", "egress/effective?function=f&to=udp://example.org:443", "", 200, `"check":{"to":"udp://example.org:443","allowed":false,"rule":"function: not in the list"}`},
		{"GET", "egress/effective?function=f&to=8.7.6.5:443", "", 200, `"rule":"always: the node's own address"`},
		{"GET", "egress/effective?function=f&to=[::ffff:169.254.169.254]:80", "", 200, `"rule":"always: cloud metadata"`},
		{"GET", "egress/effective?function=f&to=*.example.com:443", "", 400, "no single destination"},
		{"GET", "egress/effective?function=f&to=10.0.0.0/8:443", "", 400, "no single destination"},
		{"GET", "egress/effective?function=f&to=example.com", "", 400, "no single destination"},
		{"GET", "egress/effective?tenant=ann", "", 400, "function=NAME"},
		{"GET", "egress/effective?function=g", "", 404, alcove.CodeResourceNotFound},
		{"GET", "egress/effective?function=f&tenant=%20", "", 400, alcove.CodeValidation},
		{"GET", "egress/refusals?tenant=bob", "", 200, `{"refusals":[{"tenant":"bob","function":"f","protocol":"tcp","destination":"10.1.2.3:80","rule":"always: private range",`},
		{"GET", "egress/refusals?limit=1", "", 200, `"tenant":"ann"`},
		{"GET", "egress/refusals?function=g", "", 200, `{"refusals":[]}`},
		{"GET", "egress/refusals?limit=0", "", 400, "limit has to be"},
		{"DELETE", "egress/tenants/ann", "", 200, `"set":null`},
		{"DELETE", "egress/functions/f", "", 200, `"set":null`},
		{"GET", "egress/functions/f", "", 200, `"set":null`},
	} {
		status, body := ask(h, c.method, c.path, c.body, "")
		if status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s %s %s: %d %s, want %d with %s", c.method, c.path, c.body, status, body, c.status, c.want)
		}
	}
}
