package catalog

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/alcove-run/alcove"
)

// AliasInput is what an alias is made of. Its form has been checked.
type AliasInput struct {
	Name, Version, Description string
	Weights                    map[string]float64
}

// AliasUpdate changes an alias; nil leaves a member as it is.
type AliasUpdate struct {
	Version, Description *string
	Weights              map[string]float64 // empty, but not nil: none any more
	RevisionID           string             // empty, or the revision that the alias has to be at
}

// target is an alias as invocations resolve it.
type target struct {
	alias  *alcove.Alias
	first  *alcove.Version
	second *alcove.Version // nil if all go to first
	share  float64         // of second
}

// pick gives the version that one invocation runs, or nil if it is gone.
func (t *target) pick() *alcove.Version {
	if t.second != nil && rand.Float64() < t.share {
		return t.second
	}
	return t.first
}

// targets resolves the aliases of a function's record.
func (e *entry) targets() map[string]*target {
	if len(e.record.Aliases) == 0 {
		return nil
	}
	m := make(map[string]*target, len(e.record.Aliases))
	for name, a := range e.record.Aliases {
		t := &target{alias: &a, first: e.version(a.Version)}
		for number, share := range a.Weights {
			t.second, t.share = e.version(number), share
		}
		m[name] = t
	}
	return m
}

// version is the version with a number, as invocations run it, or nil.
func (e *entry) version(number string) *alcove.Version {
	if number == alcove.Latest {
		return e.running
	}
	return e.versions[number].Version
}

// CreateAlias makes an alias. A name that is taken is a
// ResourceConflictException, a version that is not there a
// ResourceNotFoundException.
func (c *Catalog) CreateAlias(ctx context.Context, caller alcove.Caller, function string, in AliasInput) (*alcove.Alias, error) {
	if c.view.Load().functions[function] == nil {
		return nil, c.notFound(alcove.Ref{Name: function, Qualifier: in.Version}) // as recorded
	}
	defer c.lock(function)()
	a := &alcove.Alias{Name: in.Name, Version: in.Version, Description: in.Description, Weights: maps.Clone(in.Weights), RevisionID: newRevision()}
	err := c.edit(ctx, function, func(e *entry, r *record) error {
		if err := c.checkTargets(e, a); err != nil {
			return err
		}
		if _, ok := r.Aliases[in.Name]; ok {
			return alcove.ClientError(alcove.CodeResourceConflict, "Alias already exists: %s:%s", r.Latest.ARN, in.Name)
		}
		r.setAlias(a)
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.log.Info("alias created", "function", function, "alias", in.Name, "version", in.Version, "caller", caller.ARN)
	return a, nil
}

// setAlias puts an alias into a record that is yet to be written.
func (r *record) setAlias(a *alcove.Alias) {
	next := maps.Clone(r.Aliases)
	if next == nil {
		next = make(map[string]alcove.Alias, 1)
	}
	next[a.Name] = *a
	r.Aliases = next
}

// checkTargets refuses versions that are not there and shares that AWS does not
// take.
func (c *Catalog) checkTargets(e *entry, a *alcove.Alias) error {
	if len(a.Weights) > 1 {
		return alcove.InvalidParameter("Number of items in AdditionalVersionWeights cannot be greater than 1")
	}
	if len(a.Weights) > 0 && a.Version == alcove.Latest {
		return alcove.InvalidParameter("$LATEST is not supported for an alias pointing to more than 1 version")
	}
	for number := range a.Weights {
		if number == a.Version {
			return alcove.InvalidParameter("Invalid function version %s. Function version %s is already included in routing configuration.", number, number)
		}
	}
	for _, number := range append([]string{a.Version}, slices.Collect(maps.Keys(a.Weights))...) {
		if e.version(number) == nil {
			return c.notFound(alcove.Ref{Name: e.function.Name, Qualifier: number})
		}
	}
	return nil
}

// UpdateAlias changes an alias and answers it.
func (c *Catalog) UpdateAlias(ctx context.Context, caller alcove.Caller, function, name string, in AliasUpdate) (*alcove.Alias, error) {
	defer c.lock(function)()
	var answer *alcove.Alias
	err := c.edit(ctx, function, func(e *entry, r *record) error {
		a, ok := r.Aliases[name]
		if !ok {
			return alcove.ClientError(alcove.CodeResourceNotFound, "Alias not found: %s:%s", r.Latest.ARN, name)
		}
		if in.RevisionID != "" && in.RevisionID != a.RevisionID {
			return errRevision()
		}
		if in.Version != nil {
			a.Version = *in.Version
		}
		if in.Description != nil {
			a.Description = *in.Description
		}
		if in.Weights != nil {
			a.Weights = maps.Clone(in.Weights)
		}
		if err := c.checkTargets(e, &a); err != nil {
			return err
		}
		if a.Version == alcove.Latest && r.Qualified[name].Provisioned != nil {
			return unprovisionable()
		}
		a.RevisionID = newRevision()
		r.setAlias(&a)
		answer = &a
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.log.Info("alias updated", "function", function, "alias", name, "version", answer.Version, "caller", caller.ARN)
	return answer, nil
}

// DeleteAlias removes an alias and what belongs to it; one that is not there
// counts as removed, as on AWS.
func (c *Catalog) DeleteAlias(ctx context.Context, caller alcove.Caller, function, name string) error {
	defer c.lock(function)()
	err := c.edit(ctx, function, func(_ *entry, r *record) error {
		if _, ok := r.Aliases[name]; !ok {
			return errUnchanged
		}
		r.Aliases = maps.Clone(r.Aliases)
		delete(r.Aliases, name)
		r.forget(name)
		return nil
	})
	if err == errUnchanged {
		return nil
	}
	if err == nil {
		c.log.Info("alias deleted", "function", function, "alias", name, "caller", caller.ARN)
	}
	return err
}

// Alias gives an alias. It is shared: it must not be changed.
func (c *Catalog) Alias(function, name string) (*alcove.Alias, error) {
	e, err := c.entryOf(function)
	if err != nil {
		return nil, err
	}
	if t, ok := e.aliases[name]; ok {
		return t.alias, nil
	}
	return nil, noAlias(e.latest.ARN + ":" + name)
}

// Aliases gives a function's aliases by name, up to max of them after the one
// that marker names; with a version, those that stand for it.
func (c *Catalog) Aliases(function, version, marker string, max int) ([]*alcove.Alias, string, error) {
	after, _, err := parseMarker(marker)
	if err != nil {
		return nil, "", err
	}
	e, err := c.entryOf(function)
	if err != nil {
		return nil, "", err
	}
	var list []*alcove.Alias
	for _, name := range slices.Sorted(maps.Keys(e.aliases)) {
		if a := e.aliases[name].alias; name > after && (version == "" || a.Version == version) {
			list = append(list, a)
		}
	}
	return firstPage(list, max, func(a *alcove.Alias) string { return a.Name })
}

// pointing gives the names of the aliases that stand for a version.
func (r *record) pointing(number string) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(r.Aliases)) {
		a := r.Aliases[name]
		if _, share := a.Weights[number]; share || a.Version == number {
			names = append(names, name)
		}
	}
	return names
}
