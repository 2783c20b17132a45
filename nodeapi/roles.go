package nodeapi

import (
	"context"
	"encoding/json"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/catalog"
)

// Roles keeps the policies of execution roles. Its errors are *[alcove.Error].
type Roles interface {
	PutRole(ctx context.Context, caller alcove.Caller, name, policy string) (*catalog.Role, error)
	Role(name string) (*catalog.Role, error)
	Roles() []*catalog.Role
	DeleteRole(ctx context.Context, caller alcove.Caller, name string) error
}

// Role is an execution role in an answer.
type Role struct {
	Name    string    `json:"name"`
	ARN     string    `json:"arn"` // what a function has as its Role
	Created time.Time `json:"created"`
	Changed time.Time `json:"changed"`
	// Policy is the document, not in lists.
	Policy json.RawMessage `json:"policy,omitempty"`
	// Warnings are what of the policy no request can be, where it was just put.
	Warnings []string `json:"warnings,omitempty"`
}

func (c Config) role(r *catalog.Role) Role {
	return Role{Name: r.Name, ARN: c.Place.RoleARN(r.Name), Created: r.Created, Changed: r.Changed, Policy: json.RawMessage(r.Policy)}
}

// listRoles answers GET roles.
func (c Config) listRoles(*request) (any, error) {
	list := []Role{}
	for _, r := range c.Roles.Roles() {
		one := c.role(r)
		one.Policy = nil
		list = append(list, one)
	}
	return map[string]any{"roles": list}, nil
}

// putRole answers PUT roles/NAME with {"policy": {…}}: the role is made, or has
// another policy, in force for what runs already.
func (c Config) putRole(r *request) (any, error) {
	var in struct {
		Policy json.RawMessage `json:"policy"`
	}
	if err := r.read(&in); err != nil {
		return nil, alcove.ClientError(alcove.CodeInvalidRequestContent, `The request has to be a JSON object with "policy", a policy document.`)
	}
	name, document := r.PathValue("role"), textOf(in.Policy)
	if err := auth.CheckRole(name, document); err != nil {
		return nil, err
	}
	role, err := c.Roles.PutRole(r.Context(), r.caller, name, document)
	if err != nil {
		return nil, err
	}
	out := c.role(role)
	out.Warnings = c.warnings(document)
	return out, nil
}

// textOf is a policy that a request has as a document, or as a text that is one.
func textOf(document json.RawMessage) string {
	var text string
	if json.Unmarshal(document, &text) == nil {
		return text
	}
	return string(document)
}

// getRole answers GET roles/NAME.
func (c Config) getRole(r *request) (any, error) {
	role, err := c.Roles.Role(r.PathValue("role"))
	if err != nil {
		return nil, err
	}
	return c.role(role), nil
}

// deleteRole answers DELETE roles/NAME with the role that was.
func (c Config) deleteRole(r *request) (any, error) {
	name := r.PathValue("role")
	role, err := c.Roles.Role(name)
	if err != nil {
		return nil, err
	}
	return c.role(role), c.Roles.DeleteRole(r.Context(), r.caller, name)
}
