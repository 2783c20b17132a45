package catalog

import (
	"context"
	"time"

	"github.com/alcove-run/alcove"
)

const rolePrefix = "role/"

// MaxRoles bounds the roles of a node.
const MaxRoles = 5000

// Role is what the code of functions may do that name it: AWS's execution role,
// of which alcove keeps the policy document alone.
type Role struct {
	Name    string    `json:"name"`
	Policy  string    `json:"policy"` // the document, as it was given
	Created time.Time `json:"created"`
	Changed time.Time `json:"changed"`
}

func (r *Role) codeBytes() int64 { return 0 }
func (r *Role) pkg() string      { return "" }

// PutRole makes a role, or gives it another policy. It holds for environments that
// run as well. The name and the policy are the caller's to have checked.
func (c *Catalog) PutRole(ctx context.Context, caller alcove.Caller, name, policy string) (*Role, error) {
	var out *Role
	err := editObject(ctx, c, rolePrefix+name, func(now *Role) (*Role, error) {
		next := Role{Name: name, Policy: policy, Created: c.cfg.Now(), Changed: c.cfg.Now()}
		switch {
		case now != nil:
			next.Created = now.Created
		case len(all[*Role](c, rolePrefix)) >= MaxRoles:
			return nil, alcove.ClientError("LimitExceeded", "Cannot exceed quota for RolesPerAccount: %d", MaxRoles)
		}
		out = &next
		return out, nil
	})
	if err != nil {
		return nil, err
	}
	c.log.Info("role set", "role", name, "caller", caller.ARN)
	return out, nil
}

// DeleteRole removes a role. The code of functions that name it may do nothing from
// then on.
func (c *Catalog) DeleteRole(ctx context.Context, caller alcove.Caller, name string) error {
	err := editObject(ctx, c, rolePrefix+name, func(now *Role) (*Role, error) {
		if now == nil {
			return nil, noRole(name)
		}
		return nil, nil
	})
	if err == nil {
		c.log.Info("role deleted", "role", name, "caller", caller.ARN)
	}
	return err
}

// Role gives a role. It is shared: it must not be changed.
func (c *Catalog) Role(name string) (*Role, error) {
	if r, ok := get[*Role](c, rolePrefix+name); ok {
		return r, nil
	}
	return nil, noRole(name)
}

// Roles gives the roles by name.
func (c *Catalog) Roles() []*Role { return all[*Role](c, rolePrefix) }

func noRole(name string) *alcove.Error {
	return alcove.ClientError("NoSuchEntity", "The role with name %.64s cannot be found.", name)
}
