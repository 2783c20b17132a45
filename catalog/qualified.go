package catalog

import (
	"maps"
	"reflect"
	"strings"

	"github.com/alcove-run/alcove"
)

// qualified is what belongs to a qualifier of a function: to $LATEST, to a
// published version or to an alias. It goes with what it belongs to.
type qualified struct {
	// Policy is a resource policy as JSON, PolicyRevision the id of its state.
	Policy         string `json:"policy,omitempty"`
	PolicyRevision string `json:"policyRevision,omitempty"`
	// Revision is the revision id of a published version, whose own record has
	// the one that it was published with.
	Revision string `json:"revision,omitempty"`

	EventInvoke *alcove.EventInvokeConfig `json:"eventInvoke,omitempty"`
	// URL belongs to $LATEST and to aliases only.
	URL *alcove.FunctionURL `json:"url,omitempty"`
	// Provisioned belongs to versions and to aliases only.
	Provisioned *alcove.Provisioned `json:"provisioned,omitempty"`
	// RuntimeManagement belongs to $LATEST and to versions only.
	RuntimeManagement alcove.RuntimeManagement `json:"runtimeManagement,omitzero"`
}

// setQualified changes what belongs to a qualifier in a record that is yet to be
// written.
func (r *record) setQualified(qualifier string, change func(q *qualified)) {
	next := maps.Clone(r.Qualified)
	if next == nil {
		next = make(map[string]qualified, 1)
	}
	q := next[qualifier]
	change(&q)
	if reflect.ValueOf(q).IsZero() {
		delete(next, qualifier)
	} else {
		next[qualifier] = q
	}
	r.Qualified = next
}

// forget drops what belongs to qualifiers.
func (r *record) forget(qualifiers ...string) {
	r.Qualified = maps.Clone(r.Qualified)
	for _, q := range qualifiers {
		delete(r.Qualified, q)
	}
}

// known gives the key of a qualifier in a record and the ARN that it makes; none
// is $LATEST's, with the function's own ARN.
func (c *Catalog) known(e *entry, qualifier string) (key, arn string, err error) {
	arn = e.latest.ARN
	if qualifier == "" {
		return alcove.Latest, arn, nil
	}
	arn += ":" + qualifier
	if _, ok := e.aliases[qualifier]; ok || e.version(qualifier) != nil {
		return qualifier, arn, nil
	}
	if digits(qualifier) || strings.Contains(qualifier, "$") {
		return "", "", c.notFound(alcove.Ref{Name: e.function.Name, Qualifier: qualifier})
	}
	return "", "", noAlias(arn)
}

func noAlias(arn string) error {
	return alcove.ClientError(alcove.CodeResourceNotFound, "Cannot find alias arn: %s", arn)
}

// revisionOf is the revision id of what a key stands for: clients get it with
// GetFunction or GetAlias.
func (e *entry) revisionOf(key string) string {
	if t, ok := e.aliases[key]; ok {
		return t.alias.RevisionID
	}
	if key == alcove.Latest {
		return e.latest.RevisionID
	}
	return e.versions[key].RevisionID
}

// revise gives what a key stands for another revision id.
func (r *record) revise(key string) string {
	id := newRevision()
	switch a, alias := r.Aliases[key]; {
	case alias:
		a.RevisionID = id
		r.setAlias(&a)
	case key == alcove.Latest:
		r.Latest.RevisionID = id
	default:
		r.setQualified(key, func(q *qualified) { q.Revision = id })
	}
	return id
}
