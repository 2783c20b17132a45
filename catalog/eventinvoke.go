package catalog

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/alcove-run/alcove"
)

// EventInvokeEntry is an EventInvokeConfig and the ARN that it belongs to, which
// is always qualified.
type EventInvokeEntry struct {
	ARN    string
	Config *alcove.EventInvokeConfig
}

// SetEventInvoke changes the config of a function or one of its qualifiers by
// change, which gets nil if there is none yet, and answers it.
func (c *Catalog) SetEventInvoke(ctx context.Context, caller alcove.Caller, ref alcove.Ref,
	change func(now *alcove.EventInvokeConfig) (*alcove.EventInvokeConfig, error)) (EventInvokeEntry, error) {
	if e := c.view.Load().functions[ref.Name]; e == nil {
		return EventInvokeEntry{}, functionGone()
	} else if _, _, err := c.known(e, ref.Qualifier); err != nil {
		return EventInvokeEntry{}, functionGone()
	}
	out := EventInvokeEntry{ARN: c.qualifiedARN(ref)}
	err := c.editQualified(ctx, ref, func(_ *entry, r *record, key, _ string) error {
		next, err := change(r.Qualified[key].EventInvoke)
		if err != nil {
			return err
		}
		set := *next
		set.LastModified = c.cfg.Now()
		r.setQualified(key, func(q *qualified) { q.EventInvoke = &set })
		out.Config = &set
		return nil
	})
	if err != nil {
		return EventInvokeEntry{}, err
	}
	c.log.Info("event invoke config set", "function", ref.Name, "qualifier", ref.Qualifier, "caller", caller.ARN)
	return out, nil
}

// EventInvoke gives the config of a function or one of its qualifiers, from
// memory. It is shared: it must not be changed.
func (c *Catalog) EventInvoke(ref alcove.Ref) (EventInvokeEntry, error) {
	if e := c.view.Load().functions[ref.Name]; e != nil {
		if config := e.record.Qualified[keyOf(ref)].EventInvoke; config != nil {
			return EventInvokeEntry{c.qualifiedARN(ref), config}, nil
		}
	}
	return EventInvokeEntry{}, c.noEventInvoke(ref)
}

// DeleteEventInvoke removes a config.
func (c *Catalog) DeleteEventInvoke(ctx context.Context, caller alcove.Caller, ref alcove.Ref) error {
	if _, err := c.EventInvoke(ref); err != nil {
		return err
	}
	err := c.editQualified(ctx, ref, func(_ *entry, r *record, key, _ string) error {
		r.setQualified(key, func(q *qualified) { q.EventInvoke = nil })
		return nil
	})
	if err == nil {
		c.log.Info("event invoke config deleted", "function", ref.Name, "qualifier", ref.Qualifier, "caller", caller.ARN)
	}
	return err
}

// EventInvokes gives the configs of a function by qualifier.
func (c *Catalog) EventInvokes(function, marker string, max int) ([]EventInvokeEntry, string, error) {
	keys, next, err := c.qualifiers(function, marker, max, func(q qualified) bool { return q.EventInvoke != nil })
	if err != nil {
		if alcove.AsError(err).Code == alcove.CodeResourceNotFound {
			err = functionGone()
		}
		return nil, "", err
	}
	e := c.view.Load().functions[function]
	var list []EventInvokeEntry
	for _, key := range keys {
		if e != nil && e.record.Qualified[key].EventInvoke != nil {
			list = append(list, EventInvokeEntry{e.latest.ARN + ":" + key, e.record.Qualified[key].EventInvoke})
		}
	}
	return list, next, nil
}

// qualifiers gives one page of a function's qualifiers to which something
// belongs that has says, in their order.
func (c *Catalog) qualifiers(function, marker string, max int, has func(qualified) bool) ([]string, string, error) {
	after, _, err := parseMarker(marker)
	if err != nil {
		return nil, "", err
	}
	e, err := c.entryOf(function)
	if err != nil {
		return nil, "", err
	}
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(e.record.Qualified)) {
		if strings.Compare(key, after) > 0 && has(e.record.Qualified[key]) {
			keys = append(keys, key)
		}
	}
	return firstPage(keys, max, func(key string) string { return key })
}

// keyOf is what a qualifier is called in a record.
func keyOf(ref alcove.Ref) string {
	if ref.Qualifier == "" {
		return alcove.Latest
	}
	return ref.Qualifier
}

func (c *Catalog) qualifiedARN(ref alcove.Ref) string {
	return c.cfg.Place.FunctionARN(ref.Name) + ":" + keyOf(ref)
}

func (c *Catalog) noEventInvoke(ref alcove.Ref) error {
	return alcove.ClientError(alcove.CodeResourceNotFound, "The function %s doesn't have an EventInvokeConfig", c.qualifiedARN(ref))
}

func functionGone() error {
	return alcove.ClientError(alcove.CodeResourceNotFound, "The function doesn't exist.")
}
