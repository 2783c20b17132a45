package console

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/alcove-run/alcove/nodeapi"
)

// egressForm is the form that changes a policy. Its lists have a rule on each line.
type egressForm struct {
	Scope, Function, Tenant string
	Mode                    string // empty takes the policy away
	Allow, Private          string
	Widen                   bool
}

// egressFormOf is the form with the policy that is set now for whom the query says.
func egressFormOf(v url.Values, policies []egressPolicy) egressForm {
	f := egressForm{Scope: v.Get("edit"), Function: v.Get("function"), Tenant: v.Get("tenant"), Mode: "list"}
	if f.Scope == "" {
		f.Scope = "function"
	}
	if !functionName.MatchString(f.Function) {
		f.Function = "" // it is a part of a command on the page
	}
	for _, p := range policies {
		if p.Scope != f.Scope || p.Set == nil || p.Scope == "function" && p.Function != f.Function || p.Scope == "tenant" && p.Tenant != f.Tenant {
			continue
		}
		f.Mode, f.Allow, f.Private, f.Widen = p.Set.Mode, strings.Join(p.Set.Allow, "\n"), strings.Join(p.Set.Private, "\n"), p.Set.Widen
	}
	return f
}

// rules are the lines of a list that say something.
func rules(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' || r == ' ' || r == ',' })
}

// call is the request of alcove's own API that the form comes to.
func (f *egressForm) call() (call, error) {
	path, of := "/alcove/v1/egress/", "node"
	switch f.Scope {
	case "node":
	case "function":
		if f.Function == "" {
			return call{}, badInput("Choose the function whose policy it is.")
		}
		path, of = path+"functions/", f.Function
	case "tenant":
		if f.Tenant == "" {
			return call{}, badInput("Give the id of the tenant whose policy it is.")
		}
		path, of = path+"tenants/", f.Tenant
	default:
		return call{}, badInput("Choose whose policy it is: the node's, a function's or a tenant's.")
	}
	c := call{service: "lambda", method: http.MethodPut, path: path + of, rawPath: path + nodeapi.Segment(of)}
	if f.Mode == "" {
		c.method = http.MethodDelete
		return c, nil
	}
	policy := struct {
		Mode    string   `json:"mode"`
		Allow   []string `json:"allow,omitempty"`
		Private []string `json:"private,omitempty"`
		Widen   bool     `json:"widen,omitempty"`
	}{f.Mode, rules(f.Allow), rules(f.Private), f.Widen}
	if f.Mode != "list" {
		policy.Allow = nil // what was typed for a list is not looked at
	}
	if f.Scope != "node" {
		policy.Private, policy.Widen = nil, false
	}
	var err error
	c.body, err = json.Marshal(policy)
	return c, err
}

// saveEgress sets a policy, or takes it away.
func (q *request) saveEgress() error {
	f := egressForm{Scope: q.PostFormValue("scope"), Function: q.PostFormValue("function"), Tenant: strings.TrimSpace(q.PostFormValue("tenant")),
		Mode: q.PostFormValue("mode"), Allow: q.PostFormValue("allow"), Private: q.PostFormValue("private"), Widen: q.PostFormValue("widen") != ""}
	c, err := f.call()
	if err == nil {
		_, err = q.api().send(q.Context(), c)
	}
	if err != nil {
		return q.renderEgress(&f, err)
	}
	q.redirect("egress?done=egress")
	return nil
}
