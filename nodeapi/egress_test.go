package nodeapi

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/catalog"
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
		{"PUT", "egress/tenants/%20", `{"mode":"none"}`, 400, alcove.CodeValidation},
		{"PUT", "egress/node", `{"mode":"none","private":["10.0.0.0/8"],"widen":true}`, 200, `"set":{"mode":"none","private":["10.0.0.0/8"],"widen":true}`},
		{"GET", "egress", "", 200, `"tenant":"ann"`},
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
