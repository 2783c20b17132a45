package catalog

import (
	"context"
	"math"

	"github.com/alcove-run/alcove"
)

// ProvisionedEntry is a provisioned concurrency config: the ARN that it belongs
// to, and the versions that have environments by it.
type ProvisionedEntry struct {
	ARN      string
	Config   *alcove.Provisioned
	Versions []*alcove.Version
}

// Provisioned is how many environments of v are kept whether anybody invokes it
// or not. It takes no lock.
func (c *Catalog) Provisioned(v *alcove.Version) int {
	e := c.view.Load().functions[v.Name]
	if e == nil || e.function.ID != v.FunctionID {
		return 0
	}
	return e.provisioned[v.Number]
}

// provision adds up what is kept of each version: for an alias of two, each has
// its share.
func (e *entry) provision() map[string]int {
	var m map[string]int
	add := func(number string, n int) {
		if m == nil {
			m = make(map[string]int)
		}
		m[number] += n
	}
	for key, q := range e.record.Qualified {
		if q.Provisioned == nil {
			continue
		}
		n := q.Provisioned.Requested
		t, alias := e.aliases[key]
		if !alias {
			add(key, n)
			continue
		}
		second := int(math.Round(float64(n) * t.share))
		for number := range t.alias.Weights {
			add(number, second)
			n -= second
		}
		add(t.alias.Version, n)
	}
	return m
}

// SetProvisioned keeps so many environments of a published version or an alias of
// an ordinary function. room gives an error if this node has none for them.
func (c *Catalog) SetProvisioned(ctx context.Context, caller alcove.Caller, ref alcove.Ref, requested int,
	room func(v *alcove.Version) error) (ProvisionedEntry, error) {
	if ref.Qualifier == alcove.Latest {
		return ProvisionedEntry{}, unprovisionable()
	}
	if err := c.provisionable(ref); err != nil {
		return ProvisionedEntry{}, err
	}
	c.reservedMu.Lock() // what is unreserved is everybody's
	defer c.reservedMu.Unlock()
	err := c.editQualified(ctx, ref, func(e *entry, r *record, key, _ string) error {
		if e.latest.Isolated() {
			return alcove.InvalidParameter("Provisioned Concurrency is not supported for functions enabled with tenancy configuration")
		}
		if err := e.soleProvision(key); err != nil {
			return err
		}
		if err := c.affordable(e, requested); err != nil {
			return err
		}
		if err := room(e.latest); err != nil {
			return err
		}
		r.setQualified(key, func(q *qualified) {
			q.Provisioned = &alcove.Provisioned{Requested: requested, LastModified: c.cfg.Now()}
		})
		return nil
	})
	if err != nil {
		return ProvisionedEntry{}, err
	}
	c.log.Info("provisioned concurrency set", "function", ref.Name, "qualifier", ref.Qualifier, "requested", requested, "caller", caller.ARN)
	return c.ProvisionedConfig(ref)
}

// provisionable finds what environments are to be kept of.
func (c *Catalog) provisionable(ref alcove.Ref) error {
	if ref.Qualifier == alcove.Latest || ref.Qualifier == "" {
		return alcove.InvalidParameter("The function resource provided must be an alias or a published version.")
	}
	e := c.view.Load().functions[ref.Name]
	if e == nil && !digits(ref.Qualifier) {
		return noAlias(c.qualifiedARN(ref)) // as recorded
	}
	if e == nil {
		return c.notFound(ref)
	}
	_, _, err := c.known(e, ref.Qualifier)
	return err
}

// soleProvision refuses a version that is provisioned by way of an alias, and an
// alias of a version that is provisioned.
func (e *entry) soleProvision(key string) error {
	if t, alias := e.aliases[key]; alias {
		if t.alias.Version == alcove.Latest {
			return unprovisionable()
		}
		if e.record.Qualified[t.alias.Version].Provisioned != nil {
			return alcove.ClientError(alcove.CodeResourceConflict, "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version")
		}
		return nil
	}
	for _, name := range e.record.pointing(key) {
		if e.record.Qualified[name].Provisioned != nil {
			return alcove.ClientError(alcove.CodeResourceConflict, "Version is pointed by a Provisioned Concurrency alias")
		}
	}
	return nil
}

func unprovisionable() error {
	return alcove.InvalidParameter("Provisioned Concurrency Configs cannot be applied to unpublished function versions.")
}

// affordable compares a request with the function's concurrency, or with what the
// account has unreserved.
func (c *Catalog) affordable(e *entry, requested int) error {
	if r := e.function.Reserved; r != nil {
		if requested > *r {
			return alcove.InvalidParameter("Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for function")
		}
		return nil
	}
	unreserved, least := c.Unreserved(), min(minUnreserved, c.cfg.Concurrency/10)
	switch {
	case requested > unreserved:
		return alcove.InvalidParameter("Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [%d].", unreserved)
	case unreserved-requested < least:
		return alcove.InvalidParameter("Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [%d].", least)
	}
	return nil
}

// ProvisionedConfig gives the config of a published version or an alias.
func (c *Catalog) ProvisionedConfig(ref alcove.Ref) (ProvisionedEntry, error) {
	if err := c.provisionable(ref); err != nil {
		return ProvisionedEntry{}, err
	}
	if e := c.view.Load().functions[ref.Name]; e != nil && e.record.Qualified[ref.Qualifier].Provisioned != nil {
		return e.provisionedEntry(ref.Qualifier), nil
	}
	return ProvisionedEntry{}, alcove.ClientError("ProvisionedConcurrencyConfigNotFoundException", "No Provisioned Concurrency Config found for this function")
}

func (e *entry) provisionedEntry(key string) ProvisionedEntry {
	out := ProvisionedEntry{ARN: e.latest.ARN + ":" + key, Config: e.record.Qualified[key].Provisioned}
	numbers := []string{key}
	if t, alias := e.aliases[key]; alias {
		numbers = []string{t.alias.Version}
		for number := range t.alias.Weights {
			numbers = append(numbers, number)
		}
	}
	for _, number := range numbers {
		if v := e.version(number); v != nil && number != alcove.Latest {
			out.Versions = append(out.Versions, v)
		}
	}
	return out
}

// DeleteProvisioned removes a config; one that is not there counts as removed.
func (c *Catalog) DeleteProvisioned(ctx context.Context, caller alcove.Caller, ref alcove.Ref) error {
	if err := c.provisionable(ref); err != nil {
		return err
	}
	err := c.editQualified(ctx, ref, func(_ *entry, r *record, key, _ string) error {
		r.setQualified(key, func(q *qualified) { q.Provisioned = nil })
		return nil
	})
	if err == nil {
		c.log.Info("provisioned concurrency removed", "function", ref.Name, "qualifier", ref.Qualifier, "caller", caller.ARN)
	}
	return err
}

// ProvisionedConfigs gives the configs of a function by qualifier.
func (c *Catalog) ProvisionedConfigs(function, marker string, max int) ([]ProvisionedEntry, string, error) {
	keys, next, err := c.qualifiers(function, marker, max, func(q qualified) bool { return q.Provisioned != nil })
	if err != nil {
		return nil, "", err
	}
	e := c.view.Load().functions[function]
	var list []ProvisionedEntry
	for _, key := range keys {
		if e != nil && e.record.Qualified[key].Provisioned != nil {
			list = append(list, e.provisionedEntry(key))
		}
	}
	return list, next, nil
}
